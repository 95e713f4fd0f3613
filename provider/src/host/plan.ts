// The plan: from a snapshot and what the resources want, the exact bytes of every file, what is reloaded and what must be
// proved. Pure and total: a preview prints it, commit executes it, tests check it without a host.
import type { Dialect } from "../dovecot/dialect.js";
import { describe } from "./edits.js";
import { Refusal } from "./errors.js";
import { formats, type Edit, type Format } from "./formats.js";
import {
  emptyLedger,
  isEmpty,
  ledgerText,
  unreadable,
  type Contribution,
  type Ledger,
  type TouchedFile,
} from "./ledger.js";
import { linesBack } from "./lines.js";
import {
  beforePath,
  digestOf,
  ledgerPath,
  ledgersOf,
  ledgersOfBefore,
  sha256,
  type Daemon,
  type HostFile,
  type Snapshot,
} from "./snapshot.js";

/** A file that changes; null: it is not there. */
export interface FileChange {
  readonly path: string;
  readonly format: Format | "ledger";
  readonly before: string | null;
  readonly after: string | null;
  /** For a file that is new. */
  readonly mode: string;
  readonly owner: string;
}

/** An effective value to read after the change; `word` must be in it ("": it is only reported). */
export interface Effective {
  readonly id: string;
  readonly program: "doveconf" | "postconf" | "service";
  /** Filters for doveconf ("protocol=imap remote=192.0.2.1"), SERVICE/TYPE for service. */
  readonly selector: string;
  readonly name: string;
  readonly word: string;
}

export interface Wish {
  readonly owner: string;
  /** What the resource wants; undefined: it leaves. */
  readonly contribution?: Contribution;
  /** The owner under which the ledger still has it, after a rename. */
  readonly formerOwner?: string;
  /** What it leaves in files that are ours alone and that no ledger knows, since somebody deleted it. */
  readonly strays?: readonly Edit[];
  readonly effective: readonly Effective[];
}

export interface DaemonPlan {
  readonly daemon: Daemon;
  /** Where the daemon's configuration begins. */
  readonly configFile: string;
  readonly changes: readonly FileChange[];
  readonly ledger: Ledger;
  readonly reload: boolean;
  readonly effective: readonly Effective[];
  /** What is so already and not ours, and what else an administrator should know. */
  readonly notes: readonly string[];
}

export interface PlanContext {
  readonly dialect: Dialect;
  /** Owner of secret files, "0:108". */
  readonly secretOwner: string;
}

/** Plans one daemon's share. Wishes that contradict each other are for `conflict` to find before. */
export function plan(snapshot: Snapshot, daemon: Daemon, wishes: readonly Wish[], context: PlanContext): DaemonPlan {
  const old = snapshot.ledgers[daemon];
  const gone = new Set(wishes.flatMap(({ owner, formerOwner }) => [owner, formerOwner]));
  const contributions = Object.fromEntries([
    ...Object.entries(old.contributions).filter(([owner]) => !gone.has(owner)),
    ...wishes.flatMap(({ owner, contribution }) =>
      contribution ? [[owner, withoutSecrets(contribution)] as const] : [],
    ),
  ]);
  const lines = editsByPath(contributions, wishes);
  const notes: string[] = [];
  const files: Record<string, TouchedFile> = {};
  const changes: FileChange[] = [];
  const kept: FileChange[] = [];
  const strays = wishes.flatMap((wish) => wish.strays ?? []);
  const ledgers = ledgersOf(snapshot, daemon);
  const known = ledgers.flatMap((ledger) => Object.keys(ledger.files));
  const paths = [...new Set([...known, ...lines.keys(), ...strays.map(({ path }) => path)])].sort();

  for (const path of paths) {
    const record = ledgers.flatMap((ledger) => ledger.files[path] ?? [])[0];
    const edits = lines.get(path) ?? [];
    const stray = strays.filter((edit) => edit.path === path);
    const format = record?.format ?? edits[0]?.format ?? stray[0]?.format;
    if (format === undefined) continue;
    const file = snapshot.files.get(path);
    const rest = withoutOurs(snapshot, daemon, path);
    const base =
      rest === null || formats[format].shared ? rest : withoutEdits(format, rest, [...edits, ...stray], context);
    if (base === null && formats[format].shared && edits.length > 0) {
      throw new Refusal(`${path} does not exist on ${snapshot.host}.`, `Restore it; a ${daemon} host has one.`);
    }
    const step = applyAll(format, base ?? "", edits, { dialect: context.dialect, current: file?.text ?? "" });
    const text = edits.length === 0 || step.text === (base ?? "") ? base : step.text;
    if (text !== base) {
      const before = base === null ? null : sha256(base);
      const lines = format === "secret-table" ? {} : { lines: linesBack(text ?? "", base ?? "") };
      files[path] = { format, before, after: sha256(text ?? ""), applied: step.applied, ...lines };
      kept.push(...keepBefore(daemon, path, base, snapshot));
    } else if (record) {
      kept.push(...keepBefore(daemon, path, null, snapshot));
    }
    notes.push(...alreadyThere(format, path, base ?? "", edits, wishes, context));
    const secret = format === "secret-table";
    if (!hasText(file, text)) {
      const owner = secret ? context.secretOwner : "0:0";
      changes.push({
        path: file?.real ?? path,
        format,
        before: file?.text ?? null,
        after: text,
        mode: formats[format].mode,
        owner,
      });
    }
  }

  const ledger: Ledger = { ...emptyLedger, contributions, files };
  const former = ledgersOfBefore(snapshot.files.keys(), daemon);
  const book = [
    ...ledgerChange(ledgerPath(daemon), isEmpty(ledger) ? null : ledgerText(ledger), snapshot),
    ...former.flatMap((path) => ledgerChange(path, null, snapshot)),
  ];
  const effective = wishes.flatMap((wish) => (wish.contribution ? wish.effective : []));
  return {
    configFile: (daemon === "dovecot" ? snapshot.dovecot?.configFile : snapshot.postfix?.mainCf) ?? "",
    ...{ daemon, ledger, effective, notes: [...new Set(notes)] },
    changes: inOrder([...kept, ...book, ...changes]),
    // What was left of a change that could not be undone wholly has not been proved.
    reload: former.length > 0 || changes.some((change) => change.format !== "ledger" && formats[change.format].reload),
  };
}

