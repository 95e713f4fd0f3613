// relayhost, after the new server has been asked whether it would relay.
import { randomBytes } from "node:crypto";
import { Refusal } from "../../host/errors.js";
import { withoutOurs } from "../../host/plan.js";
import type { Site } from "../../host/planning.js";
import type { PostfixFacts } from "../../host/snapshot.js";
import { ask, offersTls, type Reply } from "../../host/smtp-dialogue.js";
import { elements } from "../../postfix/lists.js";
import { parameter } from "../../postfix/parameters.js";
import type { Kind } from "../kind.js";
import { postfixSite, type PostfixSite } from "./postfix-site.js";

interface Args {
  readonly server: string;
  readonly port: number;
  readonly onRefusal: "fail" | "warn";
  readonly probeRecipient?: string;
}

const relayhostOf = ({ server, port }: Args) => `[${server}]:${port}`;

export const outboundRelay: Kind<Args> = {
  daemon: "postfix",
  ...{ replaces: [], keeps: [] },

  // The maps are asked by Postfix's own keys for this next hop; what they hold is not read.
  records: (args, id) =>
    ["smtp_sasl_password_maps", "smtp_tls_policy_maps"].map((maps) => [
      ...["lookup", id(maps), maps, `${relayhostOf(args)} [${args.server}] ${args.server}`],
    ]),

  queries: (args) => [{ program: "postconf", selector: "", name: "relayhost", word: relayhostOf(args) }],

  contribute(args, site) {
    const postfix = postfixSite(site);
    refuseUseless(site, postfix);
    refuseHarm(args, site, postfix);
    refuseLocalProbe(args, postfix);
    const path = postfix.mainCf.path;
    const edit = { parameter: "relayhost", set: relayhostOf(args) };
    return {
      contribution: { kind: "OutboundRelay", edits: [{ format: "main.cf", path, edit }] },
      warnings: [...diverted(postfix), ...boundElsewhere(postfix)],
      already: [],
    };
  },

  async inquire(args, site, link, shell) {
    const { facts } = postfixSite(site);
    if (facts.effective["relayhost"] === relayhostOf(args)) return [];
    if (site.snapshot.observer)
      return [`${relayhostOf(args)} was not asked whether it relays: this key may only look. The \`up\` asks.`];
    const origin = facts.effective["myorigin"] ?? "";
    const level = tlsLevel(site);
    const replies = await ask(link, shell, {
      ...{ server: args.server, port: args.port },
      helo: facts.effective["smtp_helo_name"] ?? facts.effective["myhostname"] ?? "",
      sender: `postmaster@${origin.startsWith("/") ? (facts.effective["mydomain"] ?? "") : origin}`,
      recipient: args.probeRecipient ?? `pulumi-probe-${randomBytes(6).toString("hex")}@iana.org`,
      tls: level !== "none",
    });
    const refusal = refusalOf(args, site, replies, level);
    if (refusal === undefined) return [];
    if (args.onRefusal === "warn")
      return [`${refusal.message.split("\n", 1)[0] ?? ""} It is written all the same (onRefusal: "warn").`];
    throw refusal;
  },

  outputs: (_, { values, snapshot }) => ({
    relayhost: values[0] ?? "",
    previousRelayhost:
      parameter(withoutOurs(snapshot, "postfix", snapshot.postfix?.mainCf ?? "") ?? "", "relayhost")?.value ?? "",
    postfixVersion: snapshot.postfix?.version,
  }),
};

