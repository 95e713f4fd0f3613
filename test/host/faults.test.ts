// What a host can do to a commit: tools that hang, disks that are full or read-only, files that cannot be replaced, daemons
// that die of the new configuration. A clear error, the old bytes, no debris, mail that works. Each fault has a fresh host.
import { strict as assert } from "node:assert";
import { createAll, instrumented, meanwhile, order, removeAll, resources, same, settled } from "../support/cuts.js";
import { startHost, type Debian, type Host } from "../support/host.js";
import { serves } from "../support/mail-client.js";
import { ehlo, saying } from "../support/postfix.js";
import { create } from "../support/resources.js";
import { sampled, soaking } from "../support/sample.js";

const state = "/var/lib/pulumi-dovecot-postfix";
const mainCf = "/etc/postfix/main.cf";

interface Fault {
  readonly make: string;
  readonly end: string;
  /** After what could be created has been removed. */
  readonly tidy?: string;
  readonly reason: RegExp;
  readonly seconds?: number;
}

const small = soaking ? ["size=28k", "size=44k", "nr_inodes=8", "nr_inodes=12"] : [];

for (const debian of sampled("bookworm")) {
  describe(`faults of a host on ${debian}`, function () {
    this.timeout(120_000);
    promises(debian);
  });
}

async function onHost(
  debian: Debian,
  then: (host: Host, pristine: Map<string, string>) => Promise<void>,
): Promise<void> {
  const host = await startHost(debian);
  try {
    // mount's own directory.
    await host.run("mkdir /run/mount");
    await then(host, await host.files());
  } finally {
    await host.stop();
  }
}

/** All resources at once: who succeeded, and what the others said. */
async function attempt(host: Host) {
  const all = await Promise.allSettled(resources("a").map(([kind, args]) => create(host, { kind }, args)));
  return {
    made: all.flatMap((one) => (one.status === "fulfilled" ? [one.value] : [])),
    said: all.flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : [])).join("\n"),
  };
}

/** A daemon's resources fail together and leave nothing; what the other daemon has taken meanwhile goes as it came. */
function fails(debian: Debian, { make, end, tidy = ":", reason, seconds = 30 }: Fault): Promise<void> {
  return onHost(debian, async (host, pristine) => {
    await host.run(make);
    const began = Date.now();
    const { made, said } = await attempt(host);
    const took = Date.now() - began;
    await host.run(end);
    await serves(host);
    await removeAll(made);
    await host.run(tidy);
    assert.match(said, reason);
    assert.ok(took < seconds * 1000, `took ${took} ms`);
    same(await host.files(), pristine);
  });
}

/** A tool that hangs where its words match the pattern. */
const hanging = (tool: string, words: string) => ({
  make: `printf '%s\n' '#!/bin/sh' 'case "$*" in ${words}) exec sleep 100 ;; esac' 'PATH=/usr/sbin:/usr/bin exec ${tool} "$@"' >/usr/local/sbin/${tool}
    chmod 755 /usr/local/sbin/${tool}`,
  end: `rm /usr/local/sbin/${tool}`,
});

/** Its smtpd dies of our new settings. */
async function mortal(host: Host): Promise<void> {
  const smtpd = (await host.run("echo $(postconf -h daemon_directory)/smtpd")).trim();
  await host.run(`mv ${smtpd} ${smtpd}.real`);
  await host.write(smtpd, `#!/bin/sh\ngrep -q 203.0.113.20 ${mainCf} && exit 1\nexec ${smtpd}.real "$@"\n`, "755");
}

