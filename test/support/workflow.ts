// examples/.github/workflows/preview.yml as data, and its steps run as GitHub's machines run them.
import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "yaml";

export interface Step {
  readonly id?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly if?: string;
  readonly with?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Job {
  readonly needs?: string;
  readonly if?: string;
  readonly environment?: string;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly steps: readonly Step[];
  readonly "timeout-minutes"?: number;
}

export interface Workflow {
  readonly on: unknown;
  readonly env: Readonly<Record<string, string>>;
  readonly permissions: unknown;
  readonly concurrency: { readonly group: string; readonly "cancel-in-progress": boolean };
  readonly defaults: unknown;
  readonly jobs: Readonly<Record<string, Job>>;
}

export const workflowFile = resolve(__dirname, "../../examples/.github/workflows/preview.yml");
export const workflowText = readFileSync(workflowFile, "utf8");
export const workflow = parse(workflowText) as Workflow;

export interface Ran {
  readonly code: number;
  readonly log: string;
  readonly summary: string;
  readonly outputs: string;
}

/** `values`: of the expressions in the step's environment, `secrets.X`. */
export async function runStep(
  id: string,
  directory: string,
  values: Readonly<Record<string, string>>,
  env: NodeJS.ProcessEnv,
): Promise<Ran> {
  const step = Object.values(workflow.jobs).flatMap(({ steps }) => steps.filter((one) => one.id === id))[0];
  const expressions = Object.entries(step?.env ?? {}).map(([name, text]) => {
    const [, expression = ""] = /^\$\{\{ (.*) \}\}$/.exec(text) ?? assert.fail(text);
    return [name, values[expression] ?? ""] as const;
  });
  const temporary = join(directory, "runner");
  mkdirSync(temporary, { recursive: true });
  const script = join(temporary, `${id}.sh`);
  writeFileSync(script, step?.run ?? assert.fail(`no step ${id}`));
  const [summary, outputs] = [join(temporary, `${id}.summary`), join(temporary, `${id}.outputs`)];
  const github = {
    GITHUB_REPOSITORY: "example/mail",
    GITHUB_RUN_ID: "7",
    GITHUB_SERVER_URL: "https://github.example",
    GITHUB_STEP_SUMMARY: summary,
    GITHUB_OUTPUT: outputs,
    RUNNER_TEMP: temporary,
  };
  const all = { ...process.env, ...env, ...workflow.env, ...Object.fromEntries(expressions), ...github };
  return new Promise((done) => {
    // What `shell: bash` means to GitHub.
    const args = ["--noprofile", "--norc", "-eo", "pipefail", script];
    const child = execFile("bash", args, { cwd: directory, env: all }, (_, stdout, stderr) => {
      const read = (file: string) => (existsSync(file) ? readFileSync(file, "utf8") : "");
      done({ code: child.exitCode ?? 255, log: stdout + stderr, summary: read(summary), outputs: read(outputs) });
    });
  });
}