/**
 * A file's bytes without anything of ours. Untouched since we wrote it: exactly the bytes from before us. Edited by others:
 * their text, with only what we had put in taken out. null: the file would not be there.
 */
export function withoutOurs(snapshot: Snapshot, daemon: Daemon, path: string): string | null {
  const file = snapshot.files.get(path);
  const before = snapshot.files.get(beforePath(daemon, path));
  const records = ledgersOf(snapshot, daemon).flatMap(({ files }) => files[path] ?? []);
  if (!file) return null;
  for (const record of records.filter(({ after }) => after === digestOf(file))) {
    if (record.before === null) return null;
    if (before && digestOf(before) === record.before) return before.text;
  }
  const rest = records.reduce((text, record) => without(snapshot, daemon, text, record), file.text);
  return records.some((record) => record.before === null) && rest.trim() === "" ? null : rest;
}

/** Whether that is what the file holds; where secrets are hidden in what we see of it, its digest tells. */
function hasText(file: HostFile | undefined, text: string | null): boolean {
  if (!file || text === null) return !file && text === null;
  return text === file.text || (file.sha256 !== undefined && sha256(text) === file.sha256);
}

/** Only its format's entry knows what `applied` should be; what it stumbles over was not written by us. */
function without({ host }: Snapshot, daemon: Daemon, text: string, { format, applied }: TouchedFile): string {
  try {
    return formats[format].strip(text, applied);
  } catch {
    throw unreadable(host, ledgerPath(daemon));
  }
}

/** What we want in a file that is ours alone counts as ours, also where somebody has deleted the ledger that knew it. */
function withoutEdits(format: Format, text: string, edits: readonly Edit[], { dialect }: PlanContext): string | null {
  const rest = formats[format].strip(text, applyAll(format, "", edits, { dialect, current: text }).applied);
  return rest.trim() === "" ? null : rest;
}

function applyAll(
  format: Format,
  base: string,
  edits: readonly Edit[],
  context: { dialect: Dialect; current: string },
) {
  // The edits of one path are all of one format, so each is what this format's entry takes.
  const entry = formats[format] as {
    apply(base: string, edits: unknown[], context: object): { text: string; applied: unknown };
  };
  return entry.apply(
    base,
    edits.map(({ edit }) => edit),
    context,
  );
}

/** All edits, by file, in an order that does not depend on who came first. */
function editsByPath(
  contributions: Readonly<Record<string, Contribution>>,
  wishes: readonly Wish[],
): Map<string, Edit[]> {
  const wanted = new Map(wishes.map(({ owner, contribution }) => [owner, contribution]));
  const byPath = new Map<string, Edit[]>();
  for (const owner of Object.keys(contributions).sort()) {
    for (const edit of (wanted.get(owner) ?? contributions[owner])?.edits ?? []) {
      byPath.set(edit.path, [...(byPath.get(edit.path) ?? []), edit]);
    }
  }
  return byPath;
}

