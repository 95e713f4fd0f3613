// Secrets in a configuration file, each in its place as {...}. Pure; host/observer.sh's `secrets` does the same: a test compares
// them. A line stays a line.
import type { Daemon } from "../host/snapshot.js";

/** A setting or an option. Whether it names a secret is asked afterwards: in one expression, a long word would take for ever. */
const named = /(?:^|[ \t])--?[a-z0-9_-]+[ \t=:]+|(?<![a-z0-9_])[a-z0-9_]+"?[ \t]*[=:][ \t]*/;
const secret = /pass|pw|secret|token|nonce|credential|key|authorization|api_header/;
/** A setting that is longer is hidden whole. */
const longest = 20_000;
/** A password in an address: mysql://user:password@host */
const address = /:\/\/[^/@ \t]*:[^@ \t]*@/;
const query = /^[# \t]*[a-z0-9_]*query[ \t]*=[ \t]*"?/i;

/** Of a whole file. */
export function maskSecrets(text: string, daemon: Daemon): string {
  const lines = text.split("\n");
  for (const setting of settings(lines, daemon)) hide(lines, setting, daemon);
  return lines.join("\n");
}

/** What follows the name of a secret is one, unless it says where the secret is kept, yes or no. */
function isSecret(given: string, rest: string): boolean {
  // Dovecot 2.4: passdb_driver, but passdb_static_password.
  const name = given.replace(/"?[ \t]*[=:]?[ \t]*$/, "").replace(/^passdb/, "");
  const value = rest.replace(/^[# \t]+/, "");
  if (!secret.test(name)) return false;
  if (name.endsWith("_maps")) return /static:|inline:|\{/.test(value);
  if (/[_-](file|path|dir|keytab|schemes?)$/.test(name)) return value.startsWith("inline:");
  return (
    value !== "" &&
    ![
      /^(yes|no|y|n)([ \t]|$)/,
      /^<[ \t]*\//,
      /^\$[({]?[a-z_]+[)}]?[ \t]*$/,
      /^["']?%(\{[^}]*\}|[a-z])["']?([ \t,;)]|$)/,
    ].some((open) => open.test(value))
  );
}

/** How much of a setting comes before its first secret. */
function openPart(text: string): number {
  if (text.length > longest) return 0;
  const found = address.exec(text);
  const seen = found ? found.index + 3 : text.length;
  // One character a byte, as awk has it: lower case must not make a text longer.
  const low = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  let at = 0;
  for (let name = named.exec(low); name; name = named.exec(low.slice(at))) {
    at += name.index + name[0].length;
    if (at >= seen) break;
    if (isSecret(name[0], low.slice(at))) return at;
  }
  return seen;
}

/** Line numbers of each setting: it goes on in the next line, also where it is commented out; what is between is a comment. */
function settings(lines: readonly string[], daemon: Daemon): number[][] {
  let current: number[] = [];
  const all = [current];
  let open = false;
  let comment: { lines: number[]; isSetting: boolean; indent: number; depth: number } | undefined;
  lines.forEach((line, number) => {
    if (/^[ \t]*(#|$)/.test(line) && (daemon === "postfix" || !open)) {
      const indent = /^[# \t]*/.exec(line)?.[0].length ?? 0;
      // What is commented out goes on further in, or in its brackets.
      if (!comment?.isSetting || (comment.depth < 1 && indent <= comment.indent)) {
        const isSetting = /^[ \t]*#[# \t]*[A-Za-z0-9_]+[ \t]*=/.test(line);
        comment = { lines: [], isSetting, indent, depth: 0 };
        all.push(comment.lines);
      }
      comment.lines.push(number);
      comment.depth += line.split("{").length - line.split("}").length;
      return;
    }
    comment = undefined;
    if (!(daemon === "postfix" ? /^[ \t]/.test(line) : open)) all.push((current = []));
    current.push(number);
    open = /\\[ \t\r]*$/.test(line);
  });
  return all;
}

function hide(lines: string[], setting: readonly number[], daemon: Daemon): void {
  const texts = setting.map((number) => lines[number] ?? "");
  const flat = texts.map((text) => `${text} `).join("");
  let seen = openPart(flat);
  texts.forEach((text, n) => {
    const shown = query.test(flat) ? withoutLiterals(text) : seen < text.length ? cut(text, seen, daemon) : text;
    lines[setting[n] ?? 0] = shown;
    seen -= text.length + 1;
  });
}

function cut(text: string, seen: number, daemon: Daemon): string {
  const start = Math.max(seen, /^[# \t]*/.exec(text)?.[0].length ?? 0);
  const goesOn = daemon === "dovecot" ? (/[ \t]*\\[ \t\r]*$/.exec(text)?.[0] ?? "") : "";
  return `${text.slice(0, start)}{...}${goesOn}`;
}

/** How a password is asked for has to be seen: of SQL, only what is quoted and no variable is hidden. */
function withoutLiterals(text: string): string {
  const head = query.exec(text)?.[0] ?? "";
  const rest = text.slice(head.length);
  return head + rest.replace(/'[^']*'|"[^"]*"/g, (quoted) => (quoted.includes("%") ? quoted : "{...}"));
}
