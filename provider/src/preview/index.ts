// What runs in the user's program during a preview: collects the resources, plans their hosts and prints the plans.
import * as pulumi from "@pulumi/pulumi";
import { writeFileSync } from "node:fs";
import { stackOf } from "../host/previewed.js";
import { unplanned } from "../plan/document.js";
import type { HostPlan, Plan, ResourcePlan } from "../plan/schema.js";
import { findingText, hostText } from "../plan/text.js";
import type { Inputs } from "../runtime/kind.js";
import { check } from "../runtime/index.js";
import { holdsUnknown } from "../runtime/check.js";
import { connectionKey, type Connection } from "../ssh/connection.js";
import { planHost, resource as planned } from "./plan-host.js";
import { planFileVariable } from "./variables.js";

export interface Declaration {
  readonly resource: pulumi.Resource;
  readonly kind: string;
  readonly owner: Promise<string>;
  readonly args: Readonly<Record<string, unknown>>;
}

/** Resolves to a plan that this resource is in. */
export function preview(declaration: Declaration): Promise<Plan> {
  // Each run of a program has a monitor of its own, also where several run in one process.
  const run = pulumi.runtime.getMonitor() ?? declaration.resource;
  const known = collectors.get(run) ?? new Collector();
  collectors.set(run, known);
  return known.add(declaration);
}

const collectors = new WeakMap<object, Collector>();

interface Resolved {
  /** Of construction: the text is the same in every preview. */
  readonly order: number;
  readonly resource: pulumi.Resource;
  readonly inputs: Inputs;
}

class Collector {
  private readonly resolved: Resolved[] = [];
  private constructed = 0;
  private readonly waiting: { resolve(plan: Plan): void; reject(error: unknown): void }[] = [];
  private open = 0;
  private planning = false;

  async add(declaration: Declaration): Promise<Plan> {
    const order = this.constructed++;
    this.open++;
    try {
      this.resolved.push({ order, ...(await resolve(declaration)) });
    } finally {
      this.open--;
    }
    return new Promise((done, reject) => {
      this.waiting.push({ resolve: done, reject });
      void this.settle();
    });
  }

  /** Plans when all resources constructed so far have their inputs and one turn of the event loop brought no new one. */
  private async settle(): Promise<void> {
    await new Promise((turn) => setImmediate(turn));
    if (this.open > 0 || this.planning || this.waiting.length === 0) return;
    this.planning = true;
    const resources = [...this.resolved].sort((a, b) => a.order - b.order);
    const served = this.waiting.splice(0);
    try {
      const plan = await planAll(resources);
      await print(plan, resources);
      for (const one of served) one.resolve(plan);
    } catch (error) {
      for (const one of served) one.reject(error);
    }
    this.planning = false;
    void this.settle();
  }
}

/** The inputs as check gets them: unknown values are the engine's mark, secrets are plain. */
async function resolve({ resource, kind, owner, args }: Declaration): Promise<Omit<Resolved, "order">> {
  const name = await owner;
  const serialized = (await pulumi.runtime.serializeProperties(name, { ...args })) as Record<string, unknown>;
  const inputs = unwrapped(serialized) as Record<string, unknown>;
  return {
    resource,
    inputs: { ...inputs, connection: inputs["connection"], identity: { kind, owner: name }, drift: [] },
  };
}

/** How the engine writes a secret. */
const secretSignature = "4dabf18193072939515e22adb298388d";

function unwrapped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unwrapped);
  if (typeof value !== "object" || value === null) return value;
  if (secretSignature in value && "value" in value) return unwrapped(value.value);
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, unwrapped(entry)]));
}

async function planAll(resources: readonly Resolved[]): Promise<Plan> {
  const owners = new Set(resources.map(({ inputs }) => inputs.identity.owner));
  const stack = stackOf([...owners][0] ?? "");
  const byHost = new Map<string, Inputs[]>();
  for (const { inputs } of resources) {
    const key = holdsUnknown(inputs.connection) ? "" : connectionKey(inputs.connection);
    byHost.set(key, [...(byHost.get(key) ?? []), inputs]);
  }
  const hosts = await Promise.all(
    [...byHost].map(async ([key, all]): Promise<HostPlan[]> => {
      if (key === "") {
        const unknown = all.map((inputs) => planned(inputs, "unknown"));
        return [unplanned("a host that is not known yet", "Its address is known after the update.", unknown)];
      }
      const [declared, unknown] = await checked(all);
      if (declared.length + unknown.length === 0) return [];
      // Of this stack in the ledger, and on no host in the program.
      const goes = (owner: string) => stackOf(owner) === stack && !owners.has(owner);
      return [await planHost({ stack, connection: JSON.parse(key) as Connection, declared, unknown, goes })];
    }),
  );
  return { version: 1, stack, hosts: hosts.flat() };
}

/** What check refuses, the engine tells, and nothing is planned for it. */
async function checked(all: readonly Inputs[]): Promise<[Inputs[], ResourcePlan[]]> {
  const declared: Inputs[] = [];
  const unknown: ResourcePlan[] = [];
  for (const given of all) {
    const { inputs, failures } = await check({} as Inputs, given);
    if (failures.length > 0) continue;
    const open = Object.keys(inputs).filter((name) => holdsUnknown(inputs[name]) && name !== "password");
    if (open.length === 0) declared.push(inputs);
    else unknown.push({ ...planned(inputs, "unknown"), reason: open.join(", ") });
  }
  return [declared, unknown];
}

async function print(plan: Plan, resources: readonly Resolved[]): Promise<void> {
  const file = process.env[planFileVariable];
  if (file) writeFileSync(file, JSON.stringify(plan), { mode: 0o600 });
  const of = new Map(resources.map(({ inputs, resource }) => [inputs.identity.owner, resource]));
  const { info, warn, error } = pulumi.log;
  for (const host of plan.hosts) {
    const first = host.resources.map(({ owner }) => of.get(owner)).find((one) => one !== undefined);
    if (host.notPlanned === undefined) await info(hostText(host), first);
    else await (host.failed ? error : warn)(hostText(host), first);
    for (const finding of host.findings) {
      await warn(findingText(finding), of.get(finding.owner ?? "") ?? first);
    }
    for (const { owner, state, reason = "" } of host.resources) {
      if (state === "refused") await error(reason, of.get(owner) ?? first);
    }
  }
  const refused = plan.hosts.flatMap(({ host, failed, resources: all }) => [
    ...(failed ? [host] : []),
    ...all.filter(({ state }) => state === "refused").map(label),
  ]);
  // A logged error alone fails a program of the Automation API, but not one that the CLI runs.
  if (refused.length > 0) throw new pulumi.RunError(`An \`up\` would fail for ${refused.join(", ")}.`);
}

function label({ kind, name }: ResourcePlan): string {
  return `${kind} ${name}`;
}
