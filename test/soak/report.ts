// docs/reliability.md: what a soak counted, as it counted it.
export interface Section {
  readonly title: string;
  readonly what: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
  /** Cuts, or tests. */
  readonly count: number;
  /** Names of what failed. */
  readonly failures: readonly string[];
  /** Names of tests that could not be run here. */
  readonly skipped?: readonly string[];
}

const heading = "# Reliability\n\nWritten by `npm run soak`, not by hand; each section by the run that it names.";

/** `before`: the report so far, of which the section of this title is replaced, and the others stay as they are. */
export function report(before: string, done: Section, circumstances: string): string {
  const text = [...section(done, circumstances), ""].join("\n\n");
  const others = before.split(/^(?=## )/m).slice(1);
  const at = others.findIndex((one) => one.startsWith(`## ${done.title}: `));
  return [`${heading}\n\n`, ...(at < 0 ? [...others, text] : others.with(at, text))].join("");
}

function section({ title, what, head, rows, count, failures, skipped = [] }: Section, circumstances: string): string[] {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
  return [
    `## ${title}: ${count}, of which ${failures.length} failed`,
    `${what} (${circumstances})`,
    [line(head), line(head.map((_, n) => (n === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n"),
    ...list("", failures),
    ...list("not run here: ", skipped),
  ];
}

function list(prefix: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [items.map((item) => `- ${prefix}${item.replace(/\s+/g, " ")}`).join("\n")];
}
