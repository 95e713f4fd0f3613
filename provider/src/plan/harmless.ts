// Text from a host, for a reader's eyes: nothing in it may steer a terminal, the engine's display, Markdown, HTML or Mermaid.
import { harmless } from "../ssh/printable.js";

export { harmless };

/** Bytes of a host (latin1, one char a byte) as text: UTF-8 where they are. */
export function readable(latin1: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(latin1, "latin1"));
  } catch {
    // Not UTF-8, so each byte is a character.
    return latin1;
  }
}

/** Text within a line of Markdown: it stays text, links to nothing and calls nobody. */
export function markdown(text: string): string {
  return harmless(text)
    .replace(/\s+/g, " ")
    .replace(/[&<>[\]\\`*_~#|@!{}$]/g, entity)
    .replace(/:\/\//g, "&#58;//")
    .replace(/www\./gi, (www) => `${www.slice(0, 3)}&#46;`)
    .replace(
      /^(\s*)([-+=]|\d+[.)](?=\s|$))/,
      (_, blank: string, mark: string) => `${blank}${mark.replace(/./g, entity)}`,
    );
}

/** Text as a code span, also in a table's cell. */
export function codeSpan(text: string): string {
  const line = harmless(text).replace(/\s+/g, " ").replaceAll("|", "\\|");
  const fence = "`".repeat(longestRun(line) + 1);
  return `${fence} ${line} ${fence}`.replace(/^` ([^`].*[^`]) `$/s, "`$1`");
}

/** Text as a fenced block, which it cannot end. */
export function codeBlock(language: string, text: string): string {
  const fence = "`".repeat(Math.max(3, longestRun(text) + 1));
  return `${fence}${language}\n${harmless(text).replace(/\n?$/, "\n")}${fence}`;
}

/** Text within the quotes of a Mermaid label. */
export function mermaid(text: string): string {
  return harmless(text)
    .replace(/\s+/g, " ")
    .replace(/[^A-Za-z0-9 .,:/()%=+-]/gu, (char) => `#${char.codePointAt(0) ?? 32};`);
}

function longestRun(text: string): number {
  return Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
}

function entity(char: string): string {
  return `&#${char.charCodeAt(0)};`;
}
