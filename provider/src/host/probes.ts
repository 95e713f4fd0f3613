// The services of a host that must still answer after a change: every smtpd, Dovecot's logins and its auth.
import { endpoints } from "../postfix/endpoints.js";
import { services } from "../postfix/services.js";
import type { Probe } from "./commit.js";
import type { Daemon, PostfixFacts, Snapshot } from "./snapshot.js";

/** Dovecot's stock ports; one on which nothing listens is not judged. */
const logins: readonly Omit<Probe, "host">[] = [
  { service: "imap", kind: "imap", port: 143, mode: "plain" },
  { service: "imaps", kind: "imap", port: 993, mode: "implicit-tls" },
  { service: "pop3s", kind: "pop3", port: 995, mode: "implicit-tls" },
  { service: "managesieve", kind: "sieve", port: 4190, mode: "plain" },
];

export function probesOf(snapshot: Snapshot, daemon: Daemon): Probe[] {
  return daemon === "dovecot" ? dovecotProbes(snapshot) : postfixProbes(snapshot);
}

/** Services that serve and yet cannot be asked from the host itself: a change of them is not proved. */
export function unasked({ postfix, files }: Snapshot, daemon: Daemon): string[] {
  if (!postfix || daemon === "dovecot") return [];
  return allEndpoints(postfix, files).unreachable.map(({ service, reason }) => `${service} is not asked: ${reason}`);
}

function dovecotProbes({ dovecot }: Snapshot): Probe[] {
  const listen = /^listen = (.*)$/m.exec(dovecot?.settings.text ?? "")?.[1]?.split(/[\s,]+/) ?? [];
  const host = listen.find((address) => /^[\d.]+$/.test(address) && address !== "0.0.0.0") ?? "127.0.0.1";
  return [
    { service: "auth", kind: "auth", host: "-", port: 0, mode: "plain" },
    ...logins.map((login) => ({ ...login, host: listen.includes("*") ? "127.0.0.1" : host })),
  ];
}

function postfixProbes({ postfix, files }: Snapshot): Probe[] {
  return postfix ? allEndpoints(postfix, files).endpoints.map((one) => ({ ...one, kind: "smtp" })) : [];
}

function allEndpoints(postfix: PostfixFacts, files: Snapshot["files"]) {
  const all = services(files.get(postfix.masterCf)?.text ?? "");
  return endpoints(all, (name) => postfix.effective[name] ?? "");
}
