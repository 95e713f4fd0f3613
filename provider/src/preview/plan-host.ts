// Plans one host for a preview: one connection, one observation, and the walk that an `up` would go. Nothing is written.
import { footprint } from "../host/digest.js";
import { decide, type Decision, type Operation } from "../host/planning.js";
import { keepPreviewed } from "../host/previewed.js";
import { daemons, type Snapshot } from "../host/snapshot.js";
import { hostPlan, unplanned, type Told } from "../plan/document.js";
import type { HostPlan, ResourcePlan } from "../plan/schema.js";
import type { Inputs } from "../runtime/kind.js";
import { kindOf, nameOf, operationOf } from "../runtime/operation.js";
import { shellCommand } from "../ssh/become.js";
import type { Connection } from "../ssh/connection.js";
import type { Link } from "../ssh/link.js";
import { isNotReached, reason } from "../ssh/errors.js";
import { foresight, foresightRecords } from "./foresight.js";

export interface Asked {
  /** organization/project/stack */
  readonly stack: string;
  readonly connection: Connection;
  /** What the program declares, its inputs checked. */
  readonly declared: readonly Inputs[];
  /** Declared, but not with all its arguments known. */
  readonly unknown: readonly ResourcePlan[];
  /** Whether what the ledger holds of this owner is to be taken back. */
  readonly goes: (owner: string) => boolean;
}

export async function planHost(asked: Asked): Promise<HostPlan> {
  const { stack, connection, declared, unknown, goes } = asked;
  const operations = new Map(declared.map((inputs) => [operation(inputs), inputs]));
  let link: Link | undefined;
  try {
    const { connect } = await import("../ssh/dial.js");
    link = await connect({ ...connection, dialErrorLimit: 1, perDialTimeout: 10 });
    const host = { link, shell: shellCommand(connection) };
    const decision = await decide(host, [...operations.keys()], {
      ...{ recover: false, lenient: true, daemons, records: foresightRecords },
      more: (snapshot) => leaving(snapshot, goes),
    });
    // What is declared and refused is told of its resource; what goes has none.
    for (const [{ aim }, error] of decision.refused) if (aim === "leave") throw error;
    const shown = footprint(decision.plans.map(({ plan }) => plan));
    keepPreviewed(link.label, stack, shown, decision.ready);
    return hostPlan(decision, [...resourcesOf(decision, operations), ...unknown], told(decision, operations));
  } catch (error) {
    // A preview does not need to reach the host. What lies in the program or in the host's files, an `up` would meet, too.
    const failed = !isNotReached(error);
    const all = [...declared.map((inputs) => resource(inputs, "unknown")), ...unknown];
    const why = failed ? reason(error) : (reason(error).split("\n", 1)[0] ?? "");
    return unplanned(link?.label ?? connection.host, why, all, failed);
  } finally {
    link?.close();
  }
}

function operation(inputs: Inputs): Operation {
  const kind = kindOf(inputs);
  const entry = foresight[inputs.identity.kind];
  const made = operationOf(kind, inputs, { aim: "ensure", args: entry?.args?.(inputs) ?? inputs, old: { given: [] } });
  return {
    ...made,
    contribute: (site) => made.contribute({ ...site, answer: (name) => site.answer(name) ?? entry?.answers?.[name] }),
  };
}

function leaving(snapshot: Snapshot, goes: Asked["goes"]): Operation[] {
  return daemons.flatMap((daemon) =>
    Object.keys(snapshot.ledgers[daemon].contributions)
      .filter(goes)
      .map((owner) => ({
        ...{ label: owner, owner, daemon, aim: "leave" as const },
        ...{ records: () => [], queries: [] },
        contribute: () => {
          throw new Error(`${owner} leaves and contributes nothing`);
        },
      })),
  );
}

function resourcesOf(decision: Decision, operations: ReadonlyMap<Operation, Inputs>): ResourcePlan[] {
  const declared = [...operations].map(([one, inputs]) => {
    const error = decision.refused.get(one);
    return error === undefined
      ? resource(inputs, "planned")
      : { ...resource(inputs, "refused"), reason: reason(error) };
  });
  const gone = decision.ready.filter(({ operation: { aim } }) => aim === "leave");
  return [
    ...declared,
    ...gone.map(({ operation: { owner } }) => {
      const [kind = "", name = ""] = owner.split("/").slice(-2);
      return { owner, kind, name, state: "goes" as const };
    }),
  ];
}

function told(decision: Decision, operations: ReadonlyMap<Operation, Inputs>): Told[] {
  return decision.ready.flatMap(({ operation: one, site }) => {
    const inputs = operations.get(one);
    const entry = foresight[inputs?.identity.kind ?? ""];
    if (!inputs || !site || !entry) return [];
    return [{ owner: one.owner, effects: entry.effects(inputs, site), findings: entry.findings(inputs, site) }];
  });
}

export function resource({ identity }: Pick<Inputs, "identity">, state: ResourcePlan["state"]): ResourcePlan {
  const { kind, owner } = identity;
  return { owner, kind, name: nameOf({ identity }).slice(kind.length + 1), state };
}