/** relayhost comes last: what goes before it would send the mail elsewhere. */
function refuseUseless({ snapshot }: Site, { facts }: PostfixSite): void {
  const set = (name: string) => facts.effective[name] ?? "";
  const stronger = [
    ...(set("default_transport") === "smtp" ? [] : [`default_transport = ${set("default_transport")}`]),
    ...["sender_dependent_default_transport_maps", "sender_dependent_relayhost_maps"]
      .filter((name) => set(name) !== "")
      .map((name) => `${name} = ${set(name)}`),
    ...[
      ...facts.wildcardTransports,
      ...inlineMaps(facts, "transport_maps").filter((map) => /[{,\s]\*\s*=/.test(map)),
    ].map((map) => `the "*" entry of ${map} (transport_maps)`),
  ];
  if (stronger.length === 0) return;
  throw new Refusal(
    `relayhost would have no effect on ${snapshot.host}: ${stronger.join("; ")} goes before it.`,
    "Route the outbound mail there, or take it out first.",
  );
}

/** Maps with blanks in them, which the programs on the host do not take apart. */
function inlineMaps({ effective }: PostfixFacts, name: string): string[] {
  return elements(effective[name] ?? "").filter((map) => /\s/.test(map));
}

const verifying = ["dane-only", "fingerprint", "verify", "secure"];

function tlsLevel({ snapshot }: Site): string {
  const effective: Readonly<Record<string, string>> = snapshot.postfix?.effective ?? {};
  const level = effective["smtp_tls_security_level"] ?? "";
  if (level !== "") return level;
  if (effective["smtp_enforce_tls"] === "yes") return "encrypt";
  return effective["smtp_use_tls"] === "yes" ? "may" : "none";
}

function refuseHarm(args: Args, site: Site, { facts }: PostfixSite): void {
  const { host, addresses } = site.snapshot;
  if (addresses.includes(args.server)) {
    throw new Refusal(`${args.server} is ${host} itself: its outbound mail would loop.`, "Name the new server.");
  }
  const leak = facts.effective["smtp_sasl_auth_enable"] === "yes" ? leakOf(args, site, facts) : undefined;
  if (leak !== undefined) {
    throw new Refusal(
      `${host} ${leak} (smtp_sasl_password_maps).`,
      "Make the entry name the old relay alone, or set smtp_sasl_auth_enable = no while the new server relays by address.",
    );
  }
  const level = tlsLevel(site);
  if (verifying.includes(level) && (site.answer("smtp_tls_policy_maps")?.text ?? "") === "") {
    throw new Refusal(
      `smtp_tls_security_level = ${level} on ${host} asks for a certificate that ${args.server} cannot be checked for, so mail would wait in the queue.`,
      `Add an entry for ${relayhostOf(args)} to smtp_tls_policy_maps, such as "${relayhostOf(args)} encrypt".`,
    );
  }
}

/** Which passwords, meant for another relay, the new server would get. */
function leakOf({ server }: Args, site: Site, facts: PostfixFacts): string | undefined {
  const maps = "smtp_sasl_password_maps";
  const matching = site.answer(maps)?.text ?? "";
  if (matching !== "") return `would send a relay's password to ${server}: ${matching} has an entry that matches it`;
  const list = elements(facts.effective[maps] ?? "");
  if (list.length === 0) return undefined;
  // Looked up by sender, an entry matches whatever the server.
  if (facts.effective["smtp_sender_dependent_authentication"] === "yes")
    return `would send its users' relay passwords to ${server}: smtp_sender_dependent_authentication = yes`;
  return list.some((map) => /^static:|\{/.test(map))
    ? `may send a relay's password to ${server}: one is written in the list itself, for whatever server`
    : undefined;
}

/** The new server takes mail for the host's own domains from anybody, so that such a question would show no refusal. */
function refuseLocalProbe({ probeRecipient = "" }: Args, { facts }: PostfixSite): void {
  const domain = probeRecipient.slice(probeRecipient.lastIndexOf("@") + 1).toLowerCase();
  const own = ["mydestination", "virtual_mailbox_domains", "virtual_alias_domains", "relay_domains"].find((name) =>
    elements(facts.effective[name] ?? "").some((one) => one.toLowerCase() === domain),
  );
  if (probeRecipient === "" || own === undefined) return;
  throw new Refusal(
    `probeRecipient is in ${domain}, a domain of this host (${own}): the new server takes that whether it relays or not.`,
    "Name an address of another domain, or leave probeRecipient out.",
  );
}

/** Postfix's own connections have another source address then than the question had. */
function boundElsewhere({ facts }: PostfixSite): string[] {
  return ["smtp_bind_address", "smtp_bind_address6"].flatMap((name) => {
    const address = facts.effective[name] ?? "";
    return address === ""
      ? []
      : [
          `${name} = ${address}: mail comes to the new server from there, which the question before need not; allow that address`,
        ];
  });
}

/** Domains for which the host is a relay, not the destination: their mail takes relayhost, too. */
function diverted({ facts }: PostfixSite): string[] {
  const own = new Set(elements(facts.effective["mydestination"] ?? ""));
  const domains = elements(facts.effective["relay_domains"] ?? "").filter((domain) => !own.has(domain));
  return domains.length === 0
    ? []
    : [
        `relay_domains ${domains.join(", ")}: their mail goes to the new server, too, unless a transport says otherwise`,
      ];
}

function refusalOf(args: Args, { snapshot }: Site, replies: readonly Reply[], level: string): Refusal | undefined {
  const last = replies.at(-1);
  const at = relayhostOf(args);
  const named = replies.findLast(({ step }) => step === "EHLO")?.text ?? "";
  const myhostname = snapshot.postfix?.effective["myhostname"] ?? "";
  if (/^250[- ](\S+)/.exec(named)?.[1]?.toLowerCase() === myhostname.toLowerCase()) {
    // smtp(8): "mail for [...] loops back to myself", a permanent error.
    return new Refusal(
      `${at} answers EHLO as ${myhostname}, which is this host's own name (myhostname): Postfix would take it for itself and bounce all outbound mail.`,
      "Give the new server a host name of its own, or this host another myhostname.",
    );
  }
  if (last?.step === "RCPT" && last.code >= 200 && last.code < 300) {
    if (level !== "encrypt" || offersTls(replies)) return undefined;
    return new Refusal(
      `${at} offers no STARTTLS, and smtp_tls_security_level = encrypt on ${snapshot.host} asks for it: mail would wait in the queue.`,
      "Switch TLS on on the new server's port, or allow smtp_tls_security_level = may for it (smtp_tls_policy_maps).",
    );
  }
  const said =
    last === undefined || last.text === ""
      ? "it closed the connection"
      : `it answered ${last.step} with "${last.text}"`;
  return new Refusal(
    `${at} would not relay what ${snapshot.host} sends: ${said}.`,
    cures[last?.step ?? "connect"](args, snapshot.addresses),
  );
}

/** By the step at which the new server refused: what to set there (names as in Stalwart). */
const cures: Record<Reply["step"], (args: Args, addresses: readonly string[]) => string> = {
  connect: ({ port }) => `Check that the new server listens on port ${port} and that no firewall is between.`,
  greeting: () =>
    "The new server closes or refuses the connection: it is throttled or banned there. Add this host to AllowedIp (that ends a ban), and look at MtaInboundThrottle.",
  EHLO: () =>
    "Give this host a fully qualified name: smtp_helo_name, or myhostname, in main.cf (MtaStageEhlo.rejectNonFqdn on the new server).",
  STARTTLS: () => "Check the TLS certificate of the new server's port 25.",
  MAIL: () => "Allow this host on the new server (MtaStageAuth, SenderAuth), by its address.",
  RCPT: (_, addresses) =>
    `On the new server let MtaStageRcpt.allowRelaying be true for this host's address (\`remote_ip == '${addresses[0] ?? "192.0.2.1"}'\`, or what the new server sees it as), reload its settings, and add the address to AllowedIp before mail flows.`,
};
