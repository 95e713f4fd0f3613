// The Pulumi CLI, as this command uses it: a preview as JSON, and the state with its secrets, which stay in memory.
import { spawn } from "node:child_process";
import { planFileVariable } from "../preview/variables.js";

export interface Project {
  readonly cwd: string;
  readonly stack?: string | undefined;
}

export interface StateResource {
  readonly urn: string;
  readonly type: string;
  readonly outputs?: Readonly<Record<string, unknown>>;
}

interface Previewed {
  readonly failed: boolean;
  /** What went wrong, in the engine's words. */
  readonly errors: readonly string[];
  /** URNs of resources of this package that go, also where another one comes in their place. */
  readonly deleted: readonly string[];
  readonly replaced: readonly string[];
}

export class CommandError extends Error {}

const own = "pulumi-nodejs:dynamic/dovecot-postfix:";

/** `planFile`: where the package, in the program, writes the plan. */
export async function preview(project: Project, planFile: string): Promise<Previewed> {
  const env = { [planFileVariable]: planFile, PULUMI_DOVECOT_POSTFIX_PLAN: "on" };
  const { stdout, stderr, code } = await pulumi(project, ["preview", "--json", "--non-interactive"], env);
  const report = parsed(stdout) as
    { steps?: { op: string; urn: string }[]; diagnostics?: { severity: string; message?: string }[] } | undefined;
  const failed = code !== 0;
  const errors = (report?.diagnostics ?? [])
    .filter(({ severity }) => severity === "error")
    .map(({ message = "" }) => message.trim().replace(/^error: /, ""));
  if (failed && errors.length === 0) throw new CommandError((stderr || stdout).trim() || `pulumi ended with ${code}`);
  const steps = (report?.steps ?? []).filter(({ urn }) => urn.includes(own));
  const of = (...ops: string[]) => steps.filter(({ op }) => ops.includes(op)).map(({ urn }) => urn);
  return { failed, errors, deleted: of("delete", "replace"), replaced: of("replace") };
}

/** The resources of this package in the state. */
export async function state(project: Project): Promise<StateResource[]> {
  const { stdout, stderr, code } = await pulumi(project, ["stack", "export", "--show-secrets"], {});
  if (code !== 0) throw new CommandError(stderr.trim() || `pulumi stack export ended with ${code}`);
  const all = (parsed(stdout) as { deployment?: { resources?: StateResource[] } } | undefined)?.deployment?.resources;
  return (all ?? []).filter(({ type }) => type.startsWith(own)).map((one) => unwrapped(one) as StateResource);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Where pulumi fails early, it prints no JSON; its words are on stderr.
    return undefined;
  }
}

/** How the state marks a secret. */
const secretSignature = "4dabf18193072939515e22adb298388d";

function unwrapped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unwrapped);
  if (typeof value !== "object" || value === null) return value;
  if (secretSignature in value && "plaintext" in value) return unwrapped(parsed(String(value.plaintext)));
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, unwrapped(entry)]));
}

function pulumi(
  { cwd, stack }: Project,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ stdout: string; stderr: string; code: number }> {
  const all = [...args, "--color", "never", ...(stack === undefined ? [] : ["--stack", stack])];
  return new Promise((resolve, reject) => {
    const child = spawn("pulumi", all, {
      ...{ cwd, env: { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "true", ...env } },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output.stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
    child.on("error", (error: NodeJS.ErrnoException) => {
      const missing = error.code === "ENOENT";
      reject(
        new CommandError(
          missing
            ? `pulumi is not on PATH, or there is no directory ${cwd}: https://www.pulumi.com/docs/install/`
            : error.message,
        ),
      );
    });
    child.on("close", (code) => {
      resolve({ ...output, code: code ?? 255 });
    });
  });
}
