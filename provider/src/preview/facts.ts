// What foresight asks of a site.
import { covers, parseNetwork } from "../dovecot/network.js";
import type { Site } from "../host/planning.js";
import type { Finding } from "../plan/schema.js";

/** One of Dovecot's settings for IMAP; undefined where the host does not tell. */
export function imapSetting({ snapshot }: Site, name: string): string | undefined {
  return snapshot.surroundings?.imap[name];
}

/** Whether another host reaches one of the ports; where the host was not asked, nothing is missing. */
export function serves({ snapshot }: Site, ...ports: readonly number[]): boolean {
  const listening = snapshot.surroundings?.listening;
  return listening === undefined || listening.some(({ port, loopback }) => ports.includes(port) && !loopback);
}

/** Addresses in a sentence. */
export function named(networks: readonly string[]): string {
  return networks.map((network) => network.replace(/\/(32|128)$/, "")).join(", ");
}

/** Where fail2ban runs and may ban them. */
export function banned({ snapshot }: Site, networks: readonly string[], who: string): Finding[] {
  const ignored = snapshot.surroundings?.fail2ban?.ignored;
  const spared = ignored?.flatMap((one) => parseNetwork(one) ?? []) ?? [];
  const open = networks.filter((network) => {
    const wanted = parseNetwork(network);
    return wanted === undefined || !spared.some((one) => covers(one, wanted));
  });
  if (ignored === undefined || open.length === 0) return [];
  return [
    {
      severity: "error",
      text: `fail2ban runs on ${snapshot.host} and may ban ${who} ${named(open)}: then nobody behind it gets in.`,
      cure: `Add ${named(open)} to ignoreip in /etc/fail2ban/jail.local; guard the logins on the proxy itself.`,
    },
  ];
}