/** The line of a secret file is not for the ledger: its key is. */
function withoutSecrets({ kind, edits }: Contribution): Contribution {
  const open = (edit: Edit): Edit =>
    edit.format === "secret-table" ? { ...edit, edit: { key: edit.edit.key } } : edit;
  return { kind, edits: edits.map(open) };
}

/** What a resource wants and the administrator has already: it is not written twice, and not taken away with us. */
function alreadyThere(
  format: Format,
  path: string,
  base: string,
  edits: readonly Edit[],
  wishes: readonly Wish[],
  context: PlanContext,
): string[] {
  const mine = new Set(wishes.flatMap(({ contribution }) => contribution?.edits ?? []));
  return edits
    .filter((edit) => mine.has(edit) && formats[format].shared && format !== "dovecot-include")
    .filter((edit) => applyAll(format, base, [edit], { dialect: context.dialect, current: "" }).text === base)
    .map(({ edit }) => {
      const name = "parameter" in edit ? edit.parameter : "the setting";
      return `${path} has ${name} already so; it is the administrator's and stays after destroy`;
    });
}

function keepBefore(daemon: Daemon, path: string, base: string | null, snapshot: Snapshot): FileChange[] {
  const at = beforePath(daemon, path);
  const now = snapshot.files.get(at)?.text ?? null;
  return now === base ? [] : [{ path: at, format: "ledger", before: now, after: base, mode: "600", owner: "0:0" }];
}

function ledgerChange(path: string, after: string | null, snapshot: Snapshot): FileChange[] {
  const before = snapshot.files.get(path)?.text ?? null;
  return before === after ? [] : [{ path, format: "ledger", before, after, mode: "600", owner: "0:0" }];
}

/** What others refer to comes first and goes last, so that a daemon that starts in between finds all it needs. */
function inOrder(changes: readonly FileChange[]): FileChange[] {
  const rank = ({ format, after }: FileChange) =>
    format === "ledger" ? 0 : formats[format].shared ? 2 : after === null ? 3 : 1;
  return [...changes].sort((a, b) => rank(a) - rank(b));
}

/**
 * Why a wish cannot stand beside what others have in the ledger or wish now: one scalar with two values, one key of a
 * secret file with two owners.
 */
export function conflict(wish: Wish, others: Readonly<Record<string, Contribution>>): Refusal | undefined {
  for (const [owner, other] of Object.entries(others)) {
    if (owner === wish.owner || owner === wish.formerOwner) continue;
    for (const mine of wish.contribution?.edits ?? []) {
      for (const theirs of other.edits) {
        if (hides(mine, theirs) || hides(theirs, mine)) {
          return new Refusal(
            `${describe(mine.edit)} and what ${owner} has, ${describe(theirs.edit)}, exclude each other: a service with a list of its own does not see main.cf's.`,
            "Give `services` in both resources, or in neither.",
          );
        }
        if (mine.path === theirs.path && contradict(mine, theirs)) {
          return new Refusal(
            `${describe(mine.edit)} in ${mine.path} is already provided by ${owner}.`,
            `Let one stack provide it: remove it there first (pulumi destroy, or take the resource out), or here.`,
          );
        }
      }
    }
  }
  return undefined;
}

/** Whether a list that one of us begins for a service hides from it what another one adds in main.cf. */
function hides(a: Edit, b: Edit): boolean {
  if (a.format !== "master.cf" || b.format !== "main.cf" || a.edit.seed === undefined) return false;
  return "add" in b.edit && a.edit.parameter === b.edit.parameter;
}

function contradict(a: Edit, b: Edit): boolean {
  if (a.format === "main.cf" && b.format === "main.cf") {
    return "set" in a.edit && "set" in b.edit && a.edit.parameter === b.edit.parameter && a.edit.set !== b.edit.set;
  }
  if (a.format === "dovecot-fragment" && b.format === "dovecot-fragment") {
    if ("separator" in a.edit && "separator" in b.edit) return a.edit.separator !== b.edit.separator;
    if ("master" in a.edit && "master" in b.edit) return JSON.stringify(a.edit) !== JSON.stringify(b.edit);
  }
  return a.format === "secret-table" && b.format === "secret-table" && a.edit.key === b.edit.key;
}
