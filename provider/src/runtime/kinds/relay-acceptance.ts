// mynetworks, and what else would hold up mail that the new server relays: HELO rules, milters.
import { Refusal } from "../../host/errors.js";
import type { Edit } from "../../host/formats.js";
import type { Site } from "../../host/planning.js";
import { elements } from "../../postfix/lists.js";
import { postfixNetwork } from "../../postfix/networks.js";
import { beforePermitMynetworks, refusesHelo } from "../../postfix/restrictions.js";
import type { Service } from "../../postfix/services.js";
import type { Kind } from "../kind.js";
import { networkEdits, overrideOf, postfixSite, serviceEdit, type PostfixSite } from "./postfix-site.js";

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
    const relay = postfix.smtpd.filter(takesMail);
    // Unset, mynetworks is computed from the interfaces; to add to it is to write that list down, until we leave.
    const mynetworks = networkEdits(site, postfix, { name: "mynetworks", networks: servers, services: relay });
    const tables = new Tables(site, postfix, servers);
    const edits: Edit[] = [
      ...mynetworks.edits,
      ...heloEdits(postfix, relay, tables),
      ...(milters === "skip" ? milterEdits(postfix, relay, tables) : []),
    ];
    return {
      contribution: { kind: "RelayAcceptance", edits },
      warnings: warnings(postfix, relay, milters),
      already: mynetworks.already,
    };
  },

  outputs: (_, { values, snapshot }) => ({
    mynetworks: elements(values[0] ?? ""),
    postfixVersion: snapshot.postfix?.version,
  }),
};

/** Port 25, or what stands behind its postscreen. */
function takesMail({ name, type }: Service): boolean {
  return type === "pass" || (type === "inet" && /^(.*:)?(smtp|25)$/.test(name));
}

/** HELO rules that would refuse the new server's greeting are passed by for its addresses alone. */
function heloEdits({ facts, mainCf }: PostfixSite, relay: readonly Service[], tables: Tables): Edit[] {
  const name = "smtpd_helo_restrictions";
  const inForce = relay.some((one) => overrideOf(one, name) === undefined);
  if (!inForce || refusesHelo(facts.effective[name] ?? "").length === 0) return [];
  const add = [`check_client_access ${tables.reference("helo")}`];
  return [
    ...tables.rows("helo", "OK"),
    { format: "main.cf", path: mainCf.path, edit: { parameter: name, add, at: "first" } },
  ];
}

function milterEdits(postfix: PostfixSite, relay: readonly Service[], tables: Tables): Edit[] {
  if (!hasMilters(postfix, relay)) return [];
  const [major = 0, minor = 0] = postfix.facts.version.split(".").map(Number);
  if (major < 3 || (major === 3 && minor < 2)) {
    throw new Refusal(
      `Postfix ${postfix.facts.version} has milters and no smtpd_milter_maps (3.2 and later), so none can be told to skip the new server.`,
      'Set milters: "keep".',
    );
  }
  const name = "smtpd_milter_maps";
  const add = [tables.reference("milters")];
  const { mainCf, masterCf } = postfix;
  const own = relay.filter((one) => overrideOf(one, name) !== undefined);
  return [
    ...tables.rows("milters", "DISABLE"),
    { format: "main.cf", path: mainCf.path, edit: { parameter: name, add, at: "first" } },
    ...own.map((one) => serviceEdit(masterCf.path, `${one.name}/${one.type}`, name, add)),
  ];
}

function hasMilters({ facts }: PostfixSite, relay: readonly Service[]): boolean {
  return relay.some((one) => {
    const own = overrideOf(one, "smtpd_milters");
    const milters = own === undefined || own === "$smtpd_milters" ? facts.effective["smtpd_milters"] : own;
    return (milters ?? "") !== "";
  });
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

/** Rules that judge the new server's mail all the same: named, not moved. */
function warnings(postfix: PostfixSite, relay: readonly Service[], milters: string): string[] {
  const judging = restrictions.flatMap((name) => {
    const common = postfix.facts.effective[name] ?? "";
    const relaxed = name === "smtpd_helo_restrictions" ? refusesHelo(common) : [];
    const lists = relay.map((one) => {
      const own = overrideOf(one, name);
      return own === undefined
        ? { where: name, rules: judges(common).filter((rule) => !relaxed.includes(rule)) }
        : { where: `${name} of ${one.name}/${one.type}`, rules: judges(own) };
    });
    return lists
      .filter(({ rules }) => rules.length > 0)
      .map(
        ({ where, rules }) =>
          `${where}: before permit_mynetworks, so judging what the new server relays: ${rules.join(", ")}`,
      );
  });
  return [
    ...new Set(judging),
    ...screened(postfix, relay),
    ...(milters === "skip" && hasMilters(postfix, relay)
      ? ["milters skip the new server's mail: virus scan and DKIM signing by a milter, too"]
      : []),
  ];
}

/** postscreen asks nothing of those whom it knows, and its default list knows mynetworks. */
function screened({ facts }: PostfixSite, relay: readonly Service[]): string[] {
  const list = facts.effective["postscreen_access_list"] ?? "";
  const isScreened = relay.some(({ type }) => type === "pass");
  return isScreened && !elements(list).includes("permit_mynetworks")
    ? [`postscreen_access_list = ${list}: without permit_mynetworks postscreen tests the new server as a stranger`]
    : [];
}

function judges(restrictionList: string): string[] {
  return beforePermitMynetworks(restrictionList).rules.filter((rule) => !ours(rule) && !harmless.test(rule));
}

/** Rules that can only refuse what is no relayed mail for this host. */
const harmless =
  /^(reject_unauth_destination|defer_unauth_destination|reject_unauth_pipelining|reject_unlisted_recipient)\b/;
