// One host, one connection: operations that arrive together are observed, planned and committed together (group commit).
import type { Dialect } from "../dovecot/dialect.js";
import { layoutOf, markerRecords, type Layout } from "../layouts/index.js";
import type { Link } from "../ssh/link.js";
import { commit, recover, type Outcome, type Probe } from "./commit.js";
import { HostError, Refusal } from "./errors.js";
import type { Contribution } from "./ledger.js";
import { observe, type Shell } from "./observe.js";
import { driftOf, notEffective } from "./drift.js";
import { conflict, plan, type DaemonPlan, type Effective, type PlanContext, type Wish } from "./plan.js";
import { report } from "./report.js";
import { daemons, type Answer, type Daemon, type Snapshot } from "./snapshot.js";

/** A host as it was observed, for those who decide. */
export interface Site {
  readonly snapshot: Snapshot;
  readonly layout: Layout;
  /** What one of this operation's own records was answered. */
  answer(name: string): Answer | undefined;
}

/** What a resource wants, and what its user should know before. */
export interface Proposal {
  readonly contribution: Contribution;
  readonly warnings: readonly string[];
  /** What the administrator has already, in another form: not written, and so not to be found word by word. */
  readonly already: readonly string[];
}

export type Query = Omit<Effective, "id">;

/** One call of the engine, as the host sees it. */
export interface Operation {
  /** "MasterUser vmadmin", for messages. */
  readonly label: string;
  readonly owner: string;
  readonly formerOwner?: string;
  readonly daemon: Daemon;
  /** look: nothing is written (refresh). leave: the resource goes. */
  readonly aim: "ensure" | "leave" | "look";
  /** Further observe.sh records; `id` makes a name of ours unique. */
  records(id: (name: string) => string): readonly (readonly string[])[];
  readonly queries: readonly Query[];
  /** Pure. @throws Refusal */
  contribute(site: Site): Proposal;
  /** A question that only the network can answer, asked from the host after the observation. @throws Refusal */
  inquire?(site: Site, link: Link, shell: Shell): Promise<readonly string[]>;
}

export interface Result {
  readonly snapshot: Snapshot;
  /** Effective values in the order of the operation's queries. */
  readonly values: readonly string[];
  readonly warnings: readonly string[];
  /** What is not as the resource wants it (aim: look). */
  readonly drift: readonly string[];
}

export interface Plans {
  readonly plan: DaemonPlan;
  readonly probes: readonly Probe[];
}

interface Pending {
  readonly operation: Operation;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

const gatherMs = 25;

/** Runs operations on one host. `dial` is called for the first, and again when the connection was lost. */
export class Session {
  private readonly queue: Pending[] = [];
  private working = false;
  private link: Link | undefined;

  constructor(
    private readonly dial: () => Promise<Link>,
    private readonly shell: Shell,
    private readonly probes: (snapshot: Snapshot, daemon: Daemon) => readonly Probe[],
  ) {}

