// Markdown that fits into a comment: whole parts are left out, and it is said which and where to read them.
import { codeSpan, harmless } from "./harmless.js";

/** In the order in which they go. In practice diffs and tables do; the others only so that the limit holds for any plan. */
const order = [
  ...(["diff", "table", "list of notes", "list of effects", "list of findings"] as const),
  ...(["picture", "host", "list of refusals", "error text", "title"] as const),
];

/** What can be read by itself: to leave it out opens or closes nothing. */
export interface Part {
  readonly kind: (typeof order)[number];
  /** A host, a file of a host. */
  readonly of: string;
  readonly text: string;
}

export interface Room {
  /** In UTF-16 code units, which are at least as many as characters: how GitHub counts is not documented. */
  readonly length: number;
  /** Where the whole is. */
  readonly whole: string;
}

/** Enough for what is said of the cut. */
export const leastRoom = 4000;

const between = "\n\n";

export function joined(parts: readonly Part[], room?: Room): string {
  const out = room ? leftOut(parts, room) : new Set<Part>();
  const [first, ...rest] = parts.filter((part) => !out.has(part)).map(({ text }) => text);
  const said = room && out.size > 0 ? [saidOf(out, room)] : [];
  return `${[...(first === undefined ? [] : [first]), ...said, ...rest].join(between)}\n`;
}

function leftOut(parts: readonly Part[], room: Room): ReadonlySet<Part> {
  const weight = ({ text }: Part) => text.length + between.length;
  const largestFirst = [...parts].sort((a, b) => weight(b) - weight(a));
  let length = parts.reduce((sum, part) => sum + weight(part), 0);
  const out = new Set<Part>();
  for (const part of order.flatMap((kind) => largestFirst.filter((one) => one.kind === kind))) {
    const said = out.size === 0 ? 0 : saidOf(out, room).length + between.length;
    if (length + said <= room.length) break;
    out.add(part);
    length -= weight(part);
  }
  return out;
}

function saidOf(out: ReadonlySet<Part>, { whole }: Room): string {
  const groups = order.flatMap((kind) => {
    const names = [...out].filter((part) => part.kind === kind).map(({ of }) => codeSpan(shortened(of, 90)));
    if (names.length === 0) return [];
    const count = `${names.length} ${names.length === 1 ? kind : kind.replace(/^\w+/, "$&s")}`;
    return kind === "diff" || kind === "table" ? `${count} (${listed(names)})` : count;
  });
  return `**Cut to fit:** ${groups.join(", ")} left out. The whole plan: ${harmless(whole)}`;
}

function listed(names: readonly string[]): string {
  const more = names.length - 3;
  return more > 0 ? `${names.slice(0, 3).join(", ")} and ${more} more` : names.join(", ");
}

/** At most so long, with a word on what is missing. */
export function shortened(text: string, length: number): string {
  const line = harmless(text);
  if (line.length <= length) return line;
  // Not between the two halves of one character.
  return `${line.slice(0, length).replace(/[\ud800-\udbff]$/, "")}... (${line.length - length} characters more)`;
}
