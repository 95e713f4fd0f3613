import type { Site } from "../host/planning.js";
import type { Effect, Finding } from "../plan/schema.js";
import { named, imapSetting } from "./facts.js";

interface Args {
  readonly username: string;
  readonly separator?: string;
  readonly services?: readonly string[];
  readonly allowedNetworks?: readonly string[];
}

export function masterEffects({ username, services, allowedNetworks }: Args): Effect[] {
  const over = (services ?? ["imap", "sieve"]).map((name) => (name === "sieve" ? "ManageSieve" : name.toUpperCase()));
  const from = allowedNetworks ? `from ${named(allowedNetworks)} only` : "from any address";
  return [
    {
      ...{ from: "migration tool", to: "source" },
      label: `every mailbox as ${username}, ${over.join(" and ")}`,
      text:
        `Whoever has ${username}'s password may read, change and delete every user's mail and scripts over ${over.join(" and ")}, ${from}. ` +
        `${username} cannot send mail and cannot log in as a user who does not exist.`,
      ...(allowedNetworks ? {} : { narrower: 'allowedNetworks: ["<the migration tool\'s address>"]' }),
    },
  ];
}

/** The migration tool opens this many connections as one user: 8 workers and one that controls them. */
const connections = 9;

export function masterFindings(_: Args, site: Site): Finding[] {
  const { snapshot } = site;
  const limit = Number(imapSetting(site, "mail_max_userip_connections") ?? connections);
  return [
    ...(limit > 0 && limit < connections
      ? [
          {
            severity: "warning" as const,
            text: `mail_max_userip_connections = ${limit} on ${snapshot.host}: the migration tool opens up to ${connections} connections as one user from one address.`,
            cure: `Raise it to ${connections + 1} or more for protocol imap, or run the tool with fewer (--imap-connections).`,
          },
        ]
      : []),
  ];
}
