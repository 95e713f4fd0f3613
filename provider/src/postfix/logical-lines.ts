// The lines of main.cf and master.cf as Postfix reads them (readlline.c), each character traceable to its place in the
// file. Files are latin1 strings: one character a byte.

/** A logical line: its first physical line and the continuation lines, without the comments and blank lines between. */
export interface LogicalLine {
  /** The joined text; like Postfix, which uses C strings, it ends before a NUL byte. */
  readonly text: string;
  /** Number of the first physical line, from 1. */
  readonly number: number;
  /** There is text behind a NUL byte, which Postfix ignores. */
  readonly cut: boolean;
  readonly pieces: readonly Piece[];
}

/** One physical line of a logical line, without its "\n". */
export interface Piece {
  /** Where it stands in the file. */
  readonly start: number;
  readonly end: number;
  /** Where it begins in the joined text. */
  readonly index: number;
}

/** Splits a file. Lines that begin with blanks and continue nothing are left out: Postfix skips them with a warning. */
export function logicalLines(file: string): LogicalLine[] {
  const lines: LogicalLine[] = [];
  let pieces: Piece[] = [];
  let first = 0;
  const finish = (): void => {
    const start = pieces[0];
    if (start !== undefined && !isSpace(file, start.start)) lines.push(joined(file, pieces, first));
    pieces = [];
  };
  let number = 0;
  for (let start = 0; start < file.length;) {
    number += 1;
    const newline = file.indexOf("\n", start);
    const end = newline < 0 ? file.length : newline;
    const content = skipSpace(file, start, end);
    if (content < end && file[content] !== "#") {
      if (content === start) finish();
      const last = pieces.at(-1);
      if (last === undefined) first = number;
      pieces.push({ start, end, index: last === undefined ? 0 : last.index + last.end - last.start });
    }
    start = end + 1;
  }
  finish();
  return lines;
}

function joined(file: string, pieces: Piece[], number: number): LogicalLine {
  const text = pieces.map((piece) => file.slice(piece.start, piece.end)).join("");
  const nul = text.indexOf("\0");
  return nul < 0 ? { text, number, cut: false, pieces } : { text: text.slice(0, nul), number, cut: true, pieces };
}

/** Where in the file the character of the joined text stands. */
export function offset(line: LogicalLine, index: number): number {
  const piece = line.pieces.findLast((candidate) => candidate.index <= index);
  if (piece === undefined) throw new RangeError(`no character ${index} in the logical line ${line.number}`);
  return piece.start + index - piece.index;
}

/** Postfix's ISSPACE: the ASCII ones, whatever the locale. */
export function isSpace(text: string, index: number): boolean {
  const code = text.charCodeAt(index);
  return code === 32 || (code >= 9 && code <= 13);
}

/** The first index in [start, end) that holds no blank, or end. */
export function skipSpace(text: string, start: number, end: number): number {
  let index = start;
  while (index < end && isSpace(text, index)) index += 1;
  return index;
}

/** The index behind the last character of [start, end) that is no blank, or start. */
export function trimSpace(text: string, start: number, end: number): number {
  let index = end;
  while (index > start && isSpace(text, index - 1)) index -= 1;
  return index;
}

/** A `name = value`, in the joined text of a logical line. */
export interface NameValue {
  readonly name: string;
  /** Index right behind the "=". */
  readonly equals: number;
  /** The value without the blanks around it; empty: both are `equals`. */
  readonly from: number;
  readonly to: number;
}

/** Splits [start, end) of a text as Postfix does (split_nameval.c); undefined where it would stop with an error. */
export function nameValue(text: string, start: number, end: number): NameValue | undefined {
  const begin = skipSpace(text, start, end);
  let close = begin;
  while (close < end && !isSpace(text, close) && text[close] !== "=") close += 1;
  const sign = skipSpace(text, close, end);
  if (close === begin || sign >= end || text[sign] !== "=") return undefined;
  const equals = sign + 1;
  const from = skipSpace(text, equals, end);
  return from === end
    ? { name: text.slice(begin, close), equals, from: equals, to: equals }
    : { name: text.slice(begin, close), equals, from, to: trimSpace(text, from, end) };
}

/** Takes [start, end) out, and the whole physical lines where nothing but blanks is left of them. */
export function cut(file: string, start: number, end: number): string {
  const lineStart = start === 0 ? 0 : file.lastIndexOf("\n", start - 1) + 1;
  const newline = file.indexOf("\n", end);
  const lineEnd = newline < 0 ? file.length : newline;
  if (skipSpace(file, lineStart, start) < start || skipSpace(file, end, lineEnd) < lineEnd) {
    return file.slice(0, start) + file.slice(end);
  }
  // An unterminated last line takes the newline before it along: what stood before it was unterminated, too.
  if (newline < 0) return file.slice(0, Math.max(0, lineStart - 1));
  return file.slice(0, lineStart) + file.slice(newline + 1);
}
