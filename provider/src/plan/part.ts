// The part of a plan that concerns some resources: their hosts' files, which are written as wholes, and their own effects.
import type { Plan } from "./schema.js";

export function partOf({ hosts, ...plan }: Plan, owners: ReadonlySet<string>): Plan {
  const own = ({ owner }: { owner?: string | undefined }) => owner === undefined || owners.has(owner);
  const concerned = hosts.filter(({ resources }) => resources.some(own));
  return {
    ...plan,
    hosts: concerned.map((host) => ({
      ...host,
      resources: host.resources.filter(own),
      effects: host.effects.filter(own),
      findings: host.findings.filter(own),
    })),
  };
}
