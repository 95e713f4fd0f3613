// Cuts: the commit program of a real host is stopped at its N-th step, one way or another, and then the host is looked at.
//
// The steps are found, not listed: the host's `sh` hands the program to bash, whose DEBUG trap counts every command that
// could change something, in the program's own shell and in that of each daemon's transaction, and acts at the one that was
// ordered, wherever the other transaction is then. The program itself is the one that users run.
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { deafen, deafenable, hear } from "./deaf.js";
import { startHost, type Connection, type Debian, type Host } from "./host.js";
import { serves } from "./mail-client.js";
import { create, type Resource } from "./resources.js";

export type Operation = "create" | "update" | "remove";
export const operations: readonly Operation[] = ["create", "update", "remove"];

/** How an operation ends. Each but `provider`, `reboot` and those of the link is done by the instrument on the host. */
export type Kind =
  | LinkKind
  /** kill -9 of the commit program, before a step. */
  | "program"
  /** kill -9 of one daemon's transaction: the rest of the program goes on. */
  | "side"
  /** kill -9 of the commit program, some milliseconds later, most likely within a command. */
  | "midway"
  /** kill -9 of sshd's process for the session: the program goes on without a link. */
  | "session"
  /** kill -9 of the program and of all that it started: no watchdog is left. */
  | "group"
  /** The same, and once more while the next operation mends it. */
  | "twice"
  /** The proof fails, and then at a step of the undo `program`, or every other time `group`. */
  | "undoing"
  /** The program stands still, and holds the lock. */
  | "freeze"
  /** No packet leaves the host for the client any more; nothing is reset. */
  | "silence"
  /** An administrator edits main.cf at that moment, then the program is killed. */
  | "edit"
  /** An administrator edits main.cf at that moment, and the program goes on. */
  | "editing"
  /** kill -9 of the process that runs the provider. */
  | "provider"
  /** The plug of the host is pulled. */
  | "reboot";

/** What becomes of the link, which toxiproxy is. */
export type LinkKind =
  /** Reset at a step. */
  | "reset"
  /** From a step on nothing comes through, either way, and nothing is closed until the client gives up. */
  | "hang"
  /** The same, but it is closed when the program on the host has ended. */
  | "stall"
  /** Closed after so many bytes to the host: of the handshake, of the question, of the program itself. */
  | "request"
  /** Closed after so many bytes of the answers. */
  | "answer"
  /** No cut: all comes through, in slices of 1 to 100 bytes, late. */
  | "slices";
export const atByte = (kind: Kind): kind is "request" | "answer" => kind === "request" || kind === "answer";
const linkKinds: readonly Kind[] = ["reset", "hang", "stall", "request", "answer", "slices"];

export interface Cut {
  readonly operation: Operation;
  readonly kind: Kind;
  /** From 1, over all shells of the program; for `request` and `answer` the byte. */
  readonly step: number;
}

/** A way to the host on which the cuts of the link are made (link.ts). */
export interface Link {
  readonly connection: Connection;
  /** Makes the cut, with the program at its step by order, and checks the client's error. False where it ended before. */
  cut(cut: Cut, run: () => Promise<unknown>): Promise<boolean>;
  /** How many bytes `run` sends and gets. */
  measure(run: () => Promise<unknown>): Promise<Lengths>;
}
export interface Lengths {
  readonly request: number;
  readonly answer: number;
}

/** The shells in which a commit runs. */
const shells = ["main", "dovecot", "postfix"] as const;
type Shell = (typeof shells)[number];

export interface Step {
  readonly where: Shell;
  /** As the instrument counts: a daemon's transaction goes on where the main shell was when it began. */
  readonly at: number;
  readonly command: string;
  /** The functions that have called the one in which it is, each with a "<" before it. */
  readonly callers: string;
}

const directory = "/opt/fault";
export const EDIT = "# edited by somebody";

