// Odd files: links, other file systems, line ends, bytes that are no text, sizes, what people write between the lines. With the
// real create, update and remove: it works and ends byte for byte as it began, or is refused before any change.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { createAll, instrumented, meanwhile, removeAll, same, updateAll } from "../support/cuts.js";
import { startHost, type Debian, type Host } from "../support/host.js";
import { serves } from "../support/mail-client.js";
import { arrives, mainCf, masterCf, send } from "../support/postfix.js";
import { create } from "../support/resources.js";
import { oneIn, sampled, soaking } from "../support/sample.js";

interface Oddity {
  readonly what: string;
  /** What makes the host's files odd, in /etc/postfix and /etc/dovecot as they are. */
  readonly make: string;
  readonly end?: string;
}

const at = "/etc/dovecot/conf.d/98-operator.conf";
const megabyte = "yes '# One of many lines that an administrator wrote, with \\0 \\\\ and é in it.' | head -c 1048576";

/** These can be so on one host at a time. */
const together: readonly Oddity[] = [
  { what: "tabs", make: `printf 'mynetworks\\t=\\t127.0.0.0/8,\\t[::1]/128\\n' >>${mainCf}` },
  { what: "duplicates", make: `sed -i '1i mynetworks = 192.0.2.0/24' ${mainCf}` },
  {
    what: "comments between continuation lines",
    make: `printf '%s\\n' 'smtpd_authorized_xclient_hosts =' '  192.0.2.1' '# one' '' '   # two' '  192.0.2.2' >>${mainCf}
      sed -i '/^submission /a\\# off:\\n  -o smtpd_delay_reject=yes' ${masterCf}`,
  },
  {
    what: "# in values",
    make: `printf 'smtpd_banner = $myhostname #1 ESMTP\\n' >>${mainCf}; printf 'login_greeting = a#b\\n' >>${at}`,
  },
  { what: "bytes that are no UTF-8", make: `printf '# caf\\351 \\377\\376\\n' | tee -a ${mainCf} ${masterCf} >>${at}` },
  { what: "NUL bytes", make: `printf '# a\\0b\\n' | tee -a ${mainCf} ${masterCf} >>${at}` },
  {
    what: "symbolic links to another file system",
    make: `mkdir /srv/other; mount -t tmpfs none /srv/other; for f in ${mainCf} ${masterCf}; do mv $f /srv/other; ln -s /srv/other/\${f##*/} $f; done`,
    end: `for f in ${mainCf} ${masterCf}; do rm $f; mv /srv/other/\${f##*/} $f; done; umount /srv/other; rmdir /srv/other`,
  },
  {
    what: "included files on another file system",
    make: "mount -t tmpfs -o mode=755 none /mnt; cp -a /etc/dovecot/conf.d/. /mnt; mount --move /mnt /etc/dovecot/conf.d",
    end: "umount /etc/dovecot/conf.d",
  },
  { what: "no final newline", make: `for f in ${mainCf} ${masterCf} ${at}; do printf '# end' >>$f; done` },
];

/** Each of these is a host's whole configuration. */
const alone: readonly Oddity[] = [
  {
    what: "CRLF",
    make: `sed -i 's/$/\\r/' ${mainCf} ${masterCf} /etc/dovecot/dovecot.conf /etc/dovecot/conf.d/*.conf`,
  },
  {
    what: "a megabyte of comments",
    make: `for f in ${mainCf} /etc/dovecot/dovecot.conf; do ${megabyte} >/tmp/comments; echo >>/tmp/comments; cat $f >>/tmp/comments; cat /tmp/comments >$f; done; rm /tmp/comments`,
  },
  {
    // Where nothing is included, we add a line of our own.
    what: "a dovecot.conf that includes nothing, ends in no newline, has CRLF, NUL and other bytes, and is a symbolic link",
    make: `cd /etc/dovecot; awk '/^dovecot_(config|storage)_version/' dovecot.conf >/tmp/one; doveconf -nP | grep -v '^dovecot_.*_version' >>/tmp/one
      sed -i 's/$/\\r/' /tmp/one; printf '# a\\0b \\377\\r\\n# end' >>/tmp/one; cat /tmp/one >/etc/dovecot.one; rm /tmp/one dovecot.conf; ln -s ../dovecot.one dovecot.conf`,
    end: "rm /etc/dovecot.one",
  },
];

for (const debian of sampled("bookworm")) {
  describe(`odd files on ${debian}`, () => {
    promises(debian);
  });
}

