// What on a host is no longer as a resource left it, in words. Pure.
import type { Dialect } from "../dovecot/dialect.js";
import { describe } from "./edits.js";
import { formats, type Edit } from "./formats.js";
import type { Wish } from "./plan.js";
import { digestOf, type Daemon, type Snapshot } from "./snapshot.js";

export function driftOf(snapshot: Snapshot, daemon: Daemon, { owner, contribution }: Wish, dialect: Dialect): string[] {
  const ledger = snapshot.ledgers[daemon];
  const unknown = ledger.contributions[owner] === undefined;
  const edits = contribution?.edits ?? [];
  // A look has no secret to compare with: that a secret file is not what we wrote, its digest tells.
  const changed = (path: string) => {
    const file = snapshot.files.get(path);
    return !file || digestOf(file) !== ledger.files[path]?.after;
  };
  const secrets = new Set(
    edits.flatMap(({ format, path }) => (format === "secret-table" && changed(path) ? [path] : [])),
  );
  return [
    ...(unknown ? ["the ledger on the host does not know this resource"] : []),
    ...[...secrets].map((path) => `${path} has been edited or removed`),
    ...edits.filter(({ path }) => !secrets.has(path)).flatMap((edit) => lacking(snapshot, edit, dialect)),
  ];
}

function lacking(snapshot: Snapshot, edit: Edit, dialect: Dialect): string[] {
  if (!snapshot.files.has(edit.path)) return [`${edit.path} is gone`];
  return holds(snapshot, edit, dialect) ? [] : [`${edit.path} lacks ${describe(edit.edit)}`];
}

/** Whether the host has what an edit wants, whoever put it there. */
export function holds(snapshot: Snapshot, { format, path, edit }: Edit, dialect: Dialect): boolean {
  // The edit is of its own format, so it is what this format's entry takes.
  const entry = formats[format] as { holds(text: string, edit: unknown, dialect: Dialect): boolean };
  const text = snapshot.files.get(path)?.text;
  return text !== undefined && entry.holds(text, edit, dialect);
}

/** Values that do not hold what they must, as the daemon's own tool told them. */
export function notEffective({ effective }: Wish, values: readonly string[]): string[] {
  return effective.flatMap(({ name, selector, word }, n) => {
    const value = values[n] ?? "";
    if (word === "" || value.split(/[\s,]+/).includes(word)) return [];
    return [`${name}${selector === "" ? "" : ` (${selector})`} lacks ${word}; it is: ${value}`];
  });
}