  run(operation: Operation): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.queue.push({ operation, resolve, reject });
      if (!this.working) void this.work();
    });
  }

  private async work(): Promise<void> {
    this.working = true;
    while (this.queue.length > 0) {
      try {
        // While the handshake runs, the other resources of the host arrive; what is here then goes together. Without a
        // handshake to wait for, they get the time in which the engine was measured to send all of them.
        if (this.link?.alive) await new Promise((resolve) => setTimeout(resolve, gatherMs));
        else this.link = await this.dial();
      } catch (error) {
        for (const pending of this.queue.splice(0)) pending.reject(error);
        continue;
      }
      const batch = this.queue.splice(0);
      try {
        await this.process(this.link, batch);
      } catch (error) {
        for (const pending of batch) pending.reject(error);
      }
    }
    this.working = false;
  }

  private async process(link: Link, batch: readonly Pending[]): Promise<void> {
    const started = Date.now();
    let waiting = [...batch];
    for (let attempt = 1; waiting.length > 0; attempt++) {
      const snapshot = await this.observe(link, waiting);
      const ready = await this.propose(link, snapshot, waiting);
      for (const one of ready.filter(({ pending }) => pending.operation.aim === "look")) {
        one.pending.resolve(look(snapshot, one));
      }
      const writing = ready.filter(({ pending }) => pending.operation.aim !== "look");
      const plans = daemons.flatMap((daemon) => this.planOf(snapshot, daemon, writing));
      const todo = plans.filter(({ plan: { changes } }) => changes.length > 0);
      const outcomes = todo.length > 0 ? await commit(link, this.shell, todo) : [];
      const again = settle(snapshot, writing, plans, outcomes, attempt);
      report(snapshot, plans, outcomes, Date.now() - started, attempt);
      waiting = again;
    }
  }

  /** A snapshot of a whole host: what a killed operation left is put right first, but not by one that only looks. */
  private async observe(link: Link, batch: readonly Pending[]): Promise<Snapshot> {
    const wanted = [...new Set(batch.map(({ operation }) => operation.daemon))];
    const own = batch.flatMap(({ operation }, index) => [
      ...operation.records((name) => `${index}.${name}`),
      ...(operation.aim === "leave" ? [] : operation.queries.map((query, n) => queryRecord(`${index}.${n}`, query))),
    ]);
    const records = [...markerRecords, ...wanted.map((daemon) => [daemon]), ...own];
    let snapshot = await observe(link, this.shell, records);
    const writes = batch.some(({ operation }) => operation.aim !== "look");
    if (writes && snapshot.busy) {
      console.log(`${snapshot.host}: another operation holds the lock on /var/lib; it is waited for, up to 60 s`);
    }
    if (writes && snapshot.interrupted.length > 0) {
      await recover(link, this.shell, snapshot.interrupted);
      snapshot = await observe(link, this.shell, records);
    }
    // A file of ours that the configuration no longer includes is known to the ledger only.
    const unseen = wanted.flatMap((daemon) =>
      Object.keys(snapshot.ledgers[daemon].files).filter((path) => !snapshot.files.has(path)),
    );
    if (unseen.length > 0) {
      snapshot = await observe(link, this.shell, [...records, ...unseen.map((path) => ["file", path])]);
    }
    return snapshot;
  }

  private async propose(link: Link, snapshot: Snapshot, batch: readonly Pending[]): Promise<Ready[]> {
    const accepted: Record<Daemon, Record<string, Contribution>> = {
      dovecot: { ...snapshot.ledgers.dovecot.contributions },
      postfix: { ...snapshot.ledgers.postfix.contributions },
    };
    const ready: Ready[] = [];
    for (const [index, pending] of batch.entries()) {
      const { operation } = pending;
      const { owner, formerOwner, daemon, aim } = operation;
      try {
        if (aim === "leave") {
          ready.push({
            pending,
            index,
            warnings: [],
            already: [],
            wish: { owner, ...former(formerOwner), effective: [] },
          });
          continue;
        }
        if (!snapshot[daemon]) throw missingDaemon(snapshot, daemon);
        const site = {
          snapshot,
          layout: layoutOf(snapshot),
          answer: (name: string) => snapshot.values[`${index}.${name}`],
        };
        const { contribution, warnings, already } = operation.contribute(site);
        const effective = operation.queries.map((query, n) => ({
          ...query,
          id: `${index}.${n}`,
          ...(already.length > 0 && { word: "" }),
        }));
        const wish: Wish = { owner, ...former(formerOwner), contribution, effective };
        const refusal = conflict(wish, accepted[daemon]);
        if (refusal) throw refusal;
        if (aim === "ensure" && !snapshot[daemon].running) throw stoppedDaemon(snapshot, daemon);
        const said = aim === "ensure" ? await operation.inquire?.(site, link, this.shell) : undefined;
        accepted[daemon][owner] = contribution;
        ready.push({ pending, index, warnings: [...warnings, ...(said ?? [])], already, wish });
      } catch (error) {
        pending.reject(error);
      }
    }
    return ready;
  }

  private planOf(snapshot: Snapshot, daemon: Daemon, ready: readonly Ready[]): Plans[] {
    const mine = ready.filter(({ pending }) => pending.operation.daemon === daemon);
    if (mine.length === 0) return [];
    try {
      const wishes = mine.map(({ wish }) => wish);
      const planned = plan(snapshot, daemon, wishes, contextOf(snapshot));
      const notes = [...planned.notes, ...mine.flatMap(({ already }) => already)];
      return [{ plan: { ...planned, notes }, probes: this.probes(snapshot, daemon) }];
    } catch (error) {
      for (const { pending } of mine) pending.reject(error);
      return [];
    }
  }
}