function promises(debian: Debian): void {
  let host: Host;
  const kept = "/opt/mailhost/etc";
  /** A file of this very second would make each of Postfix's programs wait. */
  const loaded = "touch -d '1 minute ago' $(realpath /etc/postfix/*.cf); doveadm reload; postfix reload 2>/dev/null";

  before(async () => {
    host = await startHost(debian);
    await host.run(`mkdir -p ${kept} && cp -a /etc/postfix /etc/dovecot ${kept}`);
  });
  after(() => host.stop());

  const restore = (end: string) =>
    host.run(
      `${end}\nrm -rf /var/lib/pulumi-dovecot-postfix /etc/postfix /etc/dovecot; cp -a ${kept}/. /etc; ${loaded}`,
    );
  const whole = async ({ make, end = ":" }: Oddity): Promise<void> => {
    await host.run(`set -e; ${make}\n${loaded}`);
    try {
      const odd = await host.files();
      const all = await createAll(host);
      await updateAll(all);
      assert.deepEqual(await Promise.all(all.map((one) => one.drift())), [[], [], [], []]);
      assert.match(await host.run("postconf -h mynetworks"), /\[2001:db8::20\]\/128/);
      assert.match(await host.run("postconf -P submission/inet/smtpd_authorized_xclient_hosts"), /198\.51\.100\.8\/32/);
      await delivers();
      await removeAll(all);
      same(await host.files(), odd);
    } finally {
      await restore(end);
    }
  };
  const delivers = async (): Promise<void> => {
    await serves(host, [587]);
    assert.match(await send({ at: host }, "127.0.0.1", { subject: "Through odd files" }), /^250 2\.0\.0 Ok/);
    await arrives(host, "alice", "Through odd files");
  };

  const all = {
    what: together.map(({ what }) => what).join(", "),
    make: together.map(({ make }) => make).join("\n"),
    end: together.map(({ end }) => end ?? ":").join("\n"),
  };
  const each = soaking ? together : [];
  const it = oneIn(2);
  for (const oddity of [all, ...each, ...alone]) it(oddity.what, () => whole(oddity));

  it("a main.cf that is a mount of its own is not replaced, and says so", async () => {
    await host.run(`cp -a ${mainCf} /root/mounted; mount --bind /root/mounted ${mainCf}`);
    try {
      const before = await host.files();
      await assert.rejects(
        create(host, { kind: "RelayAcceptance" }, { servers: ["192.0.2.20"] }),
        /cannot put \/etc\/postfix\/main\.cf in place: .*busy.*The old files are back and postfix answers again/is,
      );
      same(await host.files(), before);
      await delivers();
    } finally {
      await host.run(`umount ${mainCf}; rm /root/mounted`);
    }
  });

  it("where Dovecot includes all files of a directory, it reads none that only waits to take its place", async () => {
    const main = "/etc/dovecot/dovecot.conf";
    await host.run(`cp -a ${main} /root; sed -i 's|^!include conf.d/\\*.conf|!include conf.d/[0-9]*|' ${main}`);
    await instrumented(host);
    const before = await host.files();
    const settings = async () => (await host.run("doveconf -n")).replace(/^#.*\n/gm, "");
    const inForce = await settings();
    const staged = { where: "dovecot", at: "check_check" } as const;
    const all = await meanwhile(
      host,
      staged,
      () => createAll(host),
      async () => {
        assert.match(await host.run("ls -A /etc/dovecot/conf.d"), /^\..*pulumi-new$/m);
        assert.equal(await settings(), inForce);
      },
    );
    assert.notEqual(await settings(), inForce);
    await removeAll(all);
    same(await host.files(), before);
    await host.run(`mv /root/dovecot.conf ${main}; rm -r /usr/local/bin/sh /opt/fault; doveadm reload`);
  });

  it("a megabyte adds less than a second to an observation", async () => {
    const trust = await create(host, { kind: "RelayAcceptance" }, { servers: ["192.0.2.20"] });
    const observed = async (): Promise<number> => {
      const began = Date.now();
      assert.deepEqual(await trust.drift(), []);
      return Date.now() - began;
    };
    // The machine may be busy with other things: the best of some tells what it takes.
    const best = async (enough: number): Promise<number> => {
      let least = Infinity;
      for (let n = 0; n < 10 && least > enough; n++) least = Math.min(least, await observed());
      return least;
    };
    const small = await best(100);
    await host.run(`${megabyte} >>${mainCf}; echo >>${mainCf}; ${loaded}`);
    const large = await best(small + 300);
    await trust.remove();
    await restore(":");
    console.log(`        observed in ${small} ms without it, ${large} ms with it`);
    assert.ok(large - small < 1000);
  });

  // It takes packages from Debian's mirror, and a minute.
  if (soaking)
    it("etckeeper commits at any moment, and finds nothing to commit in the end", async function () {
      const install = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq git etckeeper";
      await host.write("/etc/resolv.conf", readFileSync("/etc/resolv.conf", "latin1"));
      const { code } = await host.exec(`(${install}) </dev/null >/dev/null 2>&1`);
      await host.write("/etc/resolv.conf", "nameserver 127.0.0.1\n");
      if (code !== 0) this.skip();
      await host.run("cd /etc; etckeeper init; etckeeper commit first || true; echo >/run/committing");
      const pristine = await host.files();
      const commits = host.run(
        "cd /etc; while [ -e /run/committing ]; do etckeeper unclean && { etckeeper commit meanwhile || echo failed; }; sleep 0.1; done",
      );
      const all = await createAll(host);
      await updateAll(all);
      await removeAll(all);
      await host.run("rm /run/committing");
      assert.doesNotMatch(await commits, /^failed$/m);
      assert.ok(Number(await host.run("git -C /etc rev-list --count HEAD")) > 2);
      await host.run("cd /etc; etckeeper unclean && etckeeper commit last || true");
      assert.equal(
        await host.run(
          "cd /etc; git status --porcelain; git diff --stat $(git rev-list --max-parents=0 HEAD) HEAD -- postfix dovecot",
        ),
        "",
      );
      same(withoutGit(await host.files()), withoutGit(pristine));
    });
}

function withoutGit(files: Map<string, string>): Map<string, string> {
  return new Map([...files].filter(([path]) => !/^\/etc\/\.(git|etckeeper)|^\/run\/committing/.test(path)));
}
