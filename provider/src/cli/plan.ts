// Makes the plan of a stack from outside its program: the program's own, and what only the state knows of.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stackOf } from "../host/previewed.js";
import { planSchema, type HostPlan, type Plan } from "../plan/schema.js";
import { planHost } from "../preview/plan-host.js";
import { connectionKey, type Connection } from "../ssh/connection.js";
import { preview, state, type Project, type StateResource } from "./pulumi.js";

export interface Made {
  readonly plan: Plan;
  /** Why an `up` would fail, in the engine's words. */
  readonly errors: readonly string[];
  readonly failed: boolean;
}

/** What `pulumi up` would do. */
export async function planOfUpdate(project: Project): Promise<Made> {
  const directory = mkdtempSync(join(tmpdir(), "pulumi-dovecot-postfix-"));
  const file = join(directory, "plan.json");
  try {
    const { deleted, replaced, errors, failed } = await preview(project, file);
    const plan = readPlan(file);
    // Where a resource is left on the host, the program's part has found in the ledger what goes.
    const told = new Set(plan?.hosts.flatMap(({ resources }) => resources.map(({ owner }) => owner)));
    const gone = deleted.length === 0 ? [] : (await state(project)).filter(({ urn }) => deleted.includes(urn));
    const untold = gone.filter((resource) => !told.has(ownerOf(resource)) || replaced.includes(resource.urn));
    const rest = await planOfLeaving(untold);
    // What is replaced on the same host the program has planned; on another one, only the state knows of it.
    const others = rest.hosts.filter(({ host }) => !plan?.hosts.some((one) => one.host === host));
    return { plan: plan ? { ...plan, hosts: [...plan.hosts, ...others] } : rest, errors, failed };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What `pulumi destroy` would do. */
export async function planOfDestroy(project: Project): Promise<Made> {
  return { plan: await planOfLeaving(await state(project)), errors: [], failed: false };
}

async function planOfLeaving(resources: readonly StateResource[]): Promise<Plan> {
  const stack = stackOf(ownerOf(resources[0]));
  const byHost = new Map<string, Set<string>>();
  for (const resource of resources) {
    const key = connectionKey(resource.outputs?.["connection"] ?? null);
    byHost.set(key, new Set([...(byHost.get(key) ?? []), ownerOf(resource)]));
  }
  const hosts = await Promise.all(
    [...byHost].map(async ([key, owners]): Promise<HostPlan> => {
      const connection = JSON.parse(key) as Connection;
      const goes = (owner: string) => owners.has(owner);
      return planHost({ stack, connection, goes, declared: [], unknown: [] });
    }),
  );
  return { version: 1, stack, hosts };
}

function ownerOf(resource: StateResource | undefined): string {
  return (resource?.outputs?.["identity"] as { owner?: string } | undefined)?.owner ?? "";
}

function readPlan(file: string): Plan | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    // No resource of this package is left in the program.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  return planSchema.parse(JSON.parse(text));
}
