// What a soak counts besides tests: generated cases, looks at all processes.
import { appendFileSync } from "node:fs";

const file = process.env["FC_TALLY"];

export const tallying = file !== undefined;

export function tally(what: string, count: number): void {
  if (file !== undefined) appendFileSync(file, `${count} ${what}\n`);
}

/** The sums of such a file's lines, by what they count. */
export function sums(text: string): [what: string, count: number][] {
  const all = new Map<string, number>();
  for (const line of text.split("\n").filter(Boolean)) {
    const [, count, what = ""] = /^(\d+) (.*)$/.exec(line) ?? [];
    all.set(what, (all.get(what) ?? 0) + Number(count));
  }
  return [...all];
}