function promises(debian: Debian): void {
  it("a tool hangs: an error that names it, in less than a minute, and old bytes", async () => {
    const hangs = [
      { ...hanging("doveconf", "*"), reason: /not answered in time: .*doveconf/ },
      { ...hanging("doveconf", "-c*"), reason: /doveconf refuses the new settings: it does not end/ },
      { ...hanging("doveadm", "*"), reason: /not answered in time: .*sessions/ },
      { ...hanging("doveadm", "reload*"), reason: /doveadm reload does not end/ },
      { ...hanging("postconf", "*"), reason: /not answered in time: .*postconf/ },
      { ...hanging("postconf", "-h?daemon*"), reason: /postfix: it could not be asked whether it runs/ },
      { ...hanging("postfix", "reload*"), reason: /postfix reload does not end/ },
    ];
    const sample = soaking ? hangs : hangs.filter((_, n) => n % 2 === 1);
    await Promise.all(sample.map((fault) => fails(debian, { ...fault, seconds: 60 })));
  });

  it("the proof hangs: nothing answers in time, so nothing is changed", () =>
    fails(debian, {
      ...hanging("posttls-finger", "*"),
      reason: /postfix: its services do not answer, so a change could not be proved/,
    }));

  it("main.cf is immutable", () =>
    fails(debian, {
      make: `chattr +i ${mainCf}`,
      end: `chattr -i ${mainCf}`,
      reason: /could not be put in place.*Operation not permitted/s,
    }));

  it("Postfix's directory is read-only", () =>
    fails(debian, {
      make: "mount --bind /etc/postfix /etc/postfix && mount -o remount,ro,bind /etc/postfix",
      end: "umount -l /etc/postfix",
      reason: /new files could not be written.*Read-only file system/s,
    }));

  it("Postfix's directory is full", () =>
    fails(debian, {
      make: `mkdir /tmp/full && mount -t tmpfs -o size=1m none /tmp/full && cp -a /etc/postfix/. /tmp/full &&
        chmod 755 /tmp/full && mount --bind /tmp/full /etc/postfix && ! cat /dev/zero 2>/dev/null >/etc/postfix/filler`,
      end: "umount -l /etc/postfix && umount -l /tmp/full && rmdir /tmp/full",
      reason: /new files could not be written.*No space left/s,
    }));

  it("the ledger's directory is read-only", () =>
    fails(debian, {
      make: `mkdir ${state} && mount -t tmpfs -o ro none ${state}`,
      // The watchdog may have taken the empty directory away already.
      end: `umount ${state} && { rmdir ${state} 2>/dev/null || [ ! -e ${state} ]; }`,
      reason: /cannot write in the ledger's directory/,
    }));

  for (const options of ["size=4k", "nr_inodes=3", ...small]) {
    it(`the ledger's file system has only ${options}`, () =>
      fails(debian, {
        make: `mkdir ${state} && mount -t tmpfs -o ${options} none ${state}`,
        end: `mount -o remount,size=10m,nr_inodes=0 ${state}`,
        tidy: `test -z "$(ls ${state})" && umount ${state} && rmdir ${state}`,
        reason: /old files could not be made|new files could not be written/,
      }));
  }

  // (Dovecot 2.4's own doveconf must be able to write there.)
  it("nothing is executed in /tmp", () =>
    onHost(debian, async (host, pristine) => {
      await host.run("mount -t tmpfs -o noexec,size=10m none /tmp");
      await removeAll(await createAll(host));
      same(await host.files(), pristine);
    }));

  it("symlinks, hard links, ACLs, extended attributes, owner and mode stay", () =>
    onHost(debian, async (host) => {
      await host.run(`cd /etc && mv ${mainCf} main.cf.real && ln -s ../main.cf.real ${mainCf} && ln main.cf.real main.cf.linked
        setfacl -m u:postfix:r main.cf.real && setfattr -n user.keeper -v me main.cf.real
        chmod 640 main.cf.real && chown root:postfix main.cf.real`);
      const marks = () =>
        host.run(`cd /etc && readlink ${mainCf} && stat -c '%h %a %U:%G %i' main.cf.real && getfacl -c main.cf.real &&
          getfattr -d main.cf.real && cmp main.cf.real main.cf.linked`);
      const [odd, before] = [await host.files(), await marks()];
      const all = await createAll(host);
      assert.match(await host.read("/etc/main.cf.linked"), /203\.0\.113\.20/);
      assert.equal(await marks(), before);
      await removeAll(all);
      assert.equal(await marks(), before);
      same(await host.files(), odd);
    }));

  it("every smtpd dies of the new settings: mail is back at once, in spite of master's throttle", () =>
    onHost(debian, async (host, pristine) => {
      await mortal(host);
      // A client that waits is not served, so what counts is the time from one served client to the next.
      let [longest, served] = [0, Date.now()];
      const watching = { until: Date.now() + 60_000 };
      const watch = (async () => {
        while (Date.now() < watching.until) {
          if (!(await ehlo({ at: host }, "127.0.0.1").catch(() => "")).match(/^250 /m)) continue;
          longest = Math.max(longest, Date.now() - served);
          served = Date.now();
        }
      })();
      const began = Date.now();
      const { made, said } = await attempt(host);
      const took = Date.now() - began;
      await serves(host);
      watching.until = 0;
      await watch;
      assert.match(said, /does not answer after the reload.*The old files are back and postfix answers again/s);
      await removeAll(made);
      same(await host.files(), pristine);
      console.log(`        port 25 served nobody for ${longest} ms; the whole attempt took ${took} ms`);
      assert.ok(took < 60_000 && longest < 30_000);
    }));

  it("the log files are old ones, and the journal has the daemon's words", () =>
    onHost(debian, async (host) => {
      await host.run("kill $(cat /run/rsyslogd.pid); echo 'smtpd[1]: fatal: of last year' >>/var/log/mail.log");
      // Where systemd does not run there is no journal: this is what of it would be printed.
      await host.write("/usr/local/bin/journalctl", "#!/bin/sh\necho 'smtpd[2]: fatal: of today'\n", "755");
      await mortal(host);
      const { said } = await attempt(host);
      assert.match(said, /does not answer after the reload.*fatal: of today/s);
      assert.doesNotMatch(said, /last year/);
    }));

  it("the process table is full: an error, old bytes, and the next operation needs no help", async function () {
    await onHost(debian, async (host, pristine) => {
      if (!(await host.limitProcesses(undefined))) this.skip();
      for (const more of soaking ? [5, 9, 12, 15, 18, 20, 22, 25, 28, 30] : [9, 15, 25]) {
        await host.limitProcesses(more);
        const began = Date.now();
        const { said } = await attempt(host);
        const took = Date.now() - began;
        await host.limitProcesses(undefined);
        await settled(host);
        await serves(host);
        // Processes that had nothing to do may have made room.
        if (said !== "") assert.match(said, /^(SshError|HostError|Refusal): .*root@/, `${more}: ${said}`);
        assert.ok(took < 30_000, `${more}: took ${took} ms`);
        await removeAll(await createAll(host));
        same(await host.files(), pristine);
      }
    });
  });

  it("another operation holds the lock: it is waited for, and said", () =>
    onHost(debian, async (host, pristine) => {
      await host.run("flock /var/lib sleep 3 >/dev/null 2>&1 </dev/null &");
      const { report } = await saying(async () => removeAll(await createAll(host)));
      assert.match(report, /another operation holds the lock on \/var\/lib; it is waited for, up to 60 s/);
      same(await host.files(), pristine);
    }));

  it("sshd hangs: an error when the tries are over, nothing changed", () =>
    onHost(debian, async (host, pristine) => {
      const sshd = (await host.run("pgrep -o -x sshd")).trim();
      await host.run(`kill -STOP ${sshd}`);
      const connection = { ...host.connection, perDialTimeout: 1, dialErrorLimit: 2 };
      const relay = () => create(host, { kind: "RelayAcceptance" }, { connection, servers: ["203.0.113.20"] });
      await assert.rejects(relay(), /no answer in 2 tries.*no SSH server answered in 1 s/s);
      await host.run(`kill -CONT ${sshd}`);
      same(await host.files(), pristine);
      await (await relay()).remove();
      same(await host.files(), pristine);
    }));

  // These wait for a minute each.
  if (soaking) {
    it("sshd hangs in the middle of a commit: given up in two minutes, and the next operation finds what came of it", () =>
      onHost(debian, async (host, pristine) => {
        const began = Date.now();
        // Of our session: its parent is the process that waits for connections.
        const session = "pgrep -x 'sshd|sshd-session' | grep -vx \"$(pgrep -o -x sshd)\"";
        const hang = () => host.run(`kill -STOP $(${session})`);
        await assert.rejects(
          meanwhile(host, { where: "postfix", at: "put" }, () => createAll(host), hang),
          /connection .*the next operation finds what came of it/s,
        );
        const took = Date.now() - began;
        assert.ok(took < 120_000, `took ${took} ms`);
        await settled(host);
        await serves(host);
        await host.run(`kill -CONT $(${session}) || :`);
        await removeAll(await createAll(host));
        await host.run("rm -f /usr/local/bin/sh; rm -rf /opt/fault");
        same(await host.files(), pristine);
      }));

    it("a commit that stands still is ended by its watchdog, and the old bytes are back", () =>
      onHost(debian, async (host) => {
        await instrumented(host);
        const before = await host.files();
        // Dovecot's files are in place then, and the watchdog is still armed.
        await order(host, "dovecot", "clear_journal", "freeze");
        const began = Date.now();
        await assert.rejects(createAll(host), /cut off/);
        const took = Date.now() - began;
        await settled(host);
        same(await host.files(), before);
        assert.ok(took < 60_000, `took ${took} ms`);
        await serves(host);
      }));

    it("another operation holds the lock for longer: an error that says so", () =>
      onHost(debian, async (host, pristine) => {
        await host.run("flock /var/lib sleep 90 >/dev/null 2>&1 </dev/null &");
        await assert.rejects(createAll(host), /has held the lock on \/var\/lib for 60 s.*Nothing was changed/s);
        same(await host.files(), pristine);
      }));
  }

  it("no process of ours is left after a commit, and no watchdog bites later", () =>
    onHost(debian, async (host) => {
      const processes = () =>
        host.run(
          "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done 2>/dev/null | grep -E '^(flock|timeout) ' || true",
        );
      const all = await createAll(host);
      const written = await host.files();
      assert.equal(await processes(), "");
      await new Promise((resolve) => setTimeout(resolve, 2000));
      same(await host.files(), written);
      await removeAll(all);
    }));
}
