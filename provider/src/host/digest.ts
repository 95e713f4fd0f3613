// What a plan comes to, free of secrets and of our own books: equal plans have equal digests, wherever they were made.
import { createHash } from "node:crypto";
import type { DaemonPlan, FileChange } from "./plan.js";
import { sha256, type Daemon } from "./snapshot.js";

/** A file before and after: "absent", "secret", or the sha256 of its bytes. */
export type Ends = readonly [before: string, after: string];

export interface Footprint {
  /** By path. */
  readonly files: Readonly<Record<string, Ends>>;
  readonly reloads: readonly Daemon[];
}

export const nothing: Footprint = { files: {}, reloads: [] };

export function footprint(plans: readonly DaemonPlan[]): Footprint {
  const files = plans.flatMap(({ changes }) =>
    changes.filter(({ format }) => format !== "ledger").map((change) => [change.path, ends(change)] as const),
  );
  const reloads = plans.filter(({ reload }) => reload).map(({ daemon }) => daemon);
  return { files: onlyChanges(files), reloads: reloads.sort() };
}

/** Two footprints, one after the other. */
export function joined(first: Footprint, second: Footprint): Footprint {
  const paths = new Set([...Object.keys(first.files), ...Object.keys(second.files)]);
  const files = [...paths].map((path): [string, Ends] => {
    const [a, b] = [first.files[path], second.files[path]];
    return [path, [a?.[0] ?? b?.[0] ?? "absent", b?.[1] ?? a?.[1] ?? "absent"]];
  });
  return { files: onlyChanges(files), reloads: [...new Set([...first.reloads, ...second.reloads])].sort() };
}

/** Where a login leads to, whoever logs in: a preview may have another user than the `up`. */
export function placeOf(label: string): string {
  return label.slice(label.lastIndexOf("@") + 1);
}

/** Twelve hexadecimal digits, for people to compare. */
export function digest(label: string, { files, reloads }: Footprint): string {
  const text = JSON.stringify([placeOf(label), Object.entries(files), reloads]);
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

function ends({ format, before, after }: FileChange): Ends {
  const end = (text: string | null) => (text === null ? "absent" : format === "secret-table" ? "secret" : sha256(text));
  return [end(before), end(after)];
}

function onlyChanges(files: readonly (readonly [string, Ends])[]): Record<string, Ends> {
  const changed = files.filter(([, [before, after]]) => before !== after);
  return Object.fromEntries(changed.sort(([a], [b]) => (a < b ? -1 : 1)));
}
