// Pulumi stacks that live in temporary directories: nothing of the user's own Pulumi is read or written.
import { LocalWorkspace, PulumiCommand, type OpMap, type OutputMap } from "@pulumi/pulumi/automation";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import type { Engine } from "./engine.mjs" with { "resolution-mode": "import" };

/** What it resolves to are the stack's outputs. */
export type Program = () => Promise<Record<string, unknown>> | Promise<void>;

export interface StackOptions {
  /** Default: "test". */
  name?: string;
  /** Default: "mail". */
  project?: string;
  /** How many resources the engine handles at once. Default: the engine's. */
  parallel?: number;
  /** For the engine and the process of dynamic resources, on top of this process's environment. */
  env?: Record<string, string>;
}

export interface Operation {
  stdout: string;
  stderr: string;
  /** Resources by what was done to them, the stack itself included: `{ create: 2 }`, `{ same: 2 }`. */
  changes: OpMap;
}

/** Every operation rejects with the engine's output where the engine fails. */
export interface TestStack {
  /** A program given here is the stack's from then on. */
  up(program?: Program): Promise<Operation>;
  /** A program given here is previewed only. */
  preview(program?: Program, how?: { diff: boolean }): Promise<Operation>;
  refresh(): Promise<Operation>;
  destroy(): Promise<Operation>;
  /** Takes away the lock that an engine left which was killed. */
  cancel(): Promise<void>;
  /** The state as the engine stores it: secrets are encrypted. */
  exportState(): Promise<string>;
  /** Plays a state of before back, as from a backup. */
  importState(state: string): Promise<void>;
  outputs(): Promise<OutputMap>;
  /** Forgets the stack and its directories without asking any resource: destroy first what exists on a host. */
  remove(): void;
}

/** The resources' process runs in this process's directory, from which `pulumi-dovecot-postfix/runtime` is found. */
export async function createStack(program: Program, options: StackOptions = {}): Promise<TestStack> {
  const engine = await theEngine();
  const directory = temporaryDirectory();
  const workDir = join(directory, "work");
  mkdirSync(workDir);
  const { name = "test", project = "mail" } = options;
  const stack = await LocalWorkspace.createStack(
    { stackName: name, projectName: project, program: outputsOf(program) },
    {
      workDir,
      pulumiCommand: await PulumiCommand.get({
        ...(engine.bin && { root: dirname(engine.bin) }),
        skipVersionCheck: true,
      }),
      envVars: { ...isolated(directory, engine), ...options.env },
    },
  );
  // After each operation the Automation API would ask the CLI three times for what the output tells, too: a second each time.
  const outputs = stack.outputs.bind(stack);
  stack.outputs = () => Promise.resolve({});
  stack.info = () => Promise.resolve(undefined);
  const flags = { color: "never", ...(options.parallel && { parallel: options.parallel }) } as const;
  let current = program;
  const stateFile = join(directory, "state/.pulumi/stacks", project, `${name}.json`);

  return {
    up: (next = current) => {
      current = next;
      return summarized(stack.up({ ...flags, program: outputsOf(next) }));
    },
    preview: async (next = current, how = { diff: false }) => {
      const { changeSummary, ...output } = await stack.preview({ ...flags, ...how, program: outputsOf(next) });
      return { stdout: output.stdout, stderr: output.stderr, changes: changeSummary };
    },
    refresh: () => summarized(stack.refresh(flags)),
    destroy: () => summarized(stack.destroy(flags)),
    cancel: () => stack.cancel(),
    // Not `stack export`: the Automation API asks it for the secrets in the clear.
    exportState: () => readFile(stateFile, "utf8"),
    importState: (state) => writeFile(stateFile, state),
    outputs,
    remove: () => {
      removeDirectory(directory);
    },
  };
}

export interface CommandOptions {
  /** The directory of the Pulumi program. */
  cwd: string;
  /** Holds the state between calls. Default: a temporary directory for each `cwd`, gone when this process ends. */
  state?: string;
  env?: Record<string, string>;
}

type Ended = Promise<{ stdout: string; stderr: string; code: number }>;

/** Runs the CLI on a program directory; a failure is a `code` other than 0, not an exception. */
export const pulumi = (args: string[], options: CommandOptions): Ended =>
  command("pulumi", [...args, "--non-interactive", "--color", "never"], options);

/** Runs `pulumi-dovecot-postfix plan` in the same way. */
export function planCommand(args: string[], options: CommandOptions): Ended {
  const file = join(__dirname, "../../node_modules/pulumi-dovecot-postfix/dist/cli/index.js");
  return command(process.execPath, [file, "plan", ...args], options);
}

async function command(file: string, args: string[], { cwd, state, env }: CommandOptions): Ended {
  const engine = await theEngine();
  const directory = state ?? states.get(cwd) ?? temporaryDirectory();
  if (state === undefined) states.set(cwd, directory);
  const environment = { ...process.env, ...isolated(directory, engine), ...env };
  const options = { cwd, env: environment, maxBuffer: Infinity };
  return new Promise((resolve, reject) => {
    execFile(file, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout, stderr, code: 0 });
      else if (typeof error.code === "number") resolve({ stdout, stderr, code: error.code });
      else reject(new Error(`${file} ${args.join(" ")}: ${error.message}\n${stdout}${stderr}`, { cause: error }));
    });
  });
}

function isolated(directory: string, engine: Engine): Record<string, string> {
  const backend = join(directory, "state");
  mkdirSync(backend, { recursive: true });
  return {
    PATH: [engine.bin, process.env["PATH"]].filter(Boolean).join(delimiter),
    PULUMI_HOME: join(directory, "home"),
    PULUMI_BACKEND_URL: `file://${backend}`,
    PULUMI_CONFIG_PASSPHRASE: "test",
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK: "1",
  };
}

async function summarized(operation: Promise<{ stdout: string; stderr: string }>): Promise<Operation> {
  const { stdout, stderr } = await operation;
  return { stdout, stderr, changes: changesIn(stdout) };
}

/** What the engine calls each of its words in the summary of an operation. */
const kinds: Readonly<Record<string, keyof OpMap>> = {
  created: "create",
  updated: "update",
  deleted: "delete",
  replaced: "replace",
  unchanged: "same",
};

/** From the last lines: "Resources:", then "    + 6 created" or "    6 unchanged". */
function changesIn(stdout: string): OpMap {
  const [, summary = ""] = stdout.split(/^Resources:\s*$/m);
  const lines = summary.matchAll(/^ +(?:[^\s\d]+ ?)?(\d+) (\w+)$/gm);
  return Object.fromEntries([...lines].flatMap(([, n, word = ""]) => (kinds[word] ? [[kinds[word], Number(n)]] : [])));
}

function outputsOf(program: Program): () => Promise<Record<string, unknown>> {
  return async () => (await program()) ?? {};
}

let engine: Promise<Engine> | undefined;
function theEngine(): Promise<Engine> {
  engine ??= import("./engine.mjs").then(({ ensureEngine }) =>
    ensureEngine((line) => {
      console.error(line);
    }),
  );
  return engine;
}

const states = new Map<string, string>();
const directories = new Set<string>();
process.on("exit", () => {
  directories.forEach(removeDirectory);
});

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "stack-"));
  directories.add(directory);
  return directory;
}

function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  directories.delete(directory);
}
