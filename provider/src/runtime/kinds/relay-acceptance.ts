// mynetworks, and what else would hold up mail that the new server relays: HELO rules, milters.
import type { Edit } from "../../host/formats.js";
import type { Site } from "../../host/session.js";
import { elements } from "../../postfix/lists.js";
import { postfixNetwork } from "../../postfix/networks.js";
import { parameter } from "../../postfix/parameters.js";
import { beforePermitMynetworks, refusesHelo } from "../../postfix/restrictions.js";
import type { Service } from "../../postfix/services.js";
import type { Kind } from "../kind.js";
import { missing, postfixSite, seedOf, serviceEdits, type PostfixSite } from "./postfix-site.js";

interface Args {
  readonly servers: readonly string[];
  readonly milters: "skip" | "keep";
}

export const relayAcceptance: Kind<Args> = {
  daemon: "postfix",
  ...{ replaces: [], keeps: [] },

  queries: ({ servers }) =>
    servers.map((server) => ({ program: "postconf", selector: "", name: "mynetworks", word: postfixNetwork(server) })),

  contribute({ servers, milters }, site) {
    const postfix = postfixSite(site);
    // Unset, mynetworks is computed from the interfaces; to add to it is to write that list down, until we leave.
    const seed = seedOf(site, postfix, "mynetworks");
    const present = parameter(postfix.mainCf.text, "mynetworks")?.value ?? seed;
    const { add, already } = missing(`mynetworks in ${postfix.mainCf.path}`, present, servers);
    const relay = postfix.smtpd.filter(({ name, type }) => type === "inet" && /^(.*:)?(smtp|25)$/.test(name));
    const tables = new Tables(site, postfix, servers);
    const edits: Edit[] = [
      ...(add.length > 0 ? inMainAndOverrides(postfix, relay, { name: "mynetworks", add, at: "last", seed }) : []),
      ...heloEdits(postfix, relay, tables),
      ...(milters === "skip" ? milterEdits(postfix, relay, tables) : []),
    ];
    return {
      contribution: { kind: "RelayAcceptance", edits },
      warnings: warnings(postfix, relay, milters),
      already,
    };
  },

  outputs: (_, { values, snapshot }) => ({
    mynetworks: elements(values[0] ?? ""),
    postfixVersion: snapshot.postfix?.version,
  }),
};

interface ListEdit {
  readonly name: string;
  readonly add: string[];
  readonly at: "first" | "last";
  readonly seed?: string;
}

/** The list in main.cf, and in each service that has its own and so does not see main.cf's. */
function inMainAndOverrides({ mainCf, masterCf }: PostfixSite, relay: readonly Service[], edit: ListEdit): Edit[] {
  const { name, add, at, seed } = edit;
  const begin = seed === undefined || parameter(mainCf.text, name) ? {} : { seed };
  const own = relay.filter(({ overrides }) => overrides.some((override) => override.parameter === name));
  return [
    { format: "main.cf", path: mainCf.path, edit: { parameter: name, add, at, ...begin } },
    ...serviceEdits(
      masterCf.path,
      own.map((one) => `${one.name}/${one.type}`),
      name,
      add,
      "",
    ),
  ];
}

/** HELO rules that would refuse the new server's greeting are passed by for its addresses alone. */
function heloEdits({ facts, mainCf }: PostfixSite, relay: readonly Service[], tables: Tables): Edit[] {
  if (relay.length === 0 || refusesHelo(facts.effective["smtpd_helo_restrictions"] ?? "").length === 0) return [];
  const add = [`check_client_access ${tables.reference("helo")}`];
  return [
    ...tables.rows("helo", "OK"),
    { format: "main.cf", path: mainCf.path, edit: { parameter: "smtpd_helo_restrictions", add, at: "first" } },
  ];
}

function milterEdits(postfix: PostfixSite, relay: readonly Service[], tables: Tables): Edit[] {
  const configured = [
    postfix.facts.effective["smtpd_milters"] ?? "",
    ...relay.map((one) => override(one, "smtpd_milters")),
  ];
  if (configured.every((milters) => milters === "" || milters === "$smtpd_milters")) return [];
  return [
    ...tables.rows("milters", "DISABLE"),
    ...inMainAndOverrides(postfix, relay, {
      name: "smtpd_milter_maps",
      add: [tables.reference("milters")],
      at: "first",
    }),
  ];
}

/** Lookup tables of ours, one line a network. CIDR tables need no postmap and are read at the reload. */
class Tables {
  constructor(
    private readonly site: Site,
    private readonly postfix: PostfixSite,
    private readonly servers: readonly string[],
  ) {}

  reference(name: string): string {
    return `cidr:${this.path(name)}`;
  }

  rows(name: string, action: string): Edit[] {
    const edit = (server: string) => ({ key: server, line: `${server} ${action}` });
    return this.servers.map((server) => ({ format: "table", path: this.path(name), edit: edit(server) }));
  }

  private path(name: string): string {
    return this.site.layout.table(name, this.postfix.directory);
  }
}

const ours = (rule: string) => rule.includes("pulumi-dovecot-postfix");

const restrictions = [
  "smtpd_client_restrictions",
  "smtpd_helo_restrictions",
  "smtpd_sender_restrictions",
  "smtpd_relay_restrictions",
  "smtpd_recipient_restrictions",
  "smtpd_data_restrictions",
  "smtpd_end_of_data_restrictions",
];

function override(service: Service, name: string): string {
  return service.overrides.findLast(({ parameter: own }) => own === name)?.value ?? "";
}

/** Rules that judge the new server's mail all the same: named, not moved. */
function warnings({ facts }: PostfixSite, relay: readonly Service[], milters: string): string[] {
  const warned = restrictions.flatMap((name) => {
    const values = [facts.effective[name] ?? "", ...relay.map((one) => override(one, name))];
    const rules = [...new Set(values.flatMap((value) => beforePermitMynetworks(value).rules))];
    const relaxed = name === "smtpd_helo_restrictions" ? new Set(refusesHelo(values[0] ?? "")) : new Set<string>();
    const judging = rules.filter((rule) => !ours(rule) && !relaxed.has(rule) && !harmless.test(rule));
    return judging.length === 0
      ? []
      : [`${name}: ${judging.join(", ")} stand before permit_mynetworks and still judge what the new server relays`];
  });
  const filter = milters === "skip" && (facts.effective["smtpd_milters"] ?? "") !== "";
  return filter
    ? [...warned, "milters skip the new server's mail: virus scan and DKIM signing by a milter, too"]
    : warned;
}

/** Rules that can only refuse what is no relayed mail for this host. */
const harmless =
  /^(reject_unauth_destination|defer_unauth_destination|reject_unauth_pipelining|reject_unlisted_recipient)\b/;
