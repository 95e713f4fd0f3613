// A change told line by line, for the `undo` program on a host, which cannot parse what it takes ours out of.
import { structuredPatch } from "diff";

/** What makes `before` of `after` again: "-" and a line of ours, "+" and the one that was there, "@" between two places. */
export function linesBack(after: string, before: string): string[] {
  const { hunks } = structuredPatch("", "", after, before, undefined, undefined, { context: 0 });
  return hunks.flatMap(({ lines }, n) => (n === 0 ? lines : ["@", ...lines]));
}
