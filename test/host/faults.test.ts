// What a host can do to a commit: tools that hang, disks that are full or read-only, files that cannot be replaced, daemons
// that die of the new configuration. A clear error, the old bytes, no debris, mail that works. Each fault has a fresh host.
import { strict as assert } from "node:assert";
import {
  createAll,
  instrumented,
  meanwhile,
  operations,
  order,
  removeAll,
  resources,
  same,
  settled,
  sideOf,
  type Side,
} from "../support/cuts.js";
import { startHost, type Debian, type Host } from "../support/host.js";
import { serves } from "../support/mail-client.js";
import { ehlo, mainCf, mortalSmtpd, saying } from "../support/postfix.js";
import { create, type Resource } from "../support/resources.js";
import { oneIn, sampled, soaking } from "../support/sample.js";

const state = "/var/lib/pulumi-dovecot-postfix";

interface Fault {
  readonly make: string;
  readonly end: string;
  /** After what could be created has been removed. */
  readonly tidy?: string;
  readonly reason: RegExp;
  readonly seconds?: number;
}

const small = soaking ? ["size=28k", "size=44k", "nr_inodes=8", "nr_inodes=12"] : [];

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

/** What those that fail say. */
async function reasons(all: readonly Promise<unknown>[]): Promise<string> {
  const ended = await Promise.allSettled(all);
  return ended.flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : [])).join("\n");
}

