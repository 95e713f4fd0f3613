// List values as Postfix splits them (mystrtok.c): blanks and commas separate, `{ ... }` stays whole.

/** A word, by its place in the text. */
export interface Token {
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** It stands in a brace that nothing closes: for Postfix all of that is one word, up to the end. */
  readonly open: boolean;
  /** Part of the list: not `open`, and not behind a "#" word: there 3.7 and 3.10 end mynetworks with a warning. */
  readonly live: boolean;
}

/** The elements of a list value, in order. */
export function elements(value: string): string[] {
  return tokens(value)
    .filter((token) => token.live)
    .map((token) => token.text);
}

/** All words of a list value. `${...}`, `$(...)` and `{ ... }` are kept whole. */
export function tokens(value: string): Token[] {
  return split(value, ", \t\r\n", true);
}

/** The fields of a master.cf line: no commas, and `$(...)` is nothing special before it is expanded. */
export function fields(line: string): Token[] {
  return split(line, " \t\r\n", false);
}

function split(text: string, separators: string, macros: boolean): Token[] {
  const found: Token[] = [];
  let live = true;
  let open = false;
  for (let start = 0; start < text.length;) {
    if (separators.includes(text.charAt(start))) {
      start += 1;
      continue;
    }
    let end = open ? undefined : wordEnd(text, start, separators, macros);
    if (end === undefined) {
      open = true;
      live = false;
      end = start;
      while (end < text.length && !separators.includes(text.charAt(end))) end += 1;
    }
    if (text[start] === "#") live = false;
    found.push({ text: text.slice(start, end), start, end, open, live });
    start = end;
  }
  return found;
}

/** Where the word ends, or undefined where its brace is never closed. */
function wordEnd(text: string, start: number, separators: string, macros: boolean): number | undefined {
  let braces = 0;
  let parentheses = 0;
  let index = start;
  for (; index < text.length; index += 1) {
    const character = text.charAt(index);
    if (character === "{") braces += 1;
    else if (character === "}" && braces > 0) braces -= 1;
    else if (character === "(" && macros && (parentheses > 0 || text[index - 1] === "$")) parentheses += 1;
    else if (character === ")" && parentheses > 0) parentheses -= 1;
    else if (braces === 0 && parentheses === 0 && separators.includes(character)) break;
  }
  return braces === 0 && parentheses === 0 ? index : undefined;
}

/** The words of an element that may be several words, blanks inside braces made alike, for comparison. */
export function words(text: string): string[] {
  return tokens(text).map(word);
}

/** One word for comparison: a `{ ... }` may have been broken over lines. */
export function word(token: Token): string {
  return collapse(token.text);
}

/** The text with every run of blanks as one space: what a reflow over continuation lines leaves the same. */
export function collapse(text: string): string {
  return text.replace(/[ \t\r\n]+/g, " ");
}

/** Each index where the words of the element stand one after the other in the list. */
export function occurrences(list: readonly Token[], element: string): number[] {
  const wanted = words(element);
  const present = list.map(word);
  const found: number[] = [];
  for (let index = 0; wanted.length > 0 && index + wanted.length <= present.length; index += 1) {
    if (wanted.every((text, step) => present[index + step] === text)) found.push(index);
  }
  return found;
}

/** Refuses what could not be written as an element and read back as the same one. */
export function checkElement(element: string): void {
  const list = tokens(element);
  const whole = list[0]?.start === 0 && list.at(-1)?.end === element.length;
  if (!whole || hasControl(element) || hasStrayBrace(element) || !list.every((token) => token.live)) {
    throw new RangeError(`not an element of a Postfix list: ${JSON.stringify(element)}`);
  }
}

/** Refuses a value that would not stay on its line. */
export function checkValue(value: string): void {
  if (/^[\t-\r ]|[\t-\r ]$/.test(value) || hasControl(value)) {
    throw new RangeError(`not a value on one line: ${JSON.stringify(value)}`);
  }
}

/** Refuses a parameter name that is none. */
export function checkName(name: string): void {
  if (!/^[A-Za-z0-9_]+$/.test(name)) throw new RangeError(`not a Postfix parameter: ${JSON.stringify(name)}`);
}

/** A "}" that closes nothing: in a `-o { name = value }` it would close the override. */
function hasStrayBrace(text: string): boolean {
  let depth = 0;
  for (const character of text) {
    if (character === "{") depth += 1;
    if (character === "}") depth -= 1;
    if (depth < 0) return true;
  }
  return false;
}

/** Control characters, and what is no latin1: it would not survive the way to the file. */
function hasControl(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if ((code < 32 && code !== 9) || code > 255) return true;
  }
  return false;
}
