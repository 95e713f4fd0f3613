// main.cf as data: what a parameter is set to, edits that leave every other byte alone, and their exact undoing.
// Postfix's own `postconf -e` can do neither: it joins continuation lines, and appends to an unterminated last line.
import { type LogicalLine, type NameValue, cut, logicalLines, nameValue, offset } from "./logical-lines.js";
import { type Place, type Side, behind, find, has, insert, mentions, put, remove, removeBegun } from "./list-edits.js";
import { checkElement, checkName, checkValue, collapse, occurrences, tokens } from "./lists.js";

/** What someone wants of a main.cf parameter. */
export type ParameterEdit =
  | {
      parameter: string;
      /**
       * Elements that must be in the list, each one word or several ("check_client_access cidr:/etc/postfix/x"). What is
       * there already is left as it is.
       */
      add: string[];
      /** Before or behind what is there. In restrictions and in lists with "!" the first match wins. */
      at: Side;
      /** What the list begins with where main.cf does not set it, such as the computed mynetworks. Default: empty. */
      seed?: string;
    }
  | { parameter: string; set: string };

/**
 * What was done to the text, in order: plain JSON for the ledger, enough to take it out of a text that others have edited
 * since. Holds list elements and the replaced value, so never use it for a parameter that holds a secret.
 */
export type AppliedParameter = AppliedElement | AppliedValue;

export interface AppliedElement extends Place {
  parameter: string;
  element: string;
  side: Side;
  /** There where the parameter was not set before: the value that the definition was begun with. */
  seed?: string;
}

export interface AppliedValue extends Place {
  parameter: string;
  value: string;
  /** The bytes between "=" and the end of the old value; null: the parameter was not set. */
  was: string | null;
}

/**
 * Makes the edits, one after the other. Where there are several definitions, the last one is edited: it is the one that
 * counts. Elements that are there, and a value that is so already, are no edit and not in `applied`.
 *
 * A contributor joins or leaves by `stripParameters` of all that was applied and `applyParameters` of what is wanted now.
 *
 * Throws RangeError for a name, element or value that could not be written on one line and read back.
 */
export function applyParameters(
  text: string,
  edits: readonly ParameterEdit[],
): { text: string; applied: AppliedParameter[] } {
  const applied: AppliedParameter[] = [];
  let file = text;
  for (const step of edits.flatMap(steps)) {
    const done = step(file);
    file = done.file;
    // Each element of a definition that we began knows the seed, whatever order they leave in.
    if (done.applied === undefined) continue;
    const seed = begunWith(applied, done.applied.parameter);
    applied.push("element" in done.applied && seed !== undefined ? { ...done.applied, seed } : done.applied);
  }
  return { text: file, applied };
}

/** Takes out what was applied, the latest first; what others have added or changed meanwhile stays. */
export function stripParameters(text: string, applied: readonly AppliedParameter[]): string {
  return applied.reduceRight((file, one) => ("element" in one ? subtract(file, one) : restore(file, one)), text);
}

/**
 * A parameter's value as `postconf -h` prints it, continuation lines joined and runs of blanks made one, and the number of
 * its line; undefined where it is not set.
 */
export function parameter(text: string, name: string): { value: string; line: number } | undefined {
  const last = definitions(text, name).at(-1);
  return last === undefined ? undefined : { value: collapse(valueOf(last)), line: last.line.number };
}

interface Definition extends NameValue {
  readonly line: LogicalLine;
  readonly glue: " ";
}

interface Step {
  file: string;
  applied?: AppliedElement | AppliedValue;
}

function definitions(file: string, name: string): Definition[] {
  return logicalLines(file).flatMap((line) => {
    if (!line.text.startsWith(name)) return [];
    const found = nameValue(line.text, 0, line.text.length);
    return found?.name === name ? [{ ...found, line, glue: " " as const }] : [];
  });
}

function valueOf(definition: Definition): string {
  return definition.line.text.slice(definition.from, definition.to);
}

