// What all resources of this package share: the shim, a name for the ledger, and what is secret.
import * as pulumi from "@pulumi/pulumi";
import type { Plan } from "../plan/schema.js";
import type { Declaration } from "../preview/index.js";
import type { ConnectionArgs } from "./connection.js";
import { shim } from "./shim.js";

export interface HostResourceArgs {
  /** How to reach the mail host. Secret as a whole in the state. Another `host` replaces the resource (deletes first). */
  connection: pulumi.Input<ConnectionArgs>;
}

const secrets = ["connection", "password", "passwordHash"];

/** A change on a mail host that is applied, proved, refreshed and rolled back over SSH. */
export abstract class HostResource extends pulumi.dynamic.Resource {
  /** What refresh found changed on the host; empty after an update. */
  declare readonly drift: pulumi.Output<string[]>;

  protected constructor(
    kind: string,
    name: string,
    args: HostResourceArgs,
    outputs: readonly string[],
    opts: pulumi.CustomResourceOptions = {},
  ) {
    const unknown = Object.fromEntries(outputs.map((output) => [output, undefined]));
    const secret = Object.fromEntries(
      Object.entries(args)
        .filter(([key]) => secrets.includes(key))
        .map(([key, value]: [string, unknown]) => [key, value === undefined ? undefined : pulumi.secret(value)]),
    );
    const owner = ownerOf(kind, name, opts.parent);
    super(
      shim,
      name,
      { ...unknown, ...args, ...secret, identity: { kind, owner }, drift: [] },
      pulumi.mergeOptions(opts, { additionalSecretOutputs: secrets }),
      "dovecot-postfix",
      kind,
    );
    if (isPlanned()) plans.set(this, planned({ resource: this, kind, owner, args: { ...args } }));
  }
}

/** By resource, in a preview: the plan that it is in. */
export const plans = new WeakMap<HostResource, Promise<{ plan: Plan; owner: string }>>();

/** Mocked resources, of a user's unit tests, have no engine and no host. */
export function isPlanned(): boolean {
  return (
    pulumi.runtime.isDryRun() &&
    pulumi.runtime.getEngine() !== undefined &&
    process.env["PULUMI_DOVECOT_POSTFIX_PLAN"] !== "off"
  );
}

let loaded: Promise<typeof import("../preview/index.js")> | undefined;

/** Loaded only here: an `up` needs nothing of it. */
async function planned(declaration: Declaration): Promise<{ plan: Plan; owner: string }> {
  const release = pulumi.runtime.rpcKeepAlive();
  try {
    // One promise for all, so that all that were constructed together are told of together.
    loaded ??= import("../preview/index.js");
    const { preview } = await loaded;
    return { plan: await preview(declaration), owner: await declaration.owner };
  } finally {
    release();
  }
}

/**
 * Names the resource in the ledger on the host: the engine never tells a provider the URN, and a random id would orphan a
 * contribution when the run is killed between the host's commit and the state's.
 */
async function ownerOf(kind: string, name: string, parent: pulumi.Resource | undefined): Promise<string> {
  // The URN as a plain value: as an Output it would make the child wait for its own parent's children.
  const urn = parent && (await new Promise<string>((resolve) => parent.urn.apply(resolve)));
  const under = urn === undefined ? [] : [urn.split("::").slice(2).join("::")];
  return [organization(), pulumi.getProject(), pulumi.getStack(), ...under, kind, name].join("/");
}

/** A program under test with mocks need not name one, and then asking for it is an error; the engine always does. */
function organization(): string {
  try {
    return pulumi.getOrganization();
  } catch {
    return "organization";
  }
}
