// master.cf as data: the services and their `-o` overrides, edits that leave every other byte alone, and their undoing.
import { type LogicalLine, cut, logicalLines, nameValue, offset } from "./logical-lines.js";
import {
  type ListValue,
  type Place,
  type Side,
  behind,
  find,
  has,
  insert,
  mentions,
  put,
  remove,
  removeBegun,
} from "./list-edits.js";
import { type Token, checkElement, checkName, checkValue, elements, fields, occurrences, tokens } from "./lists.js";

/** One service of master.cf, its fields as they stand there; "-" is the field's default (master(5)). */
export interface Service {
  /** "smtp", "submission", "127.0.0.1:10026", "[::1]:587", "pickup" ... */
  name: string;
  /** inet, unix, fifo, pass, unix-dgram. */
  type: string;
  private: string;
  unpriv: string;
  chroot: string;
  wakeup: string;
  maxproc: string;
  command: string;
  /** The `-o` overrides in order; of one parameter the last counts. Values unexpanded, without the braces. */
  overrides: { parameter: string; value: string }[];
  /** Arguments that are no override, as they stand there: "-v", "flags=DRhu", "argv=...". */
  args: string[];
  /** Number of its first line, from 1. */
  line: number;
}

/** Elements that a service's override of a list parameter must hold. */
export interface ServiceEdit {
  /** Name and type as master.cf writes them: "submission/inet". */
  service: string;
  parameter: string;
  /** Appended where they are missing. */
  add: string[];
  /** What the list begins with where the service does not override it: main.cf's value. Default: empty. */
  seed?: string;
}

/** What was done to the text, in order; see AppliedParameter. */
export interface AppliedService extends Place {
  service: string;
  parameter: string;
  element: string;
  side: Side;
  /** There where the service had no override before: the list that ours was begun with. */
  seed?: string;
}

/** master.cf has no such service, or it is commented out. */
export class ServiceNotFound extends Error {
  override readonly name = "ServiceNotFound";
  constructor(
    readonly service: string,
    /** The services there are, as name/type. */
    readonly existing: readonly string[],
  ) {
    super(`master.cf has no service ${service}; it has ${existing.join(", ") || "none"}`);
  }
}

/** The services of a master.cf, in order. Lines with fewer than eight fields, which stop Postfix, are left out. */
export function services(text: string): Service[] {
  return entries(text).map((entry) => entry.service);
}

/**
 * Adds elements to overrides of services, making the override where there is none. Of two services of one name the last is
 * edited: the one that master(8) uses. What is there already is no edit and not in `applied`.
 *
 * Throws ServiceNotFound, and RangeError for what could not be written on one line and read back.
 */
export function applyServices(
  text: string,
  edits: readonly ServiceEdit[],
): { text: string; applied: AppliedService[] } {
  const applied: AppliedService[] = [];
  let file = text;
  for (const edit of edits) {
    checkName(edit.parameter);
    edit.add.forEach(checkElement);
    checkValue(edit.seed ?? "");
    for (const element of edit.add) {
      const step = addOne(file, edit, element);
      file = step.file;
      if (step.applied === undefined) continue;
      const begun = applied.find((one) => one.seed !== undefined && isSame(one, edit));
      // Each element of an override that we began knows the seed, whatever order they leave in.
      applied.push(begun?.seed === undefined ? step.applied : { ...step.applied, seed: begun.seed });
    }
  }
  return { text: file, applied };
}

/** Takes out what was applied, the latest first; what others have added or changed meanwhile stays. */
export function stripServices(text: string, applied: readonly AppliedService[]): string {
  return applied.reduceRight(subtract, text);
}

interface Entry {
  readonly service: Service;
  readonly line: LogicalLine;
  readonly overrides: readonly Override[];
  /** Where the options end, in the joined text. */
  readonly optionsEnd: number;
}

interface Override extends ListValue {
  readonly parameter: string;
  /** From the "-o" to the end of its value, in the joined text. */
  readonly start: number;
  readonly end: number;
}

function entries(file: string): Entry[] {
  return logicalLines(file).flatMap((line) => {
    const words = fields(line.text);
    const [name, type, priv, unpriv, chroot, wakeup, maxproc, command] = words.map((word) => word.text);
    const commandField = words[7];
    if (commandField === undefined || command === undefined) return [];
    if (!name || !type || !priv || !unpriv || !chroot || !wakeup || !maxproc) return [];
    const { overrides, args, optionsEnd } = options(line, commandField, words.slice(8));
    const service: Service = {
      ...{ name, type, private: priv, unpriv, chroot, wakeup, maxproc, command },
      overrides: overrides.map((one) => ({ parameter: one.parameter, value: line.text.slice(one.from, one.to) })),
      args,
      line: line.number,
    };
    return [{ service, line, overrides, optionsEnd }];
  });
}

/**
 * Reads the arguments as the daemons do: options up to the first word that is none. (postconf -P misreads "-osyslog_name=x":
 * it splits at every "o" and shows a parameter g_name.)
 */