/** What an edit does, one element at a time. */
function steps(edit: ParameterEdit): ((file: string) => Step)[] {
  checkName(edit.parameter);
  if ("set" in edit) {
    checkValue(edit.set);
    return [(file) => assign(file, edit.parameter, edit.set)];
  }
  const seed = edit.seed ?? "";
  edit.add.forEach(checkElement);
  checkValue(seed);
  // Each goes before the one that was written before it, so that they stand in the order given.
  const order = edit.at === "first" ? edit.add.toReversed() : edit.add;
  return order.map((element) => (file) => addOne(file, edit.parameter, element, edit.at, seed));
}

function begunWith(applied: readonly AppliedParameter[], parameter: string): string | undefined {
  for (const one of applied)
    if (one.parameter === parameter && "element" in one && one.seed !== undefined) return one.seed;
  return undefined;
}

function addOne(file: string, name: string, element: string, at: Side, seed: string): Step {
  const all = definitions(file, name);
  const last = all.at(-1);
  if (last === undefined) {
    const seeded = tokens(seed).filter((token) => token.live);
    if (occurrences(seeded, element).length > 0) return { file };
    const step = addOne(appendLine(file, `${name} =${seed === "" ? "" : ` ${seed}`}`), name, element, at, seed);
    return step.applied === undefined ? step : { file: step.file, applied: { ...step.applied, seed } };
  }
  if (has(last, element)) return { file };
  const inserted = insert(file, last, element, at);
  const ordinal = all.length - 1;
  const twins = all.filter((other) => other !== last && mentions(other, element)).length;
  return {
    file: inserted.file,
    applied: { parameter: name, element, side: inserted.side, ordinal, of: all.length, twins },
  };
}

function subtract(file: string, one: AppliedElement): string {
  const read = (text: string): Definition[] => definitions(text, one.parameter);
  const { seed } = one;
  if (seed === undefined) {
    const ours = find(read(file), one, (definition) => mentions(definition, one.element));
    return ours === undefined ? file : remove(file, ours, one.element, one.side);
  }
  const left = removeBegun(file, { ...one, seed }, read);
  // Behind a NUL byte there may be text of theirs.
  return left.empty === undefined || left.empty.line.cut ? left.file : removeLine(left.file, left.empty.line);
}

function assign(file: string, name: string, value: string): Step {
  const all = definitions(file, name);
  const last = all.at(-1);
  if (last === undefined) {
    const created = appendLine(file, `${name} =${value === "" ? "" : ` ${value}`}`);
    return { file: created, applied: { parameter: name, value, was: null, ordinal: 0, of: 1, twins: 0 } };
  }
  if (isValue(last, value)) return { file };
  const start = behind(last.line, last.equals);
  const end = behind(last.line, last.to);
  const lead = last.from === last.to ? " " : file.slice(start, offset(last.line, last.from));
  const text = value === "" ? "" : (lead.includes("\n") ? " " : lead) + value;
  const ordinal = all.length - 1;
  const twins = all.filter((other) => other !== last && isValue(other, value)).length;
  return {
    file: file.slice(0, start) + text + file.slice(end),
    applied: { parameter: name, value, was: file.slice(start, end), ordinal, of: all.length, twins },
  };
}

function restore(file: string, one: AppliedValue): string {
  const ours = find(definitions(file, one.parameter), one, (definition) => isValue(definition, one.value));
  if (ours === undefined) return file;
  if (one.was === null) return ours.line.cut ? file : removeLine(file, ours.line);
  return file.slice(0, behind(ours.line, ours.equals)) + one.was + file.slice(behind(ours.line, ours.to));
}

function isValue(definition: Definition, value: string): boolean {
  return collapse(valueOf(definition)) === collapse(value);
}

function appendLine(file: string, line: string): string {
  // Postfix reads an unterminated last line; ours stays unterminated in its place, so that removing it is exact.
  if (file !== "" && !file.endsWith("\n")) return put(file, file.length, `\n${line}`);
  return put(file, file.length, file.endsWith("\r\n") ? `${line}\r\n` : `${line}\n`);
}

/** The physical lines of a logical line; comments between them stay. */
function removeLine(file: string, line: LogicalLine): string {
  return line.pieces.reduceRight((text, piece) => cut(text, piece.start, piece.end), file);
}