interface Ready {
  readonly pending: Pending;
  readonly index: number;
  readonly wish: Wish;
  readonly warnings: readonly string[];
  readonly already: readonly string[];
}

const former = (formerOwner: string | undefined) => (formerOwner === undefined ? {} : { formerOwner });

function queryRecord(id: string, { program, selector, name }: Query): string[] {
  if (program === "postconf") return ["postconf", id, name];
  return program === "doveconf" ? ["doveconf", id, selector, name] : ["service", id, selector, name];
}

export function contextOf(snapshot: Snapshot): PlanContext {
  const version = snapshot.dovecot?.version ?? "2.3";
  const dialect: Dialect = version.startsWith("2.4") ? "2.4" : "2.3";
  const group = /^default_internal_group = (\S+)$/m.exec(snapshot.dovecot?.settings.text ?? "")?.[1] ?? "dovecot";
  return { dialect, secretOwner: `root:${group}` };
}

/** Resolves or rejects what a commit decided; returns what must be planned again from a new snapshot. */
function settle(
  snapshot: Snapshot,
  ready: readonly Ready[],
  plans: readonly Plans[],
  outcomes: readonly Outcome[],
  attempt: number,
): Pending[] {
  const again: Pending[] = [];
  for (const { plan } of plans) {
    const outcome = outcomes.find(({ daemon }) => daemon === plan.daemon);
    for (const { pending, wish, index, warnings } of ready) {
      if (pending.operation.daemon !== plan.daemon) continue;
      if (outcome?.result === "failed") pending.reject(outcome.error);
      else if (outcome?.result !== "changed-meanwhile") {
        const values = pending.operation.queries.map(
          (_, n) => outcome?.values[`${index}.${n}`] ?? snapshot.values[`${index}.${n}`]?.text ?? "",
        );
        const lacking = outcome ? [] : notEffective(wish, values);
        if (lacking.length > 0) pending.reject(new HostError(snapshot.host, lacking.join("; ")));
        else pending.resolve({ snapshot, values, warnings, drift: [] });
      } else if (attempt < 3) again.push(pending);
      else pending.reject(busyFiles(snapshot, plan.daemon));
    }
  }
  return again;
}

function look(snapshot: Snapshot, { pending, wish, index, warnings }: Ready): Result {
  const values = pending.operation.queries.map((_, n) => snapshot.values[`${index}.${n}`]?.text ?? "");
  const { dialect } = contextOf(snapshot);
  const drift = [...driftOf(snapshot, pending.operation.daemon, wish, dialect), ...notEffective(wish, values)];
  return { snapshot, values, warnings, drift };
}

function missingDaemon(snapshot: Snapshot, daemon: Daemon): Refusal {
  const tool = daemon === "dovecot" ? "doveconf" : "postconf";
  return new Refusal(
    `${daemon} is not installed on ${snapshot.host} (no ${tool} in the usual directories).`,
    `Point \`connection\` at the host where ${daemon} runs; MailSource takes \`postfixConnection\` for a second host.`,
  );
}

function stoppedDaemon(snapshot: Snapshot, daemon: Daemon): Refusal {
  return new Refusal(
    `${daemon} does not run on ${snapshot.host}, so a change could not be proved.`,
    `Start it (systemctl start ${daemon}), then run the same command again.`,
  );
}

function busyFiles(snapshot: Snapshot, daemon: Daemon): HostError {
  return new HostError(snapshot.host, `${daemon}'s files changed three times between reading and writing them`, {
    state: "Nothing of ours was written over them.",
    cure: "Find who writes them (a configuration tool?), then run the same command again.",
  });
}
