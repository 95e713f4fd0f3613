import type { Site } from "../host/planning.js";
import { effective } from "../postfix/endpoints.js";
import { elements } from "../postfix/lists.js";
import type { Service } from "../postfix/services.js";
import type { Effect, Finding } from "../plan/schema.js";
import { postfixSite } from "../runtime/kinds/postfix-site.js";
import { banned, named, serves } from "./facts.js";

const selector = ({ name, type }: Service) => `${name}/${type}`;
const isSubmission = ({ name }: Service) => /^(.*:)?(submissions?|smtps|587|465)$/.test(name);

export function xclientEffects(
  args: { proxies: readonly string[]; services?: readonly string[] },
  site: Site,
): Effect[] {
  const { smtpd } = postfixSite(site);
  const services = args.services ?? smtpd.map(selector);
  const submission = smtpd.filter(isSubmission).map(selector);
  const wide = services.some((service) => !submission.includes(service)) && submission.length > 0;
  return [
    {
      ...{ from: "proxy", to: "source" },
      label: `XCLIENT on ${services.join(", ")}: send as any user`,
      text:
        `${named(args.proxies)} may claim any client address on ${services.join(", ")} (XCLIENT ADDR), so relay as whoever is in ` +
        "mynetworks, and any login (XCLIENT LOGIN), so send mail as any user without a password.",
      ...(wide && { narrower: `services (MailSource: xclientServices): ${JSON.stringify(submission)}` }),
    },
  ];
}

export function xclientFindings({ proxies }: { proxies: readonly string[] }, site: Site): Finding[] {
  const { host } = site.snapshot;
  const { facts, smtpd } = postfixSite(site);
  const submission = smtpd.filter(isSubmission);
  const valueOf = (service: Service, name: string) => effective(service, name, (other) => facts.effective[other] ?? "");
  const list = (services: readonly Service[]) => services.map(selector).join(", ");
  const options = "smtpd_sasl_tls_security_options";
  const mute = submission.filter((one) => /(^|[\s,])noplaintext($|[\s,])/.test(valueOf(one, options)));
  const open = submission.filter((one) => valueOf(one, "smtpd_sasl_auth_enable") !== "yes");
  return [
    ...(serves(site, 587, 465)
      ? []
      : [
          {
            severity: "error" as const,
            text: `${host} takes no submission from another host (neither port 587 nor 465), so users behind the proxy cannot send.`,
            cure: "Switch the submission or submissions service of master.cf on.",
          },
        ]),
    ...(mute.length > 0
      ? [
          {
            severity: "error" as const,
            text: `Postfix on ${host} offers no PLAIN even under TLS on ${list(mute)} (${options} has noplaintext), and the proxy logs users in with nothing else.`,
            cure: `Set ${options} = noanonymous.`,
          },
        ]
      : []),
    ...(open.length > 0 && open.length === submission.length
      ? [
          {
            severity: "error" as const,
            text: `Postfix on ${host} offers no AUTH on ${list(open)} (smtpd_sasl_auth_enable), so users behind the proxy cannot send.`,
            cure: "Set smtpd_sasl_auth_enable = yes for the service that they use.",
          },
        ]
      : []),
    ...banned(site, proxies, "the proxy"),
  ];
}

export function acceptanceEffects({ servers }: { servers: readonly string[] }, site: Site): Effect[] {
  const { facts } = postfixSite(site);
  // The list that decides about relaying: of recipients only where that of relaying is empty.
  const [deciding = ""] = ["smtpd_relay_restrictions", "smtpd_recipient_restrictions"]
    .map((name) => facts.effective[name] ?? "")
    .filter((list) => list !== "");
  const relays = elements(deciding).includes("permit_mynetworks");
  return [
    {
      ...{ from: "new server", to: "source" },
      label: relays ? "SMTP, relay anywhere" : "SMTP for local domains",
      text: relays
        ? `${named(servers)} may deliver here and relay to any domain (permit_mynetworks).`
        : `${named(servers)} may deliver to this host's own domains.`,
    },
  ];
}

export function acceptanceFindings({ servers }: { servers: readonly string[] }, site: Site): Finding[] {
  return [
    ...(serves(site, 25)
      ? []
      : [
          {
            severity: "error" as const,
            text: `${site.snapshot.host} takes no mail from another host (port 25), so the new server cannot deliver here.`,
            cure: "Let Postfix listen there (inet_interfaces, the smtp service of master.cf).",
          },
        ]),
    ...banned(site, servers, "the new server"),
  ];
}

export function outboundEffects({ server, port }: { server: string; port: number }): Effect[] {
  return [
    {
      ...{ from: "source", to: "new server" },
      label: `outbound mail, port ${port}`,
      text: `All mail for other domains goes to [${server}]:${port}, which delivers it or bounces it; local domains stay local.`,
    },
  ];
}
