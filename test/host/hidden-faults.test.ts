// Faults that the daemons hide: `postfix check`, `postfix reload`, `doveconf` and `doveadm reload` exit 0, and mail is down or
// the change has no effect. Each is made to happen, and must be found, told and undone. Those that a test has elsewhere:
//
//   what exits 0                                             what happens                    its test
//   ::1/128 in a list that smtpd reads                       every smtpd dies                postfix-proof, unproved
//   a bad number in master.cf                                every smtpd dies                postfix-proof
//   a file of mynetworks goes bad with our change            every smtpd dies                postfix-proof
//   smtpd dies, and master waits 60 s whatever is reloaded   mail is late                    faults
//   postconf -e behind an unterminated last line             the setting is in a comment     postfix-xclient-trust
//   postconf -P of a service that is not there               nothing                         postfix-xclient-trust
//   an "!" element before ours                               nothing                         relay-acceptance, postfix-xclient-trust
//   mynetworks unset, then written down                      is frozen, is not unset again   relay-acceptance
//   a restriction or milter before permit_mynetworks         mail is refused                 relay-acceptance
//   relayhost behind transports and sender maps              nothing                         outbound-relay
//   relayhost of a server that will not relay                all mail bounces                outbound-relay
//   relayhost that wants a certificate, or is the host       mail waits, or loops            outbound-relay
//   a service that was broken before                         is not our doing                postfix-proof, master-user
//   a passdb with an unknown argument or mechanism           auth dies                       master-user, unproved
//   a master passdb that merges into the host's own (2.4)    auth dies                       master-user (seen), here (at a reload)
//   continue with PAM, return-ok with a static userdb        wrong logins                    master-user
//   a local block of 2.3, a later or inner remote block      no greeting, no trust           dovecot-proxy-trust, dovecot-parse
//   a global list behind ours                                a warning                       dovecot-parse
//   tools that hang                                          -                               faults
import { strict as assert } from "node:assert";
import { same } from "../support/cuts.js";
import { startHost, type Debian, type Host } from "../support/host.js";
import { serves } from "../support/mail-client.js";
import { configure, holding, keep, mainCf, masterCf, reset, saying, write } from "../support/postfix.js";
import { create } from "../support/resources.js";
import { oneIn, sampled, soaking } from "../support/sample.js";

interface Fault {
  readonly fault: string;
  readonly on?: Debian;
  /** What an administrator or a broken tool does before us; no daemon is told. */
  readonly make: string;
  readonly kind: string;
  readonly args: Record<string, unknown>;
  readonly said: readonly RegExp[];
}

const operatorFile = "/etc/dovecot/conf.d/99-zzz-operator.conf";
const fragment = "/etc/dovecot/conf.d/99-zz-pulumi-dovecot-postfix.conf";
const dovecotAtFirst = "/opt/mailhost/dovecot-at-first";
const finger = "/usr/sbin/posttls-finger";
const trust = { kind: "DovecotProxyTrust", args: { proxies: ["192.0.2.10"] } };
const xclient = { kind: "PostfixXclientTrust", args: { proxies: ["192.0.2.10"] } };