/** Everything that a shell does without leaving its process cannot change the host, so a cut there is the next one. */
const instrument = String.raw`#!/bin/bash
[ $# = 0 ] && [ -e ${directory}/order ] || exec /bin/sh "$@"
program=$(cat)
# The program shares our variables, so these have names of our own.
case $program in *'transaction '*) ;; *) eval "$program"; exit ;; esac
read -r my_where my_at my_kind <${directory}/order
rm ${directory}/order
my_step=0 my_done=no
my_functions=' '$(printf '%s\n' "$program" | sed -n 's/^\([a-z0-9_]*\)() .*/\1/p' | tr '\n' ' ')
my_builtins=' [ : shift return case for exit true break trap wait read set umask export eval '
pure() {
  case "$my_functions$my_builtins" in *" ${"$"}{1%% *} "*) return 0 ;; esac
  [[ $1 =~ ^(\"\$\{phase\}|([a-zA-Z_]+=[^\(]*(\$\(\([^\(]*)?)$) ]]
}
doomed() { pgrep -P $$ | grep -vx "$1"; [ "$1" = $$ ] || echo $$; echo "$1"; }
fault() {
  # Not in children, and not in the watchdog: that is who has to mend it.
  [ "$BASHPID" = "${"$"}{self:-$$}" ] && [ "${"$"}{call:-transaction}" = transaction ] || return 0
  ! pure "$BASH_COMMAND" || return 0
  my_step=$((my_step + 1))
  printf -v my_callers '<%s' "${"$"}{FUNCNAME[@]:2}"
  echo "$my_step ${"$"}{FUNCNAME[1]}$my_callers ${"$"}{BASH_COMMAND%%$'\n'*}" >>${directory}/steps.${"$"}{daemon:-main}
  [ "$my_done.${"$"}{daemon:-main}" = "no.$my_where" ] || return 0
  case $my_at in "$my_step" | "${"$"}{FUNCNAME[1]}") ;; *) return 0 ;; esac
  my_done=yes
  echo >${directory}/made
  my_all=$(doomed "$BASHPID")
  case $my_kind in
  program) kill -9 $my_all ;;
  side) kill -9 "$BASHPID" ;;
  midway) (sleep "0.0$((my_at % 5))$((my_at % 7))"; kill -9 $my_all) </dev/null >/dev/null 2>&1 9<&- & ;;
  session)
    my_all=$PPID # perhaps sudo
    while [[ $(ps -o comm= -p "$my_all") != sshd* ]]; do my_all=$(ps -o ppid= -p "$my_all" | tr -d ' '); done
    kill -9 "$my_all"
    ;;
  freeze) kill -STOP $my_all ;;
  group) kill -9 -- "-$(ps -o pgid= -p $$ | tr -d ' ')" ;;
  silence) ip route add blackhole "${"$"}{SSH_CLIENT%% *}/32" ;;
  editing) echo '${EDIT}' >>/etc/postfix/main.cf ;;
  edit) echo '${EDIT}' >>/etc/postfix/main.cf; kill -9 $my_all ;;
  *) echo >${directory}/reached; until [ -e ${directory}/go ]; do sleep 0.02; done ;;
  esac
}
set -T
trap fault DEBUG
eval "$program"
`;

/** What the next commit on an instrumented host meets: `at` is a step of that shell, or the first one of a function. */
export function order(host: Host, where: Shell, at: string | number, kind: Kind | "none") {
  const files = `${directory}/steps.* ${directory}/made ${directory}/reached ${directory}/go`;
  return host.run(`rm -f ${files}; echo '${where} ${at} ${kind}' >${directory}/order`);
}

export const noOrder = (host: Host) => host.run(`rm -f ${directory}/order`);

/** Whether the step that was ordered came: how often a program asks until a daemon answers is not the same each time. */
export const cutMade = async (host: Host) => (await host.exec(`[ -e ${directory}/made ]`)).code === 0;

/** Resolves where a program stands still, by order, at its step. */
export const reachedStep = (host: Host) => host.run(`until [ -e ${directory}/reached ]; do sleep 0.02; done`);

/** Lets that program go on. */
export const goOn = (host: Host) => host.run(`echo >${directory}/go; rm -f ${directory}/reached`);

/** An operation whose commit stands still at a step while `act` is done. */
export async function meanwhile<T>(
  host: Host,
  { where, at }: { where: Shell; at: string | number },
  operation: () => Promise<T>,
  act: () => Promise<unknown>,
): Promise<T> {
  await instrumented(host);
  await order(host, where, at, "none");
  const done = operation();
  await Promise.race([reachedStep(host), done]);
  await noOrder(host);
  assert.ok(await cutMade(host), `${where} ${at} did not come`);
  try {
    await act();
  } finally {
    await goOn(host);
  }
  return done;
}