/** All resources at once: who succeeded, and what the others said. */
async function attempt(host: Host) {
  const all = resources("a").map(([kind, args]) => create(host, { kind }, args));
  const said = await reasons(all);
  const made = (await Promise.allSettled(all)).flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  return { made, said };
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

/** In the place of a tool: a line of its own, then the tool. */
const standIn = (tool: string, line: string) =>
  `printf '%s\\n' '#!/bin/sh' '${line}' 'PATH=/usr/sbin:/usr/bin exec ${tool} "$@"' >/usr/local/sbin/${tool} &&
    chmod 755 /usr/local/sbin/${tool}`;

/** A tool that hangs where its words match the pattern. */
const hanging = (tool: string, words: string) => ({
  make: standIn(tool, `case "$*" in ${words}) exec sleep 100 ;; esac`),
  end: `rm /usr/local/sbin/${tool}`,
});

/** What befalls a directory: the program of a daemon that it is made for leaves its files as they were. */
interface Illness {
  readonly what: string;
  readonly directory: string;
  readonly make: string;
  readonly reason: RegExp;
  /** Where nothing has to be written, nothing fails. */
  readonly spares?: "remove";
}

/** A directory becomes a small disk, and what is on it then comes back. */
const becomesDisk = (directory: string) => `mkdir -p -m 700 ${directory} && mkdir /run/disk &&
  mount -t tmpfs -o size=1m,nr_inodes=300,mode=$(stat -c %a ${directory}) none /run/disk && cp -a ${directory}/. /run/disk && mount --move /run/disk ${directory}`;
/** Lazily: Postfix's services may have a table of it open. */
const isDiskNoMore = (directory: string) => `rm -f /usr/local/sbin/postfix /usr/local/sbin/doveadm
  ! mountpoint -q ${directory} || { mount -o remount,rw ${directory} && rm -rf ${directory}/filler && chattr -R -i ${directory} &&
  mount --move ${directory} /run/disk && find ${directory} -mindepth 1 -delete && cp -a /run/disk/. ${directory} && umount -l /run/disk; }
  rm -f /run/mount/*; rmdir /run/disk; rmdir ${state} 2>/dev/null || :`;

const fills = (directory: string) => `! cat /dev/zero 2>/dev/null >${directory}/filler`;
const takesInodes = (directory: string) =>
  `mkdir ${directory}/filler && n=0 && while true 2>/dev/null >${directory}/filler/$n; do n=$((n + 1)); done`;
const locks = (directory: string) => `mount -o remount,ro ${directory}`;

/** When the new files are in place: it happens within the reload. */
const atReload = (side: Side, happens: string) =>
  standIn(side === "dovecot" ? "doveadm" : "postfix", `if [ "$1" = reload ]; then rm "$0"; ${happens}; fi`);

function illnesses(side: Side): Illness[] {
  const directory = `/etc/${side}`;
  // Its files only go.
  const spares = side === "dovecot" && ({ spares: "remove" } as const);
  const last = { dovecot: "/etc/dovecot/pulumi-dovecot-postfix.master.sieve", postfix: mainCf }[side];
  const ofNewFiles = (why: string) => new RegExp(`new files could not be written.*(${why})`, "s");
  const ofLedger = /old files could not be made/;
  const undone = /could not be reloaded.*The old (files are back|bytes of .* could not be put back)/s;
  return [
    { what: "is full", directory, make: fills(directory), reason: ofNewFiles("No space left|I/O error"), ...spares },
    { what: "has no inodes", directory, make: takesInodes(directory), reason: ofNewFiles("No space left"), ...spares },
    { what: "is read-only", directory, make: locks(directory), reason: /Read-only file system/ },
    {
      what: "has an immutable file",
      directory,
      // Where there is none yet, what would hold it.
      make: `chattr +i "$(ls ${last} 2>/dev/null || echo ${directory})"`,
      reason: /Operation not permitted/,
    },
    { what: "is full", directory: state, make: fills(state), reason: ofLedger },
    { what: "has no inodes", directory: state, make: takesInodes(state), reason: ofLedger },
    { what: "is read-only", directory: state, make: locks(state), reason: ofLedger },
    ...[directory, state].map((full) => {
      const make = atReload(side, `${fills(full)}; exit 1`);
      return { what: "is full once the new files are in place", directory: full, make, reason: undone };
    }),
  ];
}

/** Fails each operation on one daemon's resources, and finds its files, and its part of the ledger, as they were. */
async function befalls(host: Host, side: Side, { directory, make, reason, spares }: Illness): Promise<void> {
  const mine = (variant: "a" | "b") => resources(variant).filter(([kind]) => sideOf(kind) === side);
  const all: Resource[] = [];
  const made = mine("a").map(
    ([kind, args]) =>
      () =>
        create(host, { kind }, args),
  );
  const runs = {
    create: () => made.map((one) => one()),
    update: () => all.map((one, n) => one.update(mine("b")[n]?.[1] ?? {})),
    remove: () => all.map((one) => one.remove()),
  };
  const pristine = await host.files();
  for (const operation of operations) {
    const old = await host.files();
    await host.run(`${becomesDisk(directory)} && ${make}`);
    const said = await reasons(runs[operation]());
    await settled(host);
    await serves(host);
    await host.run(isDiskNoMore(directory));
    if (operation === spares) assert.equal(said, "");
    else {
      assert.match(said, reason, `${operation}: ${said}`);
      // The next operation does it.
      if (/could not be put back/.test(said)) {
        const another = await create(host, other[side].owner, other[side].args);
        await another.remove();
      }
      same(await host.files(), old);
    }
    assert.equal(await ofOurs(host), "");
    if (operation === "create") all.push(...(await Promise.all(runs.create())));
  }
  await removeAll(all);
  same(await host.files(), pristine);
}

/** A resource that has to do with none of the others. */
const other = {
  dovecot: { owner: { kind: "DovecotProxyTrust", name: "other" }, args: { proxies: ["192.0.2.77"] } },
  postfix: { owner: { kind: "RelayAcceptance", name: "other" }, args: { servers: ["192.0.2.77"] } },
};

/** Processes that an operation has left: they come from a login, or hold the lock's file. Of a watchdog, none in a second. */
const ofOurs = (host: Host) =>
  host.run(`for n in 1 2 3 4 5 6 7 8 9 10; do
      left=$({ grep -lz '^SSH_CONNECTION=' /proc/[0-9]*/environ; find /proc/[0-9]*/fd -lname /var/lib; } 2>/dev/null | cut -d/ -f3 | sort -u)
      [ -n "$left" ] || exit 0
      sleep 0.1
    done
    for pid in $left; do tr '\\0' ' ' </proc/$pid/cmdline; echo; done 2>/dev/null; true`);

for (const debian of sampled("bookworm")) {
  describe(`faults of a host on ${debian}`, function () {
    this.timeout(120_000);
    promises(debian);
  });
}

function promises(debian: Debian): void {
  const itOfMany = oneIn(5);
  for (const side of ["dovecot", "postfix"] as const) {
    for (const illness of illnesses(side)) {
      itOfMany(`${side}: ${illness.directory} ${illness.what}`, () =>
        onHost(debian, (host) => befalls(host, side, illness)),
      );
    }
  }

  const it = oneIn(4);

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

  it("symlinks, hard links, ACLs, extended attributes, owner and mode stay, also where a change is undone", () =>
    onHost(debian, async (host) => {
      await host.run(`cd /etc && mv ${mainCf} main.cf.real && ln -s ../main.cf.real ${mainCf} && ln main.cf.real main.cf.linked
        for f in main.cf.real postfix/master.cf; do
          chmod 640 $f && chown root:postfix $f && setfacl -m u:postfix:r $f && setfattr -n user.keeper -v me $f
        done`);
      // What is renamed into place is another file; what has a second name is the same.
      const marks = () =>
        host.run(`cd /etc && readlink ${mainCf} && stat -c '%h %a %U:%G %i' main.cf.real && stat -c '%h %a %U:%G' postfix/master.cf &&
          getfacl -c main.cf.real postfix/master.cf && getfattr -d main.cf.real postfix/master.cf && cmp main.cf.real main.cf.linked`);
      const [odd, before] = [await host.files(), await marks()];
      /** Of both daemons, when their new files are in place. */
      const fail = async (run: () => Promise<unknown>[]): Promise<void> => {
        const old = await host.files();
        await host.run(`${atReload("dovecot", "exit 1")}; ${atReload("postfix", "exit 1")}`);
        const said = await reasons(run());
        for (const side of ["dovecot", "postfix"]) {
          const undone = `${side}: the daemon could not be reloaded[^]*The old files are back and ${side} answers`;
          assert.match(said, new RegExp(undone));
        }
        assert.equal(await marks(), before);
        same(await host.files(), old);
      };
      await fail(() => resources("a").map(([kind, args]) => create(host, { kind }, args)));
      const all = await createAll(host);
      assert.match(await host.read("/etc/main.cf.linked"), /203\.0\.113\.20/);
      assert.equal(await marks(), before);
      await fail(() => all.map((one, n) => one.update(resources("b")[n]?.[1] ?? {})));
      await fail(() => all.map((one) => one.remove()));
      await removeAll(all);
      assert.equal(await marks(), before);
      same(await host.files(), odd);
    }));

  it("every smtpd dies of the new settings: mail is back at once, in spite of master's throttle", () =>
    onHost(debian, async (host, pristine) => {
      await mortalSmtpd(host, "203.0.113.20");
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
      await mortalSmtpd(host, "203.0.113.20");
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

  it("the ledger's disk is full when the services are asked: one that died is not taken for one that lives", () =>
    onHost(debian, async (host, pristine) => {
      await mortalSmtpd(host, "203.0.113.20");
      const before = await host.files(["/etc"]);
      await host.run(`${becomesDisk(state)} && ${atReload("postfix", fills(state))}`);
      await assert.rejects(
        create(host, { kind: "RelayAcceptance" }, { servers: ["203.0.113.20"] }),
        /does not answer after the reload/,
      );
      await settled(host);
      same(await host.files(["/etc"]), before);
      await serves(host);
      await host.run(isDiskNoMore(state));
      same(await host.files(), pristine);
    }));

  it("another operation holds the lock: it is waited for, and said", () =>
    onHost(debian, async (host, pristine) => {
      // Until somebody waits for it.
      const awaited = "until pgrep -f '^flock -w 60 ' && sleep 1; do sleep 0.1; done";
      await host.run(`timeout 50 flock /var/lib sh -c "${awaited}" >/dev/null 2>&1 </dev/null &`);
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
        await assert.rejects(createAll(host), /was ended before it was done/);
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
      const all = await createAll(host);
      const written = await host.files();
      assert.equal(await ofOurs(host), "");
      await new Promise((resolve) => setTimeout(resolve, 2000));
      same(await host.files(), written);
      await removeAll(all);
      assert.equal(await ofOurs(host), "");
    }));
}
