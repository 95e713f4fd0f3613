// One host, one connection: operations that arrive together are observed, planned and committed together (group commit).
import type { Link } from "../ssh/link.js";
import { commit, type Outcome } from "./commit.js";
import { driftOf, notEffective } from "./drift.js";
import { HostError } from "./errors.js";
import type { Shell } from "./observe.js";
import { footprint } from "./digest.js";
import { Executed } from "./previewed.js";
import { contextOf, decide, recordId, type Operation, type Plans, type Ready } from "./planning.js";
import { report } from "./report.js";
import type { Daemon, Snapshot } from "./snapshot.js";

export interface Result {
  readonly snapshot: Snapshot;
  /** Effective values in the order of the operation's queries. */
  readonly values: readonly string[];
  readonly warnings: readonly string[];
  /** What is not as the resource wants it (aim: look). */
  readonly drift: readonly string[];
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
  private readonly executed = new Executed();

  constructor(
    private readonly dial: () => Promise<Link>,
    private readonly shell: Shell,
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
    const host = { link, shell: this.shell };
    let waiting = [...batch];
    for (let attempt = 1; waiting.length > 0; attempt++) {
      const asked = new Map(waiting.map((pending) => [pending.operation, pending]));
      const operations = [...asked.keys()];
      // What a killed operation left is put right first, but not by one that only looks.
      const scope = { recover: operations.some(({ aim }) => aim !== "look") };
      const { snapshot, ready, refused, plans } = await decide(host, operations, scope);
      for (const [operation, error] of refused) asked.get(operation)?.reject(error);
      for (const one of ready.filter(({ operation }) => operation.aim === "look")) {
        asked.get(one.operation)?.resolve(look(snapshot, one));
      }
      const todo = plans.filter(({ plan: { changes } }) => changes.length > 0);
      const outcomes = todo.length > 0 ? await commit(link, this.shell, todo, snapshot.readme) : [];
      waiting = settle(snapshot, asked, ready, plans, outcomes, attempt);
      const done = todo.map(({ plan }) => plan).filter(({ daemon }) => committed(outcomes, daemon));
      const compared = this.executed.add(snapshot.host, done, footprint(done), ready);
      report(snapshot, plans, outcomes, compared, Date.now() - started, attempt);
    }
  }
}

function committed(outcomes: readonly Outcome[], daemon: Daemon): boolean {
  return outcomes.some((outcome) => outcome.daemon === daemon && outcome.result === "committed");
}

/** Resolves or rejects what a commit decided; returns what must be planned again from a new snapshot. */
function settle(
  snapshot: Snapshot,
  asked: ReadonlyMap<Operation, Pending>,
  ready: readonly Ready[],
  plans: readonly Plans[],
  outcomes: readonly Outcome[],
  attempt: number,
): Pending[] {
  const operations = [...asked.keys()];
  const again: Pending[] = [];
  for (const { plan } of plans) {
    const outcome = outcomes.find(({ daemon }) => daemon === plan.daemon);
    for (const { operation, wish, warnings, values: before } of ready) {
      const pending = asked.get(operation);
      if (operation.daemon !== plan.daemon || operation.aim === "look" || !pending) continue;
      if (outcome?.result === "failed") pending.reject(outcome.error);
      else if (outcome?.result !== "changed-meanwhile") {
        const values = operation.queries.map(
          (_, n) => outcome?.values[recordId(operations, operation, n)] ?? before[n] ?? "",
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

function look(snapshot: Snapshot, { operation, wish, values, warnings, hindrance }: Ready): Result {
  const { dialect } = contextOf(snapshot);
  const drift = [
    ...(hindrance === undefined ? [] : [hindrance]),
    ...driftOf(snapshot, operation.daemon, wish, dialect),
    ...notEffective(wish, values),
  ];
  return { snapshot, values, warnings, drift };
}

function busyFiles(snapshot: Snapshot, daemon: Daemon): HostError {
  return new HostError(snapshot.host, `${daemon}'s files changed three times between reading and writing them`, {
    state: "Nothing of ours was written over them.",
    cure: "Find who writes them (a configuration tool?), then run the same command again.",
  });
}
