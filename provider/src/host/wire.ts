// How a program travels to a mail host and its answer back: text in, text out, no I/O.
import { quote } from "../ssh/quote.js";
import { HostError } from "./errors.js";

/**
 * The text that a shell on the host reads from stdin: the program and the calls of its functions, in one brace group.
 * A shell runs no part of a brace group before it has read the closing brace, so a link that is cut
 * anywhere leaves nothing that runs; and `exit` keeps it from reading on.
 */
export function script(program: string, calls: readonly (readonly string[])[]): string {
  const lines = calls.map(([name = "", ...words]) => [name, ...words.map(quote)].join(" "));
  return `{\n${program}\n${lines.join("\n")}\nexit\n}\n`;
}

/**
 * What goes before a program: its name and, for an observation, its records again as data, in comments that a shell skips. The
 * observer (observer.sh), which runs no text that is sent to it, reads this alone.
 */
export function heading(file: string, nonce: string, words: readonly string[]): string {
  const lines = words.map((word) => `# ${word.replace(/[^\x20-\x7e]/g, "?")}\n`);
  return `# pulumi-dovecot-postfix ${file} ${nonce}\n${lines.join("")}#\n`;
}

/**
 * File contents as an argument for `printf %b`: printable ASCII and newlines as they are, every other byte as \0ooo,
 * so that NUL and bytes above 127 survive any shell. A trailing backslash-c (`\c`) cannot occur: backslashes are escaped.
 */
export function printfBytes(latin1: string): string {
  return latin1.replace(/[^\n\x20-\x5b\x5d-\x7e]/g, (byte) => `\\0${byte.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

/** One part of an answer: a name, words, and a body of raw bytes (latin1). */
export interface Frame {
  readonly name: string;
  readonly words: readonly string[];
  readonly body: string;
}

/**
 * Splits an answer at lines that begin with the nonce, which nobody on the host could have guessed. The last frame must be
 * `end`: a cut or foreign answer is an error, never half an answer.
 */
export function frames(answer: string, nonce: string, from: { label: string; stderr: string; state: string }): Frame[] {
  const parts = `\n${answer}`.split(`\n${nonce} `).slice(1);
  const result = parts.map((part) => {
    const cut = part.indexOf("\n");
    const [name = "", ...words] = (cut < 0 ? part : part.slice(0, cut)).split(" ");
    return { name, words, body: cut < 0 ? "" : part.slice(cut + 1) };
  });
  if (result.at(-1)?.name !== "end") {
    if (result.length > 0) {
      throw new HostError(from.label, "the program on the host was ended before it was done", {
        said: from.stderr,
        state: from.state,
        cure: "Find out what ends processes there (memory, a limit, somebody), then run the same command again.",
      });
    }
    throw new HostError(from.label, "the answer of the program on the host is cut off or is not its answer", {
      said: from.stderr || answer,
      state: from.state,
      cure:
        "The login must give a plain shell (no forced command, no restricted shell); " +
        `try \`ssh ssh://${from.label} 'echo ok | cat'\`, which must print ok and nothing else.`,
    });
  }
  return result;
}
