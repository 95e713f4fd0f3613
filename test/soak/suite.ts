// A part of the test suite, with all that `npm test` leaves out for time (SOAK=1, more generated cases), counted.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sums } from "../support/tally.js";
import type { Section } from "./report.js";

export interface Suite {
  readonly title: string;
  readonly what: string;
  /** Of test/, without ".test.ts"; two at a time. */
  readonly files: readonly string[];
  /** Generated cases a property. */
  readonly runs?: number;
}

interface Test {
  readonly file: string;
  readonly fullTitle: string;
  readonly err: { readonly message?: string };
}

interface Told {
  readonly tests: readonly Test[];
  readonly pending: readonly Test[];
  /** Of hooks, too, which are no tests. */
  readonly failures: readonly Test[];
}

export async function suite({ title, what, files: names, runs }: Suite): Promise<Section> {
  const files = names.map((name) => `test/${name}.test.ts`);
  const directory = mkdtempSync(join(tmpdir(), "soak-"));
  const output = join(directory, "told.json");
  const tally = join(directory, "tally");
  const args = ["--no-config", "--node-option", "import=tsx", "--require", "test/support/seed.ts"];
  const how = ["--timeout", "3600000", "--reporter", "json", "--reporter-option", `output=${output}`];
  const env = { ...process.env, SOAK: "1", FC_TALLY: tally, ...(runs !== undefined && { FC_RUNS: String(runs) }) };
  const jobs = ["--parallel", "--jobs", "2", "--exit"];
  const mocha = spawn("node_modules/.bin/mocha", [...args, ...how, ...jobs, ...files], { env, stdio: "ignore" });
  const status = await new Promise<number | null>((resolve) => mocha.once("exit", resolve));
  try {
    const told = JSON.parse(readFileSync(output, "utf8")) as Told;
    const failures = told.failures.map(({ fullTitle, err }) => `${fullTitle}: ${err.message ?? "no reason given"}`);
    if (status !== 0 && failures.length === 0) failures.push(`mocha ended with status ${status ?? "none"}`);
    const skipped = told.pending.map(({ fullTitle }) => fullTitle);
    const tests = told.tests.filter(({ fullTitle }) => !skipped.includes(fullTitle));
    const counted = sums(readFileSync(tally, { encoding: "utf8", flag: "a+" }));
    const rows = files.map((file) => [file, tests.filter((test) => test.file.endsWith(file)).length]);
    for (const file of files) {
      if (!tests.some((test) => test.file.endsWith(file))) failures.push(`${file}: not one test was run`);
    }
    return {
      ...{ title, what, failures, skipped, head: ["file", "tests"], count: tests.length },
      rows: [...rows, ...counted],
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
