// From operations to plans: observe, propose, plan. A session commits what comes of it, a preview prints it.
import type { Dialect } from "../dovecot/dialect.js";
import { layoutOf, markerRecords, type Layout } from "../layouts/index.js";
import { reason, SshError } from "../ssh/errors.js";
import type { Link } from "../ssh/link.js";
import { recover, type Probe } from "./commit.js";
import { holds } from "./drift.js";
import { describe } from "./edits.js";
import { HostError, Refusal } from "./errors.js";
import { formats, type Edit } from "./formats.js";
import type { Contribution } from "./ledger.js";
import { observe, type Shell } from "./observe.js";
import { conflict, plan, type DaemonPlan, type Effective, type PlanContext, type Wish } from "./plan.js";
import { probingOf } from "./probes.js";
import { daemons, ledgersOf, type Answer, type Daemon, type Snapshot } from "./snapshot.js";

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
  /** What the administrator has already in another form: not written, and so not to be found word by word. */
  readonly already: readonly Already[];
}

export interface Already {
  /** The word that a query looks for in the effective value. */
  readonly word: string;
  readonly note: string;
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

export interface Plans {
  readonly plan: DaemonPlan;
  readonly probes: readonly Probe[];
}

/** An operation that may go on, and what it wants. */
export interface Ready {
  readonly operation: Operation;
  /** What it decided from; one that leaves decides nothing. */
  readonly site: Site | undefined;
  readonly wish: Wish;
  readonly warnings: readonly string[];
  readonly already: readonly Already[];
  /** Effective values in the order of the operation's queries, as they were observed. */
  readonly values: readonly string[];
  /** Why an `up` would be refused, for one that only looks. */
  readonly hindrance?: string;
}

/** What all operations of a host come to together. */
export interface Decision {
  readonly snapshot: Snapshot;
  readonly ready: readonly Ready[];
  readonly refused: ReadonlyMap<Operation, unknown>;
  /** Of those that write. */
  readonly plans: readonly Plans[];
}

/** An open connection, and what is asked over it. */
export interface Host {
  readonly link: Link;
  readonly shell: Shell;
}

export interface Scope {
  /** Whether what a killed operation left is put right first. */
  readonly recover: boolean;
  /** Daemons to observe besides those of the operations. */
  readonly daemons?: readonly Daemon[];
  /** Further observe.sh records. */
  readonly records?: readonly (readonly string[])[];
  /** Operations that only the snapshot tells of. */
  readonly more?: (snapshot: Snapshot) => readonly Operation[];
  /** For a preview: what `inquire` refuses, or cannot ask, is a warning, and what leaves is in nobody's way. */
  readonly lenient?: boolean;
}

export async function decide(host: Host, operations: readonly Operation[], scope: Scope): Promise<Decision> {
  const snapshot = await observed(host, operations, scope);
  const all = [...operations, ...(scope.more?.(snapshot) ?? [])];
  const refused = new Map<Operation, unknown>();
  const ready = await propose(host, snapshot, all, scope.lenient ?? false, refused);
  const plans = daemons.flatMap((daemon) => {
    const writing = ready.filter(({ operation }) => operation.daemon === daemon && operation.aim !== "look");
    if (writing.length === 0) return [];
    try {
      const wishes = writing.map(({ wish }) => wish);
      const planned = plan(snapshot, daemon, wishes, contextOf(snapshot));
      const { probes, unasked } = probingOf(snapshot, daemon);
      const notes = [
        ...planned.notes,
        ...(planned.reload ? unasked : []),
        ...writing.flatMap(({ already }) => already.map(({ note }) => note)),
      ];
      return [{ plan: { ...planned, notes }, probes }];
    } catch (error) {
      for (const { operation } of writing) refused.set(operation, told(snapshot, error));
      return [];
    }
  });
  return { snapshot, ready: ready.filter(({ operation }) => !refused.has(operation)), refused, plans };
}

/** The name of one operation's own record or value. */
export function recordId(operations: readonly Operation[], operation: Operation, name: string | number): string {
  return `${operations.indexOf(operation)}.${name}`;
}

async function observed({ link, shell }: Host, operations: readonly Operation[], scope: Scope): Promise<Snapshot> {
  const wanted = [...new Set([...operations.map(({ daemon }) => daemon), ...(scope.daemons ?? [])])];
  const own = operations.flatMap((operation) => [
    ...operation.records((name) => recordId(operations, operation, name)),
    ...(operation.aim === "leave"
      ? []
      : operation.queries.map((query, n) => queryRecord(recordId(operations, operation, n), query))),
  ]);
  const all = [...markerRecords, ...wanted.map((daemon) => [daemon]), ...own, ...(scope.records ?? [])];
  // What several operations ask for, such as the host's logins, is asked once.
  const records = [...new Map(all.map((record) => [record.join("\0"), record])).values()];
  let snapshot = await observe(link, shell, records);
  if (scope.recover && snapshot.interrupted.length > 0) {
    await recover(link, shell, snapshot.interrupted);
    snapshot = await observe(link, shell, records);
  }
  // A file of ours that the configuration no longer includes is known to the ledger only.
  const unseen = wanted
    .flatMap((daemon) => ledgersOf(snapshot, daemon).flatMap(({ files }) => Object.keys(files)))
    .filter((path) => !snapshot.files.has(path));
  if (unseen.length > 0) {
    snapshot = await observe(link, shell, [...records, ...unseen.map((path) => ["file", path])]);
  }
  return snapshot;
}

async function propose(
  { link, shell }: Host,
  snapshot: Snapshot,
  operations: readonly Operation[],
  lenient: boolean,
  refused: Map<Operation, unknown>,
): Promise<Ready[]> {
  // A preview is not told of aliases: what leaves may be the same resource by its former name.
  const leaves = new Set(operations.flatMap(({ aim, owner }) => (lenient && aim === "leave" ? [owner] : [])));
  const contributionsOf = (daemon: Daemon, leaving: boolean) =>
    Object.fromEntries(
      Object.entries(snapshot.ledgers[daemon].contributions).filter(([owner]) => leaves.has(owner) === leaving),
    );
  const accepted = { dovecot: contributionsOf("dovecot", false), postfix: contributionsOf("postfix", false) };
  const ready: Ready[] = [];
  for (const operation of operations) {
    const { owner, formerOwner, daemon, aim } = operation;
    const id = (name: string | number) => recordId(operations, operation, name);
    try {
      const former = formerOwner === undefined ? {} : { formerOwner };
      if (aim === "leave") {
        const left = stillThere(snapshot, operation);
        const strays = left.filter(({ format, path }) => !formats[format].shared && !isKnown(snapshot, daemon, path));
        const already = left.flatMap((edit) => (strays.includes(edit) ? [] : [unknownOwner(operation, edit)]));
        const wish: Wish = { owner, ...former, strays, effective: [] };
        ready.push({ ...{ operation, site: undefined, wish }, ...{ warnings: [], already, values: [] } });
        continue;
      }
      if (!snapshot[daemon]) throw missingDaemon(snapshot, daemon);
      const site = { snapshot, layout: layoutOf(snapshot), answer: (name: string) => snapshot.values[id(name)] };
      const { contribution, warnings, already, ...hindered } = contributed(operation, site);
      const effective = operation.queries.map((query, n) => ({
        ...query,
        id: id(n),
        ...(already.some(({ word }) => word === query.word) && { word: "" }),
      }));
      const wish: Wish = { owner, ...former, contribution, effective };
      const refusal = conflict(wish, accepted[daemon]);
      if (refusal) throw refusal;
      if (aim === "ensure" && !snapshot[daemon].running) throw stoppedDaemon(snapshot, daemon);
      const renamed = conflict(wish, contributionsOf(daemon, true)) ? [takesOver(operation)] : [];
      const said = aim === "ensure" ? await inquiry(operation, lenient, site, link, shell) : [];
      accepted[daemon][owner] = contribution;
      const values = operation.queries.map((_, n) => snapshot.values[id(n)]?.text ?? "");
      const warned = [...warnings, ...said, ...renamed];
      ready.push({ operation, site, warnings: warned, already, wish, values, ...hindered });
    } catch (error) {
      refused.set(operation, told(snapshot, error));
    }
  }
  return ready;
}

/** A refusal does not keep anyone from looking: it is one of the things that are not as they were left. */
function contributed(operation: Operation, site: Site): Proposal & Pick<Ready, "hindrance"> {
  const { owner, daemon, aim } = operation;
  try {
    return operation.contribute(site);
  } catch (error) {
    const contribution = site.snapshot.ledgers[daemon].contributions[owner];
    if (aim !== "look" || !(error instanceof Refusal) || !contribution) throw error;
    return { contribution, warnings: [], already: [], hindrance: error.message.replace(/\n+/g, " ") };
  }
}

/** What no refusal foresaw, such as an odd text in the ledger: it names the host and is as harmless as what was foreseen. */
function told({ host }: Snapshot, error: unknown): unknown {
  if (isTold(error)) return error;
  return Object.assign(new HostError(host, reason(error), { state: "Nothing was changed." }), { cause: error });
}

/** Foreseen, and told in words for the administrator. */
function isTold(error: unknown): error is Error {
  return error instanceof Refusal || error instanceof HostError || error instanceof SshError;
}

async function inquiry(
  operation: Operation,
  lenient: boolean,
  ...of: Parameters<NonNullable<Operation["inquire"]>>
): Promise<readonly string[]> {
  try {
    return (await operation.inquire?.(...of)) ?? [];
  } catch (error) {
    if (lenient && isTold(error)) return [error.message];
    throw error;
  }
}

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

/** What a resource that leaves wanted and the host has, though the ledger does not know the resource. */
function stillThere(snapshot: Snapshot, operation: Operation): Edit[] {
  const { owner, formerOwner, daemon } = operation;
  const known = snapshot.ledgers[daemon].contributions;
  if (!snapshot[daemon] || [owner, formerOwner].some((one) => one !== undefined && known[one] !== undefined)) return [];
  try {
    const site = { snapshot, layout: layoutOf(snapshot), answer: () => undefined };
    const { contribution } = operation.contribute(site);
    return contribution.edits.filter((edit) => holds(snapshot, edit, contextOf(snapshot).dialect));
  } catch (error) {
    // The host cannot have it, then.
    if (error instanceof Refusal) return [];
    throw error;
  }
}

function isKnown(snapshot: Snapshot, daemon: Daemon, path: string): boolean {
  return ledgersOf(snapshot, daemon).some(({ files }) => files[path] !== undefined);
}

function unknownOwner({ label }: Operation, { path, edit }: Edit): Already {
  return {
    word: "",
    note: `${path} still has ${describe(edit)}, and the ledger does not know that ${label} put it there: it was left`,
  };
}

function takesOver({ label }: Operation): string {
  return (
    `${label} has what a resource that goes has still.\n` +
    "What to do: After a rename, give it `aliases` with the former name; else remove the other one in an `up` of its own first."
  );
}

function missingDaemon(snapshot: Snapshot, daemon: Daemon): Refusal {
  const tool = daemon === "dovecot" ? "doveconf" : "postconf";
  if (daemon === "postfix" && snapshot.unread !== undefined) {
    return new Refusal(
      `postconf cannot read postfix's configuration on ${snapshot.host}: ${snapshot.unread}`,
      "Correct that first, then run the same command again.",
    );
  }
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
