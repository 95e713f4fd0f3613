// One marked line in Dovecot's main file that includes our fragment, for hosts where nothing else would.
// It goes in and comes out without another byte of the file changing.

export const includeMarker =
  "# pulumi-dovecot-postfix: the next line includes its settings (see /var/lib/pulumi-dovecot-postfix)";

/** What addInclude put in. Plain JSON: the ledger keeps it. */
export interface AppliedInclude {
  path: string;
  /** The last line had no end, and got one. */
  terminated: boolean;
}

/** Appends the include line to the text of the main file (latin1). Where it stands already, nothing changes. */
export function addInclude(text: string, path: string): { text: string; applied: AppliedInclude } {
  if (linesOf(text).some((line) => isInclude(line, path))) return { text, applied: { path, terminated: false } };
  const end = text.endsWith("\r\n") ? "\r\n" : "\n";
  const terminated = text !== "" && !text.endsWith("\n");
  const ours = [includeMarker, `!include_try ${path}`].map((line) => `${line}${end}`).join("");
  return { text: `${text}${terminated ? "\n" : ""}${ours}`, applied: { path, terminated } };
}

/** Takes our two lines out, as many of them as are still there; everything else stays as it is. */
export function stripInclude(text: string, applied: AppliedInclude): string {
  const lines = linesOf(text);
  const isOurs = (line: string): boolean => line.trimEnd() === includeMarker || isInclude(line, applied.path);
  const rest = lines.filter((line) => !isOurs(line)).join("");
  // The end that we gave their last line goes only while nothing of theirs has come to stand after it.
  const last = lines.at(-1);
  const isLast = last !== undefined && isOurs(last);
  return applied.terminated && isLast ? rest.replace(/\n$/, "") : rest;
}

function isInclude(line: string, path: string): boolean {
  return line.trimEnd() === `!include_try ${path}`;
}

/** Lines with their ends. */
function linesOf(text: string): string[] {
  return text.split(/(?<=\n)/);
}