/** Arguments of which a daemon would say nothing: refused, with what to write instead. */
const inArguments: readonly Omit<Fault, "make">[] = [
  {
    fault: "mynetworks with host bits: 451 to every stranger's recipient",
    ...{ kind: "RelayAcceptance", args: { servers: ["203.0.113.20/24"] } },
    said: [/servers\[0\] has bits set .*: write the network's first address, or the single address with \/32/],
  },
  {
    fault: "an IPv6 address in another notation",
    ...{ kind: "PostfixXclientTrust", args: { proxies: ["[2001:db8::20]/128"] } },
    said: [/proxies\[0\] must be an address or network such as .*"2001:db8::10"/],
  },
  {
    fault: "a list that trusts the proxy's name",
    ...{ kind: "PostfixXclientTrust", args: { proxies: ["proxy.example.net"] } },
    said: [/such as "203\.0\.113\.10".*names are not trusted/],
  },
  {
    fault: "a service without its type",
    ...{ kind: "PostfixXclientTrust", args: { proxies: ["192.0.2.10"], services: ["submission"] } },
    said: [/must be a master\.cf service such as "submission\/inet"/],
  },
  {
    fault: "a separator of which only the first character counts",
    ...{ kind: "MasterUser", args: { username: "vmadmin", separator: "%%" } },
    said: [/separator must be one character of/],
  },
  {
    fault: "allow_nets with host bits",
    ...{ kind: "MasterUser", args: { username: "vmadmin", allowedNetworks: ["203.0.113.20/24"] } },
    said: [/allowedNetworks\[0\] has bits set .*: write the network's first address/],
  },
  {
    fault: "a hash of a scheme that this Dovecot does not know",
    ...{ kind: "MasterUser", args: { username: "vmadmin", passwordHash: "{NO-SUCH}abcdefgh" } },
    said: [/does not know the scheme of `passwordHash`/, /`doveadm pw -l`/],
  },
];

/** In place of a daemon's own tool. */
const wrapper = (tool: string, script: string) =>
  `cat >/usr/local/sbin/${tool} <<'end'\n#!/bin/sh\n${script}\nexec /usr/${tool === "postfix" ? "sbin" : "bin"}/${tool} "$@"\nend
   chmod 755 /usr/local/sbin/${tool}`;
/** A fault in Dovecot's files that comes with our fragment and goes with it, at each reload. */
const withOurs = (lines: string) =>
  wrapper(
    "doveadm",
    `if [ "$1" = reload ]; then
  if [ -e ${fragment} ]; then printf '${lines}' >${operatorFile}; else rm -f ${operatorFile}; fi
fi`,
  );
const operators = (lines: string) => `printf '${lines}' >${operatorFile}`;

/** Found before any change. */
const refused: readonly Fault[] = [
  ...["203.0.113.20/24", "!203.0.113.0/255.255.255.0"].map((element) => ({
    fault: `${element} in the operator's mynetworks: 451 to every stranger's recipient`,
    make: `postconf -e 'mynetworks = 127.0.0.0/8 ${element}'`,
    ...xclient,
    said: [/smtpd cannot read \S+ in mynetworks at \S+main\.cf:\d+: it .*451.*\nWhat to do: Write /],
  })),
  ...["::1/128"].map((element) => ({
    fault: `${element} in the operator's mynetworks: every smtpd dies, or answers 451`,
    make: `postconf -e 'mynetworks = 127.0.0.0/8 ${element}'`,
    ...{ kind: "RelayAcceptance", args: { servers: ["192.0.2.20"] } },
    said: [/reads as type:table/, /Write \[\S+\]\/128; then postfix reload/],
  })),
  {
    fault: "host bits in a service's own list",
    make: `sed -i '/^submission /a\\  -o smtpd_authorized_xclient_hosts=[2001:db8::1]/64' ${masterCf}`,
    ...xclient,
    said: [
      /submission\/inet at \S+master\.cf:\d+: it has bits set/,
      /Write \[2001:db8::\]\/64, or \[2001:db8::1\]\/128/,
    ],
  },
  {
    fault: "the program that proves is not there",
    make: `mv ${finger} ${finger}.away`,
    ...xclient,
    said: [/lacks posttls-finger.*Install it/s],
  },
  {
    fault: "a broken include that nobody has loaded yet",
    make: operators("login_greeting = a\\n}\\n"),
    ...trust,
    said: [/configuration on \S+ is broken already/, /99-zzz-operator\.conf/, /until `doveconf -n` is content/],
  },
  {
    fault: "a local block for a name: no greeting (2.3), or its own list counts (2.4)",
    make: operators("# names\\nlocal mail.example.com {\\n  login_trusted_networks = 192.0.2.9\\n}\\n"),
    ...trust,
    said: [
      /99-zzz-operator\.conf:3 \(local mail\.example\.com\) sets login_trusted_networks: Dovecot looks the host name/,
      /What to do: Write the host's address in place of its name/i,
    ],
  },
];

const slow: readonly Fault[] = [
  {
    fault: "Dovecot's master misses a program",
    make: operators("service imap-login {\\n  executable = /nonexistent\\n}\\n"),
    ...trust,
    said: [/ends well, but Dovecot goes on with the old/, /Config reload failed: .*nonexistent/],
  },
  {
    fault: "doveadm reload does nothing",
    make: wrapper("doveadm", '[ "$1" != reload ] || exit 0'),
    ...trust,
    said: [/ends well, but Dovecot goes on with the old/],
  },
];

/** Found by the proof of the change, which is taken back. */
const undone: readonly Fault[] = [
  {
    fault: "master itself dies at the reload: its port is taken",
    make: wrapper(
      "postfix",
      `case $1 in reload | start)
  sed -i '/^imap .*smtpd$/d' ${masterCf}
  ! grep -q '192.0.2.10/32' ${mainCf} || echo 'imap inet n - y - - smtpd' >>${masterCf}
  touch -d '1 minute ago' ${masterCf}
  ;;
esac`,
    ),
    ...xclient,
    said: [/does not answer after the reload/, /fatal: bind .*port 143: Address already in use/],
  },
  {
    fault: "auth dies at the reload: an unknown argument",
    on: "bookworm",
    make: withOurs("passdb {\\n  driver = passwd-file\\n  args = bogus=1 /etc/dovecot/users\\n}\\n"),
    ...trust,
    said: [/does not answer after the reload/, /auth: Fatal: .*bogus/i],
  },
  {
    fault: "auth dies at the reload: a master passdb merges into the host's own",
    on: "trixie",
    make: withOurs("passdb passwd-file {\\n  master = yes\\n}\\n"),
    ...trust,
    said: [/does not answer after the reload/, /auth: Fatal: No passdbs/i],
  },
  {
    fault: "a block that comes between reading and writing outranks ours",
    make: withOurs("remote 192.0.2.10/32 {\\n  login_trusted_networks = 198.51.100.1\\n}\\n"),
    ...trust,
    said: [/the new value did not take effect/, /does not hold 192\.0\.2\.10\/32/, /it is: 198\.51/],
  },
  {
    fault: "Dovecot's master refuses what doveconf accepts, and keeps its old settings",
    make: operators("service imap-login {\\n  user = nosuchuser\\n}\\n"),
    ...trust,
    said: [/ends well, but Dovecot goes on with the old/, /Config reload failed: .*nosuchuser/],
  },
  // What these come to is the same, and takes its time.
  ...(soaking ? slow : []),
];

for (const debian of sampled("trixie")) {
  describe(`faults that the daemons of ${debian} hide`, () => {
    promises(debian);
  });
}

function promises(debian: Debian): void {
  let host: Host;
  let pristine: Map<string, string>;

  before(async () => {
    host = await startHost(debian);
    await keep(host);
    await host.run(`cp -a /etc/dovecot ${dovecotAtFirst}`);
    pristine = await host.files();
  });
  after(() => host.stop());
  const restore = async (): Promise<void> => {
    await host.run(
      `rm -f /usr/local/sbin/doveadm; [ ! -e ${finger}.away ] || mv ${finger}.away ${finger}
       diff -r /etc/dovecot ${dovecotAtFirst} >/dev/null || { rm -rf /etc/dovecot; cp -a ${dovecotAtFirst} /etc/dovecot; doveadm reload; }`,
    );
    await reset(host);
  };
  afterEach(restore);

  const failure = async (kind: string, args: Record<string, unknown>): Promise<string> => {
    let message = "";
    await saying(() =>
      assert.rejects(create(host, { kind }, args), (error: Error) => {
        message = error.message;
        return true;
      }),
    );
    return message;
  };

  const it = oneIn(2);
  it("as an argument, refused with what to write instead", async () => {
    for (const { fault, kind, args, said } of inArguments) {
      const message = await failure(kind, args);
      for (const words of said) assert.match(message, words, fault);
    }
    same(await host.files(), pristine);
  });

  const here = ({ on }: Fault) => on === undefined || on === debian;
  const meets = async ({ make, kind, args, said }: Fault, state: RegExp): Promise<void> => {
    await write(host, make);
    const before = await host.files();
    const message = await failure(kind, args);
    for (const words of [...said, state]) assert.match(message, words);
    same(await host.files(), before);
  };

  for (const fault of refused.filter(here)) {
    it(`before any change: ${fault.fault}`, async () => {
      await meets(fault, /Nothing was changed/);
      // What we refuse to touch its administrator mends.
      await restore();
      await serves(host);
    });
  }

  for (const fault of undone.filter(here)) {
    it(`by the proof: ${fault.fault}`, async () => {
      await meets(fault, /The old files are back and \w+ answers again/);
      await serves(host);
    });
  }

  it("an IPv6 server goes into mynetworks in brackets, and smtpd lives", async () => {
    await holding(host, { kind: "RelayAcceptance" }, { servers: ["2001:db8::20"] }, async ({ outs }) => {
      assert.ok((outs["mynetworks"] as string[]).includes("[2001:db8::20]/128"));
      await serves(host);
    });
  });

  it("what an operator's fault forbids to add may be taken away all the same", async () => {
    const resource = await create(host, { kind: xclient.kind }, xclient.args);
    await configure(host, "postconf -e 'mynetworks = 127.0.0.0/8 203.0.113.20/24'");
    await resource.remove();
    assert.equal(await host.run("postconf -h smtpd_authorized_xclient_hosts"), "\n");
    await configure(host, `cp -a /opt/mailhost/postfix-at-first/main.cf ${mainCf}`);
    same(await host.files(), pristine);
  });
}
