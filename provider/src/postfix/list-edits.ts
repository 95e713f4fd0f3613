// One element into a list value and out again, by the bytes around it. Shared by main.cf and master.cf.
import { type LogicalLine, cut, offset, skipSpace } from "./logical-lines.js";
import { type Token, occurrences, tokens, words } from "./lists.js";

/** A list value where it stands in a file. */
export interface ListValue {
  readonly line: LogicalLine;
  /** Indexes in the joined text of the line, as in NameValue. */
  readonly equals: number;
  readonly from: number;
  readonly to: number;
  /** What goes between two elements. A comma where a blank would end the value: an unbraced `-o name=value`. */
  readonly glue: " " | ",";
}

/** The side of an element on which we put the glue away from: "last" has it before, "first" behind. */
export type Side = "first" | "last";

export function has(value: ListValue, element: string): boolean {
  return occurrences(live(value), element).length > 0;
}

/** Writes the element before the first or behind the last one. */
export function insert(file: string, value: ListValue, element: string, at: Side): { file: string; side: Side } {
  const list = tokensOf(value);
  const alive = live(value);
  const text = value.glue === "," ? words(element).join(",") : element;
  // Behind a "#" or an open brace an element would have no effect, so the first place may be before these.
  const first = at === "first" || alive.length === 0 ? list[0] : undefined;
  if (first !== undefined)
    return { file: put(file, offset(value.line, first.start), text + value.glue), side: "first" };
  const last = alive.length < list.length ? alive.at(-1) : undefined;
  const end = last === undefined ? value.to : last.end;
  const glue = value.glue === "," && value.from === value.to ? "" : value.glue;
  return { file: put(file, behind(value.line, end), glue + text), side: "last" };
}

/** Takes the element out with the glue that came with it, or, where others have moved it, with what separates it now. */
export function remove(file: string, value: ListValue, element: string, side: Side): string {
  const list = tokensOf(value);
  const alive = occurrences(live(value), element);
  const places = alive.length > 0 ? alive : occurrences(list, element);
  const place = side === "first" ? places[0] : places.at(-1);
  const first = list[place ?? -1];
  const last = list[(place ?? -1) + words(element).length - 1];
  if (first === undefined || last === undefined) return file;

  const start = offset(value.line, first.start);
  const end = behind(value.line, last.end);
  const separates = (at: number): boolean => isComma(file, at) || (value.glue === " " && isBlank(file, at));
  const opensLine = skipSpace(file, file.lastIndexOf("\n", start - 1) + 1, start) === start;
  // With blanks as glue, a comma before ours was there before it.
  const backward = !opensLine && (value.glue === "," ? isComma(file, start - 1) : isBlank(file, start - 1));
  const leads = first === list[0] && isComma(file, end);
  if (backward && !leads && (side === "last" || !separates(end))) {
    // `a, ours, b`: one of the two commas has come with ours.
    const doubled = isBlank(file, start - 1) && isComma(file, start - 2) && isComma(file, end);
    return cut(file, start - 1, doubled ? end + 1 : end);
  }
  const comma = isComma(file, end) ? end + 1 : end;
  return cut(file, start, value.glue === " " && isBlank(file, comma) ? comma + 1 : comma);
}

/** Whether the value holds this list and nothing else. */
export function equals(value: ListValue, list: string): boolean {
  const present = words(value.line.text.slice(value.from, value.to));
  const wanted = words(list);
  return present.length === wanted.length && present.every((text, index) => text === wanted[index]);
}

/** Whether the element is anywhere in the value, effective or not. */
export function mentions(value: ListValue, element: string): boolean {
  return occurrences(tokensOf(value), element).length > 0;
}

/** The place in the file behind the character before this index of the joined text. */
export function behind(line: LogicalLine, index: number): number {
  return offset(line, index - 1) + 1;
}

/** Which of several definitions of one name was edited, told so that it is found again after others have edited the file. */
export interface Place {
  /** How many stood before it. */
  ordinal: number;
  /** How many there were with it. */
  of: number;
  /** How many others looked like it afterwards: without more than these, ours is gone. */
  twins: number;
}

/** The definition that was edited, among those that look like it. */
export function find<T>(all: readonly T[], place: Place, looks: (one: T) => boolean): T | undefined {
  const candidates = all.filter(looks);
  if (candidates.length <= place.twins) return undefined;
  const same = all[place.ordinal];
  return same !== undefined && looks(same) ? same : candidates.at(-1);
}

/**
 * Of a list that we began: the element taken out, and what is left of its definition if that is nothing but ours, to be
 * taken out, too. Where there are other definitions than there were, the one that is left with the seed is ours.
 */
export function removeBegun<T extends ListValue>(
  file: string,
  one: Place & { element: string; side: Side; seed: string },
  read: (file: string) => T[],
): { file: string; empty?: T } {
  const all = read(file);
  const ours = find(all, one, (value) => mentions(value, one.element));
  if (ours === undefined) {
    const empty = all.find((value) => equals(value, one.seed));
    return empty === undefined ? { file } : { file, empty };
  }
  const others = all.length === one.of ? [] : all.filter((value) => value !== ours && mentions(value, one.element));
  const outcomes = [ours, ...others].map((value) => {
    const without = remove(file, value, one.element, one.side);
    return { file: without, rest: read(without)[all.indexOf(value)] };
  });
  const own = outcomes.find(({ rest }) => rest !== undefined && equals(rest, one.seed));
  const chosen = own ?? outcomes[0] ?? { file, rest: undefined };
  const bare = chosen.rest !== undefined && (chosen === own || equals(chosen.rest, ""));
  return bare && chosen.rest !== undefined ? { file: chosen.file, empty: chosen.rest } : { file: chosen.file };
}

function tokensOf(value: ListValue): Token[] {
  return tokens(value.line.text.slice(value.from, value.to)).map((token) => ({
    ...token,
    start: token.start + value.from,
    end: token.end + value.from,
  }));
}

function live(value: ListValue): Token[] {
  return tokensOf(value).filter((token) => token.live);
}

export function put(file: string, at: number, text: string): string {
  return file.slice(0, at) + text + file.slice(at);
}

function isBlank(file: string, at: number): boolean {
  return file[at] === " " || file[at] === "\t";
}

function isComma(file: string, at: number): boolean {
  return file[at] === ",";
}
