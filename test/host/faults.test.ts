// What a host can do to a commit: tools that hang, disks that are full or read-only, files that cannot be replaced, daemons
// that die of the new configuration. A clear error, the old bytes, no debris, mail that works.
import { strict as assert } from "node:assert";
import { createAll, removeAll, resources, same } from "../support/cuts.js";
import { startHost, type Debian, type Host } from "../support/host.js";
import { login } from "../support/mail-client.js";
import { saying } from "../support/postfix.js";
import { create } from "../support/resources.js";

const state = "/var/lib/pulumi-dovecot-postfix";
const mainCf = "/etc/postfix/main.cf";

for (const debian of ["bookworm", "trixie"] as const) {
  describe(`faults of a host on ${debian}`, function () {
    this.timeout(120_000);
    promises(debian);
  });
}

function promises(debian: Debian): void {
  let host: Host;
  let pristine: Map<string, string>;

  before(async () => {
    host = await startHost(debian);
    await host.run("mkdir /run/mount");
    pristine = await host.files();
  });
  after(() => host.stop());

  /**
   * `make` makes the fault, `end` ends it. A daemon's resources fail together, for the reason and within the time, and leave
   * nothing; what the other daemon has taken meanwhile goes as it came.
   */
  async function fails(
    fault: { make: string; end: string; tidy?: string },
    reason: RegExp,
    seconds = 40,
  ): Promise<void> {
    await host.run(fault.make);
    const began = Date.now();
    const all = await Promise.allSettled(resources("a").map(([kind, args]) => create(host, { kind }, args)));
    const took = Date.now() - began;
    await host.run(fault.end);
    await removeAll(all.flatMap((one) => (one.status === "fulfilled" ? [one.value] : [])));
    await host.run(fault.tidy ?? ":");
    const errors = all.flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : []));
    assert.match(errors.join("\n"), reason);
    assert.ok(took < seconds * 1000, `took ${took} ms`);
    same(await host.files(), pristine);
    await serves();
  }

  async function serves(): Promise<void> {
    assert.ok(await login({ client: host, to: "127.0.0.1" }, "imap", ["alice@example.com", "alicepassword"]));
    for (const port of [25, 587]) assert.ok(await greets(port), `port ${port} does not answer`);
  }

  const greets = (port: number): Promise<boolean> =>
    host
      .dialogue({ host: "127.0.0.1", port }, async (smtp) => {
        await smtp.expect(/^220 /m);
        await smtp.send("EHLO client.example");
        return /^250 /m.test(await smtp.expect(/^250 .*/m));
      })
      .catch(() => false);

  /** A tool that hangs where its words match. Not in the directories that `files` watches once it is gone. */
  const hanging = (tool: string, words = "*") => ({
    make: `cat >/usr/local/sbin/${tool} <<'EOF'
#!/bin/sh
case "$*" in ${words}) exec sleep 100 ;; esac
PATH=/usr/sbin:/usr/bin:/sbin:/bin exec ${tool} "$@"
EOF
chmod 755 /usr/local/sbin/${tool}`,
    end: `rm /usr/local/sbin/${tool}`,
  });

  for (const [tool, words, reason] of [
    ["doveconf", "*", /doveconf/],
    ["doveconf", "-c*", /doveconf refuses the new settings: it does not end/],
    ["doveadm", "*", /sessions/],
    ["doveadm", "reload*", /doveadm reload does not end/],
    ["postconf", "*", /postconf/],
    ["postfix", "status*", /running/],
    ["postfix", "reload*", /postfix reload does not end/],
  ] as const) {
    it(`${tool} ${words} hangs`, () => fails(hanging(tool, words), reason, 60));
  }

  it("the proof hangs: the service counts as silent before, and is told", async () => {
    const { make, end } = hanging("posttls-finger");
    await host.run(make);
    const { report } = await saying(async () => removeAll(await createAll(host)));
    await host.run(end);
    assert.match(report, /did not answer before either: smtp/);
    same(await host.files(), pristine);
  });

  it("main.cf is immutable", () =>
    fails(
      { make: `chattr +i ${mainCf}`, end: `chattr -i ${mainCf}` },
      /could not be put in place.*Operation not permitted/s,
    ));

  it("Postfix's directory is read-only", () =>
    fails(
      {
        make: "mount --bind /etc/postfix /etc/postfix && mount -o remount,ro,bind /etc/postfix",
        end: "umount /etc/postfix",
      },
      /new files could not be written.*Read-only file system/s,
    ));

  it("the ledger's directory is read-only", () =>
    fails(
      { make: `mkdir ${state} && mount -t tmpfs -o ro none ${state}`, end: `umount ${state} && rmdir ${state}` },
      /cannot write in the ledger's directory/,
    ));

  for (const options of [
    "size=4k",
    "size=28k",
    "size=44k",
    "nr_inodes=3",
    "nr_inodes=8",
    "nr_inodes=12",
    "nr_inodes=18",
  ]) {
    it(`the ledger's file system has only ${options}`, () =>
      fails(
        {
          make: `mkdir ${state} && mount -t tmpfs -o ${options} none ${state}`,
          end: `mount -o remount,size=10m,nr_inodes=0 ${state}`,
          tidy: `test -z "$(ls ${state})" && umount ${state} && rmdir ${state}`,
        },
        /old files could not be made|new files could not be written|cannot write in the ledger/,
      ));
  }

  it("Postfix's directory is full", () =>
    fails(
      {
        make: `mkdir /tmp/full && mount -t tmpfs -o size=$(($(du -s -k --apparent-size /etc/postfix | cut -f1) * 3))k none /tmp/full &&
          cp -a /etc/postfix/. /tmp/full && mount --bind /tmp/full /etc/postfix && { cat /dev/zero >/etc/postfix/filler 2>/dev/null || true; }`,
        end: "umount /etc/postfix && umount /tmp/full && rmdir /tmp/full",
      },
      /new files could not be written.*No space left/s,
    ));

  it("/tmp is not ours to execute in, and needs not be", async () => {
    await host.run("mount -t tmpfs -o noexec,size=4k none /tmp");
    await removeAll(await createAll(host));
    await host.run("umount /tmp");
    same(await host.files(), pristine);
  });

  it("symlinked, hard linked, ACLs, extended attributes, owner and mode stay", async () => {
    await host.run(`cp -a ${mainCf} /root/main.cf.kept
      mv ${mainCf} /etc/main.cf.real && ln -s ../main.cf.real ${mainCf} && ln /etc/main.cf.real /etc/main.cf.linked
      setfacl -m u:postfix:r /etc/main.cf.real && setfattr -n user.keeper -v me /etc/main.cf.real
      chmod 640 /etc/main.cf.real && chown root:postfix /etc/main.cf.real`);
    const marks = () =>
      host.run(
        `readlink ${mainCf}; cd /etc; stat -c '%h %a %U:%G %i' main.cf.real; getfacl -c main.cf.real; getfattr -d main.cf.real; cmp main.cf.real main.cf.linked`,
      );
    const [odd, before] = [await host.files(), await marks()];
    const all = await createAll(host);
    assert.match(await host.read("/etc/main.cf.linked"), /203\.0\.113\.20/);
    assert.equal(await marks(), before);
    await removeAll(all);
    assert.equal(await marks(), before);
    same(await host.files(), odd);
    await host.run(`rm /etc/main.cf.real /etc/main.cf.linked ${mainCf}; mv /root/main.cf.kept ${mainCf}`);
    same(await host.files(), pristine);
  });

  it("every smtpd dies of the new settings: mail is back within 10 s", async () => {
    const smtpd = (await host.run("echo $(postconf -h daemon_directory)/smtpd")).trim();
    const wrapper = `#!/bin/sh\ngrep -q 203.0.113.20 ${mainCf} && exit 1\nexec ${smtpd}.real "$@"\n`;
    await host.run(`mv ${smtpd} ${smtpd}.real`);
    await host.write(smtpd, wrapper, "755");
    const outages: number[] = [];
    const watching = { until: Date.now() + 60_000, end: () => (watching.until = 0) };
    const watch = (async () => {
      for (let down = 0; Date.now() < watching.until || (down > 0 && Date.now() - down < 30_000);) {
        const up = await greets(25);
        if (!up && down === 0) down = Date.now();
        if (up && down > 0) outages.push(Date.now() - down);
        if (up) down = 0;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    })();
    const all = await Promise.allSettled(resources("a").map(([kind, args]) => create(host, { kind }, args)));
    watching.end();
    await watch;
    const errors = all.flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : []));
    assert.match(
      errors.join("\n"),
      /does not answer after the reload.*The old files are back and postfix answers again/s,
    );
    await removeAll(all.flatMap((one) => (one.status === "fulfilled" ? [one.value] : [])));
    same(await host.files(), pristine);
    await serves();
    console.log(`        outages of port 25: ${outages.join(", ")} ms`);
    assert.ok(outages.every((ms) => ms < 15_000));
    await host.run(`mv ${smtpd}.real ${smtpd}`);
  });

  it("another operation holds the lock: it is waited for, and said", async () => {
    await host.run("flock /var/lib sleep 2 >/dev/null 2>&1 </dev/null &");
    const { report } = await saying(async () => removeAll(await createAll(host)));
    assert.match(report, /another operation holds the lock on \/var\/lib; it is waited for, up to 60 s/);
    same(await host.files(), pristine);
  });

  it("no process of ours is left after a commit", async () => {
    await removeAll(await createAll(host));
    const left = await host.run(
      "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done 2>/dev/null | grep -E '^(sh|flock|timeout) ' || true",
    );
    assert.equal(left.replace(/^sh (-c|.opt).*$/gm, "").trim(), "");
  });
}
