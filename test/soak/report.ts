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

export function report(sections: readonly Section[], circumstances: string): string {
  const failed = sections.reduce((sum, { failures }) => sum + failures.length, 0);
  return [
    "# Reliability",
    `Written by \`npm run soak\`, not by hand: ${circumstances}. ${failed} failures.`,
    ...sections.flatMap(section),
    "",
  ].join("\n\n");
}

function section({ title, what, head, rows, count, failures, skipped = [] }: Section): string[] {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
  return [
    `## ${title}: ${count}, of which ${failures.length} failed`,
    what,
    [line(head), line(head.map((_, n) => (n === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n"),
    ...list("", failures),
    ...list("not run here: ", skipped),
  ];
}

function list(prefix: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [items.map((item) => `- ${prefix}${item.replace(/\s+/g, " ")}`).join("\n")];
}
