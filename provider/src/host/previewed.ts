// What a preview has shown, kept on the machine of the user so that the `up` can say whether it did just that. No secrets.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { digest, joined, placeOf, nothing, type Footprint } from "./digest.js";
import type { DaemonPlan } from "./plan.js";
import type { Ready } from "./planning.js";

interface Previewed extends Footprint {
  readonly digest: string;
  /** Effective values as they were then, by name and place. */
  readonly values: Readonly<Record<string, string>>;
}

/** One file a host and stack; the `up` takes it away. A client that keeps no files has no comparison. */
export function keepPreviewed(host: string, stack: string, shown: Footprint, ready: readonly Ready[]): void {
  const record: Previewed = { ...shown, digest: digest(host, shown), values: valuesOf(ready) };
  const path = pathOf(host, stack);
  try {
    mkdirSync(directory(), { recursive: true, mode: 0o700 });
    writeFileSync(path, JSON.stringify(record), { mode: 0o600 });
  } catch (error) {
    if (!isFileError(error)) throw error;
  }
}

/** What one process has done on a host, and how that compares with what the preview showed. */
export class Executed {
  private done: Footprint = nothing;
  private previewed: Previewed | undefined | "not read" = "not read";
  private readonly moved = new Set<string>();

  /** A few words for the report. */
  add(host: string, plans: readonly DaemonPlan[], step: Footprint, ready: readonly Ready[]): string {
    if (plans.length === 0) return "";
    const stack = stackOf(ready[0]?.operation.owner ?? "");
    if (this.previewed === "not read") this.previewed = takePreviewed(host, stack);
    const shown = this.previewed;
    for (const [path, [before]] of Object.entries(step.files)) {
      const expected = this.done.files[path]?.[1] ?? shown?.files[path]?.[0];
      if (shown && expected === undefined) this.moved.add(`${path} was not to change`);
      else if (shown && expected !== before) this.moved.add(`${path} changed in between`);
    }
    if (this.done === nothing) {
      for (const [name, value] of Object.entries(valuesOf(ready))) {
        const then = shown?.values[name];
        if (then !== undefined && then !== value)
          this.moved.add(`${name} was "${then}" and became "${value}" in between`);
      }
    }
    this.done = joined(this.done, step);
    const now = digest(host, this.done);
    if (!shown) return `plan ${now}`;
    if (now === shown.digest) return `plan ${now}, as previewed`;
    const why = this.moved.size > 0 ? `: ${[...this.moved].join(", ")}` : " so far";
    return `plan ${now}, previewed was ${shown.digest}${why}`;
  }
}

export function stackOf(owner: string): string {
  return owner.split("/").slice(0, 3).join("/");
}

function takePreviewed(host: string, stack: string): Previewed | undefined {
  const path = pathOf(host, stack);
  try {
    const record = JSON.parse(readFileSync(path, "utf8")) as Previewed;
    rmSync(path, { force: true });
    return record;
  } catch (error) {
    if (isFileError(error) || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function valuesOf(ready: readonly Ready[]): Record<string, string> {
  return Object.fromEntries(
    ready.flatMap(({ operation, values }) =>
      operation.queries.map(({ name, selector }, n) => [
        selector === "" ? name : `${name} (${selector})`,
        values[n] ?? "",
      ]),
    ),
  );
}

function pathOf(host: string, stack: string): string {
  const key = createHash("sha256")
    .update(`${placeOf(host)}\n${stack}`)
    .digest("hex")
    .slice(0, 24);
  return join(directory(), `${key}.json`);
}

function directory(): string {
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  return join(cache, "pulumi-dovecot-postfix", "previews");
}

function isFileError(error: unknown): boolean {
  return error instanceof Error && "code" in error && "syscall" in error;
}