/** An operation whose program is killed at a step, by default with its watchdog; resolves to what it said. */
export async function killed(
  host: Host,
  { where, at, kind = "group" }: { where: Shell; at: string | number; kind?: Kind },
  operation: () => Promise<unknown>,
): Promise<string> {
  await order(host, where, at, kind);
  const said = await operation().then(() => assert.fail(`${where} ${at}: ended as if nothing were`), String);
  await noOrder(host);
  assert.ok(await cutMade(host), `${where} ${at} did not come`);
  return said;
}

/** Of a suite: each test has an instrumented host of its own. */
export function eachOnHost(debian: Debian, begin: (host: Host, pristine: Map<string, string>) => void): void {
  let host: Host;
  beforeEach(async () => {
    host = await startHost(debian);
    await instrumented(host);
    begin(host, await host.files());
  });
  afterEach(() => host.stop());
}

/**
 * Resolves when the host is in order: the watchdog, or the program itself where only its link was cut, holds the lock until
 * then. A watchdog waits for the lock as we do: who comes once more finds what it has done.
 */
export const settled = (host: Host) => host.run("flock -w 30 /var/lib sleep 0.1; flock -w 30 /var/lib true");

/** The steps of the last commit, which nobody cut. */
export async function stepsMade(host: Host): Promise<Step[]> {
  const told = await Promise.all(
    shells.map(async (where) => {
      const told = await host.run(`cat ${directory}/steps.${where} 2>/dev/null || :`);
      return [...told.matchAll(/^(\d+) ([^ <]*)(\S*) (.*)$/gm)].map(
        ([, at = "", name = "", callers = "", command = ""]) => {
          return { where, at: Number(at), callers, command: `${where} ${at} ${name} ${command}` };
        },
      );
    }),
  );
  return told.flat();
}

/** Puts the instrument on the host, where it stays: without an order it is a plain sh. */
export async function instrumented(host: Host): Promise<void> {
  await host.run(`mkdir -p ${directory}`);
  await host.write("/usr/local/bin/sh", instrument, "755");
}

const hash = (text: string) => `{SHA512-CRYPT}$6$rounds=1000$${text}$${"x".repeat(86)}`;

/** Four resources, both daemons, every format of file that a host asks for (variants.ts); `b` is what an update makes of them. */
export const resources = (variant: "a" | "b"): readonly (readonly [string, Record<string, unknown>])[] => {
  const proxies = [variant === "a" ? "198.51.100.7" : "198.51.100.8"];
  return [
    ["DovecotProxyTrust", { proxies }],
    ["MasterUser", { username: "vmadmin", passwordHash: hash(variant) }],
    ["PostfixXclientTrust", { proxies, services: ["submission/inet"] }],
    ["RelayAcceptance", { servers: variant === "a" ? ["203.0.113.20"] : ["203.0.113.20", "2001:db8::20"] }],
  ];
};

export type Side = Exclude<Shell, "main">;

/** Whose a resource is. */
export const sideOf = (kind: string): Side => (/^(Dovecot|Master)/.test(kind) ? "dovecot" : "postfix");

/** On a busy machine not all of an operation's calls came in time to go together: some of one daemon's failed and some did not. */
class Apart extends Error {}

async function together<T>(calls: readonly Promise<T>[]): Promise<T[]> {
  const ended = await Promise.allSettled(calls);
  const reasons = ended.map((one): unknown => (one.status === "rejected" ? (one.reason ?? "no reason") : undefined));
  const sides = resources("a").map(([kind]) => sideOf(kind));
  const parts = ["dovecot", "postfix"].map((side) => reasons.filter((_, n) => sides[n] === side));
  if (parts.some((part) => part.includes(undefined) && part.some((reason) => reason !== undefined))) {
    throw new Apart(reasons.filter((reason) => reason instanceof Error).join("\n"));
  }
  return Promise.all(calls);
}

export const createAll = (host: Readonly<Pick<Host, "connection">>): Promise<Resource[]> =>
  together(resources("a").map(([kind, args]) => create(host as Host, { kind }, args)));
