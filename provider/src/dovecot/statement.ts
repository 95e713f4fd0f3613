// One line of a Dovecot configuration, read as Dovecot's config-parser.c reads it.
import type { Dialect } from "./dialect.js";
import type { Block } from "./tree.js";

export type Statement =
  | { kind: "setting"; name: string; value: string }
  | { kind: "open"; block: Block }
  | { kind: "close" }
  | { kind: "include"; pattern: string; optional: boolean }
  | { kind: "nothing" };

/** Lines without their ends. What follows a NUL does not exist for Dovecot. */
export function physicalLines(text: string): string[] {
  const lines = text.split("\n");
  const last = lines.pop() ?? "";
  const ended = lines.map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  return [...ended, ...(last === "" ? [] : [last])].map((line) => line.split("\0", 1)[0] ?? "");
}

/** The line without its comment and the blanks around it. A "#" in quotes is no comment, one inside a word is. */
export function withoutComment(line: string, dialect: Dialect): string {
  const text = trimmed(line, dialect);
  if (text.startsWith("#")) return "";
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === "#") return trimmed(text.slice(0, i), dialect);
    if (char !== '"' && char !== "'") continue;
    for (i++; i < text.length && text[i] !== char; i++) if (text[i] === "\\") i++;
  }
  return text;
}

/** A whole line, its continuations joined, its comment gone. */
export function parseStatement(text: string, dialect: Dialect): Statement {
  const { blank, section, group } = grammars[dialect];
  const { key, rest } = splitKey(text, dialect);
  if (key === "!include" || key === "!include_try") {
    return { kind: "include", pattern: rest, optional: key === "!include_try" };
  }
  if (rest.startsWith("=")) {
    return { kind: "setting", name: key, value: unquoted(rest.slice(1).replace(new RegExp(`^${blank}+`), "")) };
  }
  if (key === "}" && rest === "") return { kind: "close" };
  if (rest === "{") return { kind: "open", block: { kind: key, name: "" } };
  const named = (key === "group" ? group : section)?.exec(rest);
  if (!named) return { kind: "nothing" };
  const name = named[1] ?? unescaped(named[2] ?? "");
  return { kind: "open", block: { kind: (dialect === "2.3" && oldNames[key]) || key, name } };
}

/** Without the blanks around it; what a blank is depends on the dialect. */
export function trimmed(text: string, dialect: Dialect): string {
  // No expression: from each blank of a long run it would look for the end of the line.
  let [start, end] = [0, text.length];
  while (start < end && blanks[dialect].includes(text.charAt(start))) start++;
  while (end > start && blanks[dialect].includes(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}

const blanks: Record<Dialect, string> = { "2.3": " \t", "2.4": " \t\v\f\r" };

// Never \s: in latin1 it takes the second byte of a UTF-8 letter such as "à" for a blank.
const grammars = {
  "2.3": grammar("[ \\t]", "[^ \\t]"),
  "2.4": {
    ...grammar("[ \\t\\v\\f\\r]", "[^ \\t\\v\\f\\r]"),
    group: /^(@[^ \t\v\f\r]+[ \t\v\f\r]+[^ \t\v\f\r]+)[ \t\v\f\r]+\{$/,
  },
};

function grammar(blank: string, dark: string): { blank: string; key: RegExp; section: RegExp; group?: RegExp } {
  return {
    blank,
    key: new RegExp(`^((?:(?!=)${dark})*)${blank}*(.*)$`, "s"),
    // name {, "quoted name" {
    section: new RegExp(`^(?:((?!["{])${dark}+)${blank}+|"([^"]*)"${blank}*)\\{$`),
  };
}

/** Dovecot 2.3 still reads the names of 2.0. */
const oldNames: Readonly<Record<string, string>> = { local_ip: "local", remote_ip: "remote" };

function splitKey(text: string, dialect: Dialect): { key: string; rest: string } {
  const quoted = dialect === "2.4" ? /^"((?:\\.|[^"\\])*)"?[ \t\v\f\r]*(.*)$/s.exec(text) : null;
  const [, key = "", rest = ""] = quoted ?? grammars[dialect].key.exec(text) ?? [];
  return { key, rest };
}

function unquoted(value: string): string {
  const quote = value[0] ?? "";
  const isQuoted = value.length > 1 && `"'`.includes(quote) && value.endsWith(quote);
  return isQuoted ? unescaped(value.slice(1, -1)) : value;
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/gs, "$1");
}