function options(
  line: LogicalLine,
  command: Token,
  rest: readonly Token[],
): Omit<Entry, "service" | "line"> & { args: string[] } {
  const overrides: Override[] = [];
  const args: string[] = [];
  let optionsEnd = command.end;
  let index = 0;
  for (; index < rest.length; index += 1) {
    const field = rest[index];
    if (field === undefined || field.open || !field.text.startsWith("-") || field.text === "--") break;
    // "-vo name=value" and "-oname=value" are legal, too.
    const letter = field.text.indexOf("o", 1);
    if (letter < 0) {
      args.push(field.text);
      optionsEnd = field.end;
      continue;
    }
    const joined = letter + 1 < field.text.length;
    const value = joined ? { ...field, start: field.start + letter + 1 } : rest[index + 1];
    if (value === undefined || value.open) break;
    if (!joined) index += 1;
    if (letter > 1) args.push(field.text.slice(0, letter));
    const override = parseOverride(line, field.start, value);
    if (override !== undefined) overrides.push(override);
    optionsEnd = value.end;
  }
  args.push(...rest.slice(index).map((field) => field.text));
  return { overrides, args, optionsEnd };
}

function parseOverride(line: LogicalLine, start: number, value: { start: number; end: number }): Override | undefined {
  const braced = line.text[value.start] === "{";
  const found = braced
    ? nameValue(line.text, value.start + 1, value.end - 1)
    : nameValue(line.text, value.start, value.end);
  if (found === undefined || (braced && line.text[value.end - 1] !== "}")) return undefined;
  const { name: parameter, equals: sign, from, to } = found;
  return { parameter, equals: sign, from, to, line, start, end: value.end, glue: braced ? " " : "," };
}

function named(all: readonly Entry[], service: string): Entry[] {
  return all.filter((entry) => id(entry) === service);
}

function id(entry: Entry): string {
  return `${entry.service.name}/${entry.service.type}`;
}

/** Every override of the parameter by a service of this name. */
function overridesOf(file: string, service: string, parameter: string): Override[] {
  return named(entries(file), service)
    .flatMap((entry) => entry.overrides)
    .filter((override) => override.parameter === parameter);
}

function isSame(one: AppliedService, edit: ServiceEdit): boolean {
  return one.service === edit.service && one.parameter === edit.parameter;
}

function addOne(
  file: string,
  edit: Omit<ServiceEdit, "add">,
  element: string,
): { file: string; applied?: AppliedService } {
  const all = entries(file);
  const entry = named(all, edit.service).at(-1);
  if (entry === undefined) throw new ServiceNotFound(edit.service, [...new Set(all.map(id))]);
  const override = entry.overrides.findLast((one) => one.parameter === edit.parameter);
  if (override === undefined) {
    const seed = elements(edit.seed ?? "").join(",");
    if (occurrences(tokens(seed), element).length > 0) return { file };
    const step = addOne(addOption(file, entry, `-o ${edit.parameter}=${seed}`), edit, element);
    return step.applied === undefined ? step : { file: step.file, applied: { ...step.applied, seed } };
  }
  if (has(override, element)) return { file };
  const inserted = insert(file, override, element, "last");
  const same = overridesOf(file, edit.service, edit.parameter);
  const ordinal = same.findIndex((one) => one.line.number === override.line.number && one.start === override.start);
  const twins = same.filter((one, index) => index !== ordinal && mentions(one, element)).length;
  const { service, parameter } = edit;
  return {
    file: inserted.file,
    applied: { service, parameter, element, side: inserted.side, ordinal, of: same.length, twins },
  };
}

/** A continuation line of its own, or, where more follows that is no option, behind the last option. */
function addOption(file: string, entry: Entry, option: string): string {
  const { line, optionsEnd } = entry;
  const last = line.pieces.at(-1);
  if (last === undefined || line.cut || line.text.slice(optionsEnd).trim() !== "") {
    return put(file, behind(line, optionsEnd), ` ${option}`);
  }
  const indents = entry.overrides.map((one) => indentation(file, offset(line, one.start)));
  const indent = indents.findLast((one) => one !== undefined) ?? "  ";
  const newline = file.charAt(last.end - 1) === "\r" ? "\r\n" : "\n";
  if (last.end === file.length) return put(file, last.end, `\n${indent}${option}`);
  return put(file, last.end + 1, `${indent}${option}${newline}`);
}

/** The blanks before it, where it opens a continuation line. */
function indentation(file: string, start: number): string | undefined {
  const before = file.slice(file.lastIndexOf("\n", start - 1) + 1, start);
  return /^[ \t]+$/.test(before) ? before : undefined;
}

function subtract(file: string, one: AppliedService): string {
  const read = (text: string): Override[] => overridesOf(text, one.service, one.parameter);
  const { seed } = one;
  if (seed === undefined) {
    const ours = find(read(file), one, (override) => mentions(override, one.element));
    return ours === undefined ? file : remove(file, ours, one.element, one.side);
  }
  const left = removeBegun(file, { ...one, seed }, read);
  return left.empty === undefined ? left.file : removeOverride(left.file, left.empty);
}

function removeOverride(file: string, override: Override): string {
  const start = offset(override.line, override.start);
  const end = behind(override.line, override.end);
  const opensLine = indentation(file, start) !== undefined;
  return cut(file, opensLine ? start : start - 1, end);
}
