// OutboundRelay on real hosts: where the mail goes, what the new server is asked before, and what is refused.
import { strict as assert } from "node:assert";
import { type Debian, type Host, startHost } from "../support/host.js";
import { logged } from "../support/mail-client.js";
import {
  arrives,
  configure,
  holding,
  keep,
  mainCf,
  postfixFiles,
  refused,
  reset,
  saying,
  write,
} from "../support/postfix.js";
import { create } from "../support/resources.js";

const kind = "OutboundRelay";

/** What listens on the new server beside its Postfix. */
const listeners = {
  2501: { says: "", why: "closes before it greets" },
  2502: { says: "554 5.7.1 Go away", why: "refuses to greet" },
} as const;
const nobody = 2503;
/** Takes the connection, and does not greet. */
const silence = 2504;

for (const debian of ["bookworm", "trixie"] as const) {
  describe(`OutboundRelay on ${debian}`, () => {
    promises(debian);
  });
}

function promises(debian: Debian): void {
  let host: Host;
  let server: Host;
  let args: { server: string };

  before(async () => {
    [host, server] = await Promise.all([startHost(debian), startHost(debian)]);
    args = { server: server.address };
    await accepting();
    await Promise.all([keep(host), keep(server)]);
    for (const [port, { says }] of Object.entries(listeners)) {
      const answer = says === "" ? "true" : `echo '${says}'`;
      await server.run(
        `setsid socat TCP-LISTEN:${port},fork,reuseaddr "SYSTEM:${answer}" </dev/null >/dev/null 2>&1 &`,
      );
    }
    await server.run(
      `setsid socat TCP-LISTEN:${silence},fork,reuseaddr "SYSTEM:sleep 60" </dev/null >/dev/null 2>&1 &`,
    );
  });
  afterEach(() => Promise.all([reset(host), reset(server)]));
  after(() => Promise.all([host.stop(), server.stop()]));

  /** The new server relays for the host, and for nobody else. */
  const accepting = () =>
    configure(
      server,
      `postconf -e 'mynetworks = 127.0.0.0/8 ${host.address}' default_transport=discard: myhostname=new.example.net \
         'smtpd_relay_restrictions = permit_mynetworks reject_unauth_destination'`,
    );
  const refusing = () => configure(server, "postconf -e 'mynetworks = 127.0.0.0/8'");
  /** What the new server's Postfix tells of each visit from the host: the commands, counted. */
  const visits = async () => {
    const ended = (await server.mailLog())
      .split("\n")
      .filter((line) => line.includes(`disconnect from unknown[${host.address}]`));
    return ended.map((line) => line.replace(/.*\] /, ""));
  };
  const submit = (to: string, subject: string) =>
    host.run(`printf 'Subject: ${subject}\\n\\nHello.\\n' | sendmail -f alice@example.com ${to}`);
  const relayhost = async () => (await host.run("postconf -h relayhost")).trim();

  it("asks for no recipient whom the new server takes from anybody: one in a domain of the host", async () => {
    const before = await postfixFiles(host);
    for (const domain of ["example.com", "EXAMPLE.com"])
      await refused(host, { kind }, { ...args, probeRecipient: `bob@${domain}` }, /a domain of this host \(\w+\)/);
    assert.deepEqual(await postfixFiles(host), before);
  });

  it("a refresh tells of what would be refused now, as drift, and does not fail", async () => {
    await holding(host, { kind }, args, async (resource) => {
      assert.deepEqual(await resource.drift(), []);
      await configure(host, "postconf -e sender_dependent_relayhost_maps=static:[192.0.2.1]");
      assert.match((await resource.drift()).join(), /relayhost would have no effect .*sender_dependent_relayhost_maps/);
      await assert.rejects(resource.update({ ...args, port: 2525 }), /relayhost would have no effect/);
      await configure(host, "postconf -X sender_dependent_relayhost_maps");
      assert.deepEqual(await resource.drift(), []);
    });
  });

  it("a link to the host that ends while the new server is asked is not blamed on the new server", async () => {
    const before = await postfixFiles(host);
    const silent = { ...args, port: silence, connection: { ...host.connection, perDialTimeout: 9 } };
    const asking = create(host, { kind }, silent);
    const ended = assert.rejects(asking, (error: Error) => {
      assert.match(error.message, /^root@.*: the connection (ended|broke)/);
      return !error.message.includes(`port ${silence}`);
    });
    // Of the session that has a connection to the new server.
    await host.run(
      `until session=$(ss -Htnp dst ${server.address}:${silence} | grep -o 'pid=[0-9]*'); do sleep 0.1; done
       kill -9 $(echo "$session" | sed 's/pid=//')`,
    );
    await ended;
    assert.deepEqual(await postfixFiles(host), before);
  });

  it("says that Postfix's own mail comes from another address than the question", async () => {
    await configure(host, `postconf -e smtp_bind_address=${host.address}`);
    const { warnings } = await saying(() => holding(host, { kind }, args, () => Promise.resolve()));
    assert.match(warnings, new RegExp(`smtp_bind_address = ${host.address}: mail comes to the new server from there`));
  });

  it("sends outbound mail to the new server, keeps local mail at home, and gives the old relay back", async () => {
    const [old, sasl] = ["[old.example.net]:2525", "/etc/postfix/relay-password"];
    await configure(
      host,
      `postconf -e smtp_sasl_auth_enable=yes smtp_sasl_password_maps=texthash:${sasl}; postconf -X relayhost
       echo '${old} user:secret' >${sasl}
       printf 'relayhost=\\t ${old}  \\n# the end' >>${mainCf}`,
    );
    await holding(host, { kind }, args, async ({ outs }) => {
      assert.deepEqual([outs["relayhost"], outs["previousRelayhost"]], [`[${server.address}]:25`, old]);
      await submit("bob@example.com", "To a colleague");
      await arrives(host, "bob", "To a colleague");
      await submit("dave@elsewhere.example", "To the world");
      await logged(server, /to=<dave@elsewhere\.example>.*status=sent/);
      assert.doesNotMatch(await server.mailLog(), /bob@example\.com/);
    });
    assert.ok((await host.read(mainCf)).includes(`relayhost=\t ${old}  \n`));
  });

  it("asks the new server once: one dialogue, one recipient, no strange command", async () => {
    const before = (await visits()).length;
    const first = await create(host, { kind, stack: "a" }, args);
    const polite = "ehlo=2 starttls=1 mail=1 rcpt=1 quit=1 commands=6";
    await logged(server, new RegExp(`disconnect from unknown\\[${host.address}\\] ${polite}`));
    assert.deepEqual((await visits()).slice(before), [polite]);
    await first.update(args);
    await first.update({ ...args, onRefusal: "warn" });
    const second = await create(host, { kind, stack: "b" }, args);
    assert.deepEqual(await first.drift(), []);
    await second.remove();
    assert.equal(await relayhost(), `[${server.address}]:25`);
    await first.remove();
    assert.equal((await visits()).length, before + 1);
  });

  it("asks for a fresh recipient each time, or for the one that the user names", async () => {
    await refusing();
    const asked = async (more: object) =>
      (await refused(host, { kind }, { ...args, ...more }, /554 /)).match(/<(\S+@\S+)>/)?.[1] ?? "";
    const [first, second] = [await asked({}), await asked({})];
    assert.match(first, /^\S+@iana\.org$/);
    assert.match(second, /^\S+@iana\.org$/);
    assert.notEqual(first, second);
    assert.equal(await asked({ probeRecipient: "dave@elsewhere.example" }), "dave@elsewhere.example");
  });

  const useless: readonly { setting: string; why: RegExp }[] = [
    { setting: "default_transport=smtp:[old.example.net]", why: /no effect .*default_transport = smtp:\[old/ },
    {
      setting: "sender_dependent_relayhost_maps=inline:{a@b=[c]}",
      why: /no effect .*sender_dependent_relayhost_maps =/,
    },
    {
      setting: "sender_dependent_default_transport_maps=inline:{a@b=smtp:[c]}",
      why: /no effect .*sender_dependent_default_transport_maps =/,
    },
    { setting: "transport_maps=inline:{*=smtp:[old.example.net]}", why: /no effect .*the "\*" entry of inline:\{\*=/ },
    { setting: "transport_maps=inline:{ { * = smtp:[old] } }", why: /no effect .*the "\*" entry of inline:\{ \{ \*/ },
  ];
  it("is refused where it would have no effect", async () => {
    for (const { setting, why } of useless) {
      await write(host, `cp -a /opt/mailhost/postfix-at-first/main.cf ${mainCf}; postconf -e '${setting}'`);
      await refused(host, { kind }, args, why);
    }
  });

  it("is refused where it would do harm", async () => {
    const maps = "/etc/postfix/relay-password";
    const sasl = (key: string) =>
      `smtp_sasl_auth_enable=yes smtp_sasl_password_maps=texthash:${maps}; echo '${key} user:secret' >${maps}`;
    const harmful: readonly { settings: string; why: RegExp; server?: string }[] = [
      { settings: sasl(server.address), why: /would send a relay's password to/ },
      { settings: sasl(`[${server.address}]`), why: /would send a relay's password to/ },
      { settings: sasl(`[${server.address}]:25`), why: /would send a relay's password to/ },
      {
        settings: `smtp_sasl_auth_enable=yes 'smtp_sasl_password_maps=inline:{ { ${server.address} = user:secret } }'`,
        why: /one is written in the list itself/,
      },
      {
        settings: "smtp_sasl_auth_enable=yes smtp_sasl_password_maps=static:user:secret",
        why: /one is written in the list itself/,
      },
      {
        settings: `${sasl("alice@example.com")}; postconf -e smtp_sender_dependent_authentication=yes`,
        why: /would send its users' relay passwords to/,
      },
      { settings: "smtp_tls_security_level=verify", why: /smtp_tls_security_level = verify .* certificate/ },
      { settings: "smtp_tls_security_level=secure", why: /smtp_tls_security_level = secure .* certificate/ },
      { settings: "biff=no", why: /is \S+ itself: its outbound mail would loop/, server: host.address },
    ];
    for (const { settings, why, server: target = server.address } of harmful) {
      await write(host, `cp -a /opt/mailhost/postfix-at-first/main.cf ${mainCf}; postconf -e ${settings}`);
      const message = await refused(host, { kind }, { server: target }, why);
      assert.doesNotMatch(message, /user:secret/);
    }
  });

  it("is refused where mail must be encrypted and the new server does not offer it", async () => {
    await configure(host, "postconf -e smtp_tls_security_level=encrypt");
    await holding(host, { kind }, args, async () => {
      await submit("dave@elsewhere.example", "Sealed");
      await logged(server, /to=<dave@elsewhere\.example>.*status=sent/);
    });
    await configure(server, "postconf -e smtpd_tls_security_level=none");
    await refused(host, { kind }, args, /offers no STARTTLS, and smtp_tls_security_level = encrypt/);
  });

  it("is refused where the new server has the host's own name, for then Postfix bounces all", async () => {
    await configure(server, "postconf -e myhostname=Mail.Example.com");
    await refused(host, { kind }, args, /answers EHLO as mail\.example\.com, which is this host's own name/);
  });

  it("names the relay domains that it diverts", async () => {
    await configure(host, "postconf -e 'relay_domains = $mydestination, backup.example'");
    const { warnings } = await saying(() => holding(host, { kind }, args, () => Promise.resolve()));
    assert.match(warnings, /relay_domains backup\.example: their mail goes to the new server/);
  });

  it("quotes what the new server answered, and names the setting there that cures it", async () => {
    await refusing();
    await refused(
      host,
      { kind },
      args,
      /answered RCPT with "554 5\.7\.1 .*Relay access denied"/,
      /MtaStageRcpt\.allowRelaying .*remote_ip == '10\./,
    );
    await configure(server, "postconf -e smtpd_delay_reject=no smtpd_helo_restrictions=reject");
    await refused(host, { kind }, args, /answered EHLO with "554 5\.7\.1 <mail\.example\.com>/, /smtp_helo_name/);
    await refused(host, { kind }, { ...args, port: 2501 }, /closed the connection/, /AllowedIp/);
    await refused(host, { kind }, { ...args, port: 2502 }, /answered greeting with "554 5\.7\.1 Go away"/, /AllowedIp/);
    await refused(host, { kind }, { ...args, port: nobody }, /no connection from the host to port 2503/, /firewall/);
  });

  it("writes relayhost in spite of a refusal where the user wants it, and warns", async () => {
    await refusing();
    const { warnings } = await saying(() =>
      holding(host, { kind }, { ...args, onRefusal: "warn" }, async () => {
        assert.equal(await relayhost(), `[${server.address}]:25`);
      }),
    );
    assert.match(warnings, /^warning: OutboundRelay .*Relay access denied.* written all the same/m);
  });

  it("reports a relayhost that somebody changed, and sets it again", async () => {
    const before = await postfixFiles(host);
    const resource = await create(host, { kind }, args);
    await configure(host, "postconf -e relayhost=[other.example.net]");
    assert.match((await resource.drift()).join("\n"), /relayhost lacks \S+; it is: \[other\.example\.net\]/);
    await resource.update(args);
    assert.equal(await relayhost(), `[${server.address}]:25`);
    await resource.remove();
    assert.equal(await relayhost(), "[other.example.net]");
    await configure(host, "postconf -e relayhost=");
    assert.deepEqual(await postfixFiles(host), before);
  });

  describe("through an sshd that forwards nothing", () => {
    /** A connection of its own, made after sshd was told. */
    const through = () => ({ ...args, connection: { ...host.connection, dialErrorLimit: 3 } });
    before(() =>
      host.run(
        `echo 'AllowTcpForwarding no' >/etc/ssh/sshd_config.d/forwarding.conf; kill -HUP $(cat /run/sshd.pid); sleep 0.3`,
      ),
    );

    for (const tool of ["socat", "busybox"]) {
      it(`comes to the same verdicts with nothing but ${tool}`, async () => {
        const hidden = ["socat", "busybox"].filter((other) => other !== tool);
        await host.run(hidden.map((other) => `mv /usr/bin/${other} /usr/bin/${other}.hidden`).join("; "));
        try {
          await refused(host, { kind }, { ...through(), port: 2501 }, /closed the connection|no connection/);
          await refused(host, { kind }, { ...through(), port: 2502 }, /answered greeting with "554 5\.7\.1 Go away"/);
          await refused(host, { kind }, { ...through(), port: nobody }, /no connection from the host to port 2503/);
          const before = (await visits()).length;
          await holding(host, { kind }, through(), async () => {
            await logged(
              server,
              new RegExp(`disconnect from unknown\\[${host.address}\\] ehlo=1 mail=1 rcpt=1 quit=1 commands=4`),
            );
          });
          assert.deepEqual((await visits()).slice(before), ["ehlo=1 mail=1 rcpt=1 quit=1 commands=4"]);
          await refusing();
          await refused(host, { kind }, through(), /answered RCPT with "554 5\.7\.1 .*Relay access denied"/);
        } finally {
          await host.run(hidden.map((other) => `mv /usr/bin/${other}.hidden /usr/bin/${other}`).join("; "));
        }
      });
    }
  });
}
