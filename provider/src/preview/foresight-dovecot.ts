import { dialect } from "../dovecot/dialect.js";
import type { Site } from "../host/planning.js";
import type { Effect, Finding } from "../plan/schema.js";
import { banned, named, imapSetting, serves } from "./facts.js";

interface Args {
  readonly proxies: readonly string[];
}

export function dovecotEffects({ proxies }: Args, site: Site): Effect[] {
  // 2.3 takes a trusted peer for secured whatever `ssl` says; 2.4 does not where ssl = required.
  const version = dialect(site.snapshot.dovecot?.version ?? "");
  const cleartext = version === "2.3" || imapSetting(site, "ssl") !== "required";
  const who = named(proxies);
  return [
    {
      ...{ from: "proxy", to: "source" },
      label: "any client address",
      text:
        `${who} may name any client address to Dovecot (IMAP ID, XCLIENT for POP3 and ManageSieve): logs, allow_nets, ` +
        "penalties and limits by address believe it.",
    },
    ...(cleartext
      ? [
          {
            ...{ from: "proxy" as const, to: "source" as const, label: "cleartext passwords" },
            text: `${who} may send passwords without TLS${version === "2.3" ? " (Dovecot 2.3: whatever `ssl` says)" : ""}.`,
            ...(version === "2.4" && { narrower: "ssl = required" }),
          },
        ]
      : []),
  ];
}

export function dovecotFindings({ proxies }: Args, site: Site): Finding[] {
  const { host } = site.snapshot;
  const mechanisms = imapSetting(site, "auth_mechanisms");
  return [
    ...(mechanisms !== undefined && !/(^|[\s,])plain($|[\s,])/i.test(mechanisms)
      ? [
          {
            severity: "error" as const,
            text: `Dovecot on ${host} offers no PLAIN (auth_mechanisms = ${mechanisms}), and the proxy logs users in with nothing else.`,
            cure: "Add plain to auth_mechanisms.",
          },
        ]
      : []),
    ...(serves(site, 143, 993)
      ? []
      : [
          {
            severity: "error" as const,
            text: `${host} takes no IMAP connection from another host (neither port 993 nor 143), so the proxy reaches no mailbox.`,
            cure: "Let Dovecot listen there for the proxy (listen, inet_listener imaps).",
          },
        ]),
    ...(serves(site, 4190)
      ? []
      : [
          {
            severity: "warning" as const,
            text: `${host} serves no ManageSieve to other hosts (port 4190): the proxy must not offer it, and no script is copied.`,
            cure: "Add sieve to protocols (Debian: package dovecot-managesieved), or leave ManageSieve out of the proxy's listeners.",
          },
        ]),
    ...banned(site, proxies, "the proxy"),
  ];
}