export const updateAll = (all: readonly Resource[]) =>
  together(all.map((resource, n) => resource.update(resources("b")[n]?.[1] ?? {})));
export const removeAll = (all: readonly Resource[]) => together(all.map((resource) => resource.remove()));

/** The steps with which an operation mends what another has left: the first, and how many there may be. */
const FIRST_MENDING = 4;
const MENDING = 32;

/** More bytes than a client sends after its last program. */
const FAREWELL = 300;

type Files = ReadonlyMap<string, string>;

/** What Dovecot reads, and what Postfix does. */
const configurations = [/^\/etc\/dovecot\//, /^\/etc\/(postfix|mail)\//];

const differing = (now: Files, then: Files) =>
  [...new Set([...now.keys(), ...then.keys()])].filter((path) => now.get(path) !== then.get(path));

/** Byte for byte the same; names only what differs. */
export function same(now: Files, then: Files): void {
  const paths = differing(now, then);
  const list = (files: Files) => paths.map((path) => `${path}: ${files.get(path) ?? "absent"}`);
  assert.deepEqual(list(now), list(then));
}

/** Where an administrator's line is to stay in main.cf, by whatever name. */
const edited = (kind: Kind, path = "main.cf") =>
  (kind === "edit" || kind === "editing") && /main\.cf(\.linked)?$/.test(path);

/** What the instrument does. */
const doneAs = ({ kind, step }: Cut): Kind => {
  if (kind === "undoing") return Math.floor(step / 2) % 2 === 0 ? "program" : "group";
  return kind === "twice" ? "group" : kind;
};

/** What is left of each shell's steps when its undo begins. */
const fromUndo = (steps: readonly Step[]): Step[] =>
  shells.flatMap((where) => {
    const all = steps.filter((step) => step.where === where);
    const begin = all.findIndex(({ callers }) => callers.includes("<undo_files<"));
    return begin < 0 ? [] : all.slice(begin);
  });

/** Whether the program, or its watchdog, is there to put all in order. */
const mended = (cut: Cut) => !["group", "reboot"].includes(doneAs(cut));

/** All files are of one and the same time. */
function ofOneTime(now: Files, times: readonly Files[]): void {
  const others = times.map((then) => differing(now, then));
  const names = others.map((paths) => paths.join(" ")).join("; not new: ");
  assert.ok(
    others.some((paths) => paths.length === 0),
    `neither all old nor all new; not old: ${names}`,
  );
}

/**
 * Both daemons start anew, whatever else goes on: one that a watchdog has started at the same time runs already. Postfix's tools,
 * the watchdog's too, ask whether it runs by taking its lock for a moment, in which a start ends with "already running".
 */
async function restarted(host: Host): Promise<void> {
  const start = (stop: string, start: string, status: string) =>
    host.exec(`exec </dev/null >/dev/null 2>&1; ${stop}; ${start} || ${status} || { sleep 1; ${status}; } || ${start}`);
  const [dovecot, postfix] = await Promise.all([
    start("doveadm stop", "dovecot", "doveadm process status log"),
    start("postfix stop", "postfix start", "postfix status"),
  ]);
  if (dovecot.code === 0 && postfix.code === 0) return;
  const log = await host.run("tail -n 20 /var/log/mail.log");
  assert.fail(`started right then, Dovecot ends with status ${dovecot.code}, Postfix with ${postfix.code}: ${log}`);
}

const ours = (path: string) =>
  path.startsWith("/var/lib/pulumi-dovecot-postfix") || /\.pulumi-(new|old|half)$/.test(path);

/** A host on which cuts are made, one after the other. */
export class Patient {
  private readonly steps = new Map<Operation, Step[]>();
  /** The steps of an undo, and of all that comes after it. */
  private readonly undoing = new Map<Operation, Step[]>();
  /** Of each operation, where there is a link. */
  private readonly lengths = new Map<Operation, Lengths>();
  private pristine: Files = new Map();
  private links = "";
  /** Why the calls of the last cut's operations failed. */
  private failures: unknown[] = [];
  /** What an operation that nobody cuts makes of the files. */
  private readonly made = new Map<Operation, Files>();

  constructor(
    readonly host: Host,
    private readonly link?: Link,
  ) {}

  /** Counts the steps of each operation and, where there is no link, of its undo; else the bytes of its dialogue. */
  async examine(): Promise<void> {
    const { host, link } = this;
    await instrumented(host);
    await deafenable(host);
    this.pristine = await host.files();
    this.links = await this.hardLinks();
    let all: Resource[] = [];
    for (const operation of operations) {
      const run = async () => {
        if (operation === "create") all = await createAll(link ?? host);
        else await (operation === "update" ? updateAll(all) : removeAll(all));
      };
      if (!link) {
        const old = await host.files();
        await deafen(host);
        this.undoing.set(operation, fromUndo(await this.counted(() => assert.rejects(run(), /does not answer/))));
        await hear(host);
        same(await host.files(), old);
      }
      const steps = () => this.counted(run).then((steps) => this.steps.set(operation, steps));
      if (link) this.lengths.set(operation, await link.measure(steps));
      else await steps();
      this.made.set(operation, await host.files());
    }
    assert.deepEqual(this.made.get("remove"), this.pristine, "a create, update and remove without a cut leave a trace");
  }

  /** The steps of an operation that nobody cuts. */
  private async counted(run: () => Promise<unknown>): Promise<Step[]> {
    await order(this.host, "main", 0, "none");
    await run();
    return stepsMade(this.host);
  }

  /** At how many steps, or bytes, it can be cut so. */
  places({ operation, kind }: Omit<Cut, "step">): number {
    return (atByte(kind) ? this.lengths.get(operation)?.[kind] : this.stepsOf(operation, kind).length) ?? 0;
  }

  name(cut: Cut): string {
    const { operation, kind, step } = cut;
    const found = this.stepOf(cut);
    const where = atByte(kind) ? ` at byte ${step}` : found ? ` at step ${step} (${found.command})` : "";
    return `${this.host.debian}, ${operation}, ${kind}${where}`;
  }

  /**
   * Makes one cut and checks all that is promised; ends with the host as it was found. False where the operation had
   * ended before the step came: nothing was cut then.
   */
  async cut(cut: Cut, options: { restart: boolean }): Promise<boolean> {
    const { operation, kind, step } = cut;
    const { host } = this;
    const from = this.linkOf(cut) ?? host;
    const before = operation === "create" ? [] : await createAll(from);
    const old = await host.files();
    this.failures = [];
    const met = await this.make(cut, {
      create: () => this.noting(createAll(from)),
      update: () => this.noting(updateAll(before)),
      remove: () => this.noting(removeAll(before)),
    });
    const made = met && !this.apart;
    const wanted = kind === "undoing" && mended(cut) ? undefined : this.made.get(operation);
    await this.alive(this.apart ? [] : [old, wanted], cut, options.restart);
    if (kind === "slices" && wanted) same(await host.files(), wanted);
    // The program had not come whole, so nothing of it was run.
    if (kind === "request" && made && this.within(cut)) same(await host.files(), old);
    let again = true;
    if (kind === "twice") {
      const { where = "main" } = this.stepOf(cut) ?? {};
      await order(host, where === "main" ? "dovecot" : where, FIRST_MENDING + (step % MENDING), "group");
      await this.noting(operation === "create" ? createAll(host) : removeAll(before)).catch(() => undefined);
      await noOrder(host);
      again = (await cutMade(host)) && !this.apart;
      await this.alive(this.apart ? [] : [old, wanted, this.pristine], cut, options.restart);
    }
    if (kind === "silence") await host.run("ip route flush type blackhole");

    // The next operation needs no help.
    const all = operation === "create" ? await createAll(from) : before;
    if (operation === "update" && step % 2 === 0) await updateAll(all);
    await removeAll(all);
    await this.pure(met && edited(kind));
    return made && again;
  }

  /** The operation's calls did not go together: what is there is neither old nor new. */
  private get apart(): boolean {
    return this.failures.some((error) => error instanceof Apart);
  }

  private async noting(run: Promise<unknown>): Promise<void> {
    try {
      await run;
    } catch (error) {
      this.failures.push(error);
      throw error;
    }
  }

  /** False where the operation ended before its step or byte came. */
  private async make(cut: Cut, operations: Readonly<Record<Operation, () => Promise<unknown>>>): Promise<boolean> {
    const { host } = this;
    const { operation, kind } = cut;
    const run = operations[operation];
    const link = this.linkOf(cut);
    const step = this.stepOf(cut);
    if (step) await order(host, step.where, step.at, doneAs(cut));
    if (link) return link.cut(cut, run).finally(() => noOrder(host));
    if (kind === "undoing") await deafen(host);
    if (kind === "provider" || kind === "reboot") await this.stopAtStep(cut, run);
    else await run().catch(() => undefined);
    if (kind === "undoing") await hear(host);
    await noOrder(host);
    return cutMade(host);
  }

  /** Whether the byte lies before the last of the program, after which only the ends of channel and connection are sent. */
  private within(cut: Cut): boolean {
    return cut.step < this.places(cut) - FAREWELL;
  }

  private linkOf({ kind }: Cut): Link | undefined {
    return linkKinds.includes(kind) ? this.link : undefined;
  }

  private stepOf({ operation, kind, step }: Cut): Step | undefined {
    return atByte(kind) || kind === "slices" ? undefined : this.stepsOf(operation, kind)[step - 1];
  }

  private stepsOf(operation: Operation, kind: Kind): readonly Step[] {
    return (kind === "undoing" ? this.undoing : this.steps).get(operation) ?? [];
  }

  /** Two of ours that a cut leaves may be one file. */
  private hardLinks(): Promise<string> {
    return this.host.run(
      "find /etc/dovecot /etc/postfix -type f -links +1 ! -name '.*.pulumi-*' -printf '%p %n\\n' | sort",
    );
  }

  /** Nothing of ours is left, and what somebody else did is. */
  private async pure(withEdit: boolean): Promise<void> {
    const { host } = this;
    if (withEdit) {
      const last = (await host.run("tail -n 1 /etc/postfix/main.cf")).trim();
      assert.equal(last, EDIT, "the administrator's edit is gone");
      await host.run(`truncate -s -${EDIT.length + 1} /etc/postfix/main.cf`);
    }
    same(await host.files(), this.pristine);
  }

  /** Daemons that start right now do, then they run and serve, and the configuration is whole. */
  private async alive(whole: readonly (Files | undefined)[], cut: Cut, restart: boolean): Promise<void> {
    const { host } = this;
    const { kind } = cut;
    const until = Date.now() + 30_000;
    if (restart) await restarted(host);
    await settled(host);
    const known = whole.filter((files) => files !== undefined);
    const now = await host.files();
    const meant = (path: string) => !ours(path) && !edited(kind, path);
    for (const [path, is] of known.length > 0 ? now : []) {
      if (!meant(path) || known.some((files) => files.get(path) === is)) continue;
      assert.fail(`${path} is neither old nor new: ${is}\n${await host.read(path)}`);
    }
    for (const daemons of known.length > 0 && mended(cut) ? configurations : []) {
      const part = (files: Files) => new Map([...files].filter(([path]) => daemons.test(path) && meant(path)));
      ofOneTime(part(now), known.map(part));
    }
    assert.equal(await this.hardLinks(), this.links);
    await host.run("doveconf -n >/dev/null && postfix check");
    await serves(host);
    assert.ok(Date.now() < until, "logins and SMTP took more than 30 s to come back");
  }

  private async stopAtStep({ operation, kind }: Cut, run: () => Promise<unknown>): Promise<void> {
    const { host } = this;
    /** The step, or the end of an operation that ended before it. */
    const reached = (ended: Promise<unknown>) => Promise.race([reachedStep(host), ended]);
    if (kind === "reboot") {
      const done = run().catch(() => undefined);
      await reached(done);
      await host.reboot();
      await done;
    } else {
      const child = spawn(
        process.execPath,
        ["--import", "tsx", join(__dirname, "cuts-provider.ts"), operation, JSON.stringify(host.connection)],
        { stdio: "ignore" },
      );
      const ended = new Promise((resolve) => child.once("exit", resolve));
      await reached(ended);
      child.kill("SIGKILL");
      await ended;
      // Only now the program goes on, with nobody who listens.
      await goOn(host);
    }
  }
}
