// The services of a host that must still answer after a change: every smtpd, Dovecot's logins and its auth.
import { endpoints } from "../postfix/endpoints.js";
import { services } from "../postfix/services.js";
import type { Probe } from "./commit.js";
import type { Daemon, Snapshot } from "./snapshot.js";

/** Dovecot's stock ports; one on which nothing listens is not judged. */
const logins: readonly Omit<Probe, "host">[] = [
  { service: "imap", kind: "imap", port: 143, mode: "plain" },
  { service: "imaps", kind: "imap", port: 993, mode: "implicit-tls" },
  { service: "pop3s", kind: "pop3", port: 995, mode: "implicit-tls" },
  { service: "managesieve", kind: "sieve", port: 4190, mode: "plain" },
];

export interface Probing {
  readonly probes: readonly Probe[];
  /** Services that serve and yet cannot be asked from the host itself, and why: a change of them is not proved. */
  readonly unasked: readonly string[];
}

export function probingOf(snapshot: Snapshot, daemon: Daemon): Probing {
  return daemon === "dovecot" ? { probes: dovecotProbes(snapshot), unasked: [] } : postfixProbing(snapshot);
}

function dovecotProbes({ dovecot }: Snapshot): Probe[] {
  const listen = /^listen = (.*)$/m.exec(dovecot?.settings.text ?? "")?.[1]?.split(/[\s,]+/) ?? [];
  const host = listen.find((address) => /^[\d.]+$/.test(address) && address !== "0.0.0.0") ?? "127.0.0.1";
  return [
    { service: "auth", kind: "auth", host: "-", port: 0, mode: "plain" },
    ...logins.map((login) => ({ ...login, host: listen.includes("*") ? "127.0.0.1" : host })),
  ];
}

function postfixProbing({ postfix, files }: Snapshot): Probing {
  if (!postfix) return { probes: [], unasked: [] };
  const all = services(files.get(postfix.masterCf)?.text ?? "");
  const { endpoints: found, unreachable } = endpoints(all, (name) => postfix.effective[name] ?? "");
  return {
    probes: found.map((one) => ({ ...one, kind: "smtp" })),
    unasked: unreachable.flatMap(({ service, reason, off }) => (off ? [] : [`${service} is not asked: ${reason}`])),
  };
}
