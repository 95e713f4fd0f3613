// One call of the engine, or one line of a preview, as the host's planning takes it.
import type { Operation } from "../host/planning.js";
import type { Inputs, Kind, Outputs } from "./kind.js";
import { kinds } from "./kinds/index.js";

type Args = Readonly<Record<string, unknown>>;

export function operationOf(
  kind: Kind,
  inputs: Inputs,
  how: { aim: Operation["aim"]; args: Args; old: (Pick<Outputs, "given"> & Partial<Outputs>) | undefined },
): Operation {
  const { aim, args, old } = how;
  const { owner } = inputs.identity;
  const former = old?.identity?.owner;
  return {
    ...{ label: nameOf(inputs), owner, daemon: kind.daemon, aim },
    ...(former !== undefined && former !== owner && { formerOwner: former }),
    records: (id) => (aim === "ensure" ? (kind.records?.(args, id) ?? []) : []),
    queries: aim === "leave" ? [] : kind.queries(args),
    contribute: (site) => kind.contribute(args, site, { owner, old }),
    ...(kind.inquire && { inquire: (...more) => kind.inquire?.(args, ...more) ?? Promise.resolve([]) }),
  };
}

export function kindOf({ identity }: Pick<Inputs, "identity">): Kind {
  const kind = Object.hasOwn(kinds, identity.kind) ? kinds[identity.kind] : undefined;
  if (!kind)
    throw new Error(
      `${identity.kind} is not a resource of this release of pulumi-dovecot-postfix: update the package.`,
    );
  return kind;
}

export function nameOf({ identity }: Pick<Inputs, "identity">): string {
  return `${identity.kind} ${identity.owner.split("/").at(-1) ?? ""}`;
}
