// A Pulumi program without an engine, under the SDK's own mocks, in a process of its own: for what a program asks the engine for.
import { execFile } from "node:child_process";
import { join } from "node:path";

export interface MockOptions {
  /** By full name, "project:key". */
  readonly config?: Readonly<Record<string, string>>;
  /** Default: "mail". */
  readonly project?: string;
  /** Default: "test". */
  readonly stack?: string;
  /** What a resource has beside its inputs, by type token. */
  readonly state?: Readonly<Record<string, object>>;
}

/** One resource as the program registered it. */
export interface Registered {
  readonly type: string;
  readonly name: string;
  /** URN; empty: the stack's own. */
  readonly parent: string;
  /** In the clear. */
  readonly inputs: Readonly<Record<string, unknown>>;
  /** Names of the inputs that are secret as a whole. */
  readonly secretInputs: readonly string[];
  readonly additionalSecretOutputs: readonly string[];
  /** What a component registered as its outputs; secrets in the clear. */
  readonly outputs?: Readonly<Record<string, unknown>>;
}

export interface Mocked {
  readonly resources: readonly Registered[];
  /** The program's exports. */
  readonly exports: Readonly<Record<string, { value: unknown; secret: boolean }>>;
}

/** `program`: path of a TypeScript file. Rejects with what the program printed where it fails. */
export function runMocked(program: string, options: MockOptions = {}): Promise<Mocked> {
  const { config = {}, project = "mail", stack = "test", state = {} } = options;
  return new Promise((resolve, reject) => {
    const args = ["--import", "tsx", join(__dirname, "mocked-program.ts")];
    const child = execFile(process.execPath, args, { maxBuffer: Infinity }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} under mocks: ${stderr}`, { cause: error }));
      else resolve(JSON.parse(stdout) as Mocked);
    });
    child.stdin?.end(JSON.stringify({ program, config, project, stack, state }));
  });
}
