// What the Postfix resources ask of a snapshot.
import { Refusal } from "../../host/errors.js";
import type { Edit } from "../../host/formats.js";
import type { Already, Site } from "../../host/planning.js";
import { withoutOurs } from "../../host/plan.js";
import type { PostfixFacts, Snapshot } from "../../host/snapshot.js";
import { elements } from "../../postfix/lists.js";
import { covers, networkFault, postfixNetwork } from "../../postfix/networks.js";
import { parameter } from "../../postfix/parameters.js";
import { services, type Service } from "../../postfix/services.js";

export interface ConfigFile {
  readonly path: string;
  readonly text: string;
}

export interface PostfixSite {
  readonly facts: PostfixFacts;
  /** main.cf and master.cf as they would be without anything of ours. */
  readonly mainCf: ConfigFile;
  readonly masterCf: ConfigFile;
  /** The services of master.cf that smtpd serves. */
  readonly smtpd: readonly Service[];
  /** Directory of main.cf. */
  readonly directory: string;
}

export function postfixSite({ snapshot }: Site): PostfixSite {
  const facts = snapshot.postfix;
  const mainCf = configFile(snapshot, facts?.mainCf ?? "");
  const masterCf = configFile(snapshot, facts?.masterCf ?? "");
  if (!facts || !mainCf || !masterCf) {
    throw new Refusal(
      `${snapshot.host} has no main.cf and master.cf that can be read.`,
      "Repair Postfix first: postfix check.",
    );
  }
  if (snapshot.missingTools.includes("posttls-finger")) {
    throw new Refusal(
      `${snapshot.host} lacks posttls-finger, with which a change is proved.`,
      "Install it; it is part of Postfix 2.11 and later (Debian: package postfix).",
    );
  }
  const smtpd = services(masterCf.text).filter(({ command }) => command.split("/").at(-1) === "smtpd");
  refuseUnreadable(snapshot.host, { facts, mainCf, masterCf, smtpd });
  return { facts, mainCf, masterCf, smtpd, directory: facts.mainCf.replace(/\/[^/]*$/, "") };
}

/**
 * An element that smtpd cannot read takes mail down, or the rest of the list out of force, and a dialogue from the host
 * itself, which is first in most lists, would not show it. The reload after a change would bring it into force.
 */
function refuseUnreadable(host: string, postfix: Omit<PostfixSite, "directory">): void {
  const { facts, mainCf, masterCf, smtpd } = postfix;
  const lists = ["mynetworks", "smtpd_authorized_xclient_hosts"].flatMap((name) => [
    {
      where: `${name} at ${mainCf.path}:${parameter(mainCf.text, name)?.line ?? 0}`,
      value: facts.effective[name] ?? "",
    },
    ...smtpd.map((one) => ({
      where: `${name} of ${one.name}/${one.type} at ${masterCf.path}:${one.line}`,
      value: overrideOf(one, name) ?? "",
    })),
  ]);
  for (const { where, value } of lists) {
    for (const element of elements(value)) {
      const fault = networkFault(element);
      if (fault === undefined) continue;
      throw new Refusal(
        `${host}: smtpd cannot read ${element} in ${where}: ${fault.what}. It dies of it or answers "451 Temporary lookup failure", though \`postfix check\` finds nothing.`,
        `Write ${fault.instead}; then postfix reload.`,
      );
    }
  }
}

function configFile(snapshot: Snapshot, path: string): ConfigFile | undefined {
  const text = withoutOurs(snapshot, "postfix", path);
  return text === null ? undefined : { path, text };
}

/** A list of networks where it stands: in main.cf, or as an override of one service. */
interface Place {
  readonly where: string;
  readonly value: string;
  readonly edit: (add: string[]) => Edit;
}

export interface ListEdits {
  readonly edits: readonly Edit[];
  /** What the administrator's lists hold already in another form: `10.0.0.1`, or a network around it. */
  readonly already: readonly Already[];
}

/**
 * Puts networks into a list parameter: in main.cf and in those of `services` that have a list of their own, and so do not
 * see main.cf's; with `only`, in each of `services` and not in main.cf.
 *
 * @throws Refusal where an element with "!" excludes one of them
 */
export function networkEdits(
  site: Site,
  postfix: PostfixSite,
  list: { name: string; networks: readonly string[]; services: readonly Service[]; only?: boolean },
): ListEdits {
  const { name, networks, services: concerned, only = false } = list;
  const { mainCf, masterCf } = postfix;
  const set = parameter(mainCf.text, name);
  const seed = set ? undefined : seedOf(site, postfix, name);
  const ofMain = set?.value ?? seed ?? "";
  const main: Place = {
    where: `${name} in ${mainCf.path}`,
    value: ofMain,
    edit: (add) => ({
      ...{ format: "main.cf", path: mainCf.path },
      edit: { parameter: name, add, at: "last", ...(seed && { seed }) },
    }),
  };
  const ofServices = concerned.flatMap((service): Place[] => {
    const own = overrideOf(service, name);
    if (own === undefined && !only) return [];
    const selector = `${service.name}/${service.type}`;
    return [
      {
        where: `${name} of ${selector} in ${masterCf.path}`,
        value: own ?? ofMain,
        edit: (add) => serviceEdit(masterCf.path, selector, name, add, own === undefined ? ofMain : undefined),
      },
    ];
  });
  const found = [...(only ? [] : [main]), ...ofServices].map(({ where, value, edit }) => {
    const { add, already } = missing(where, value, networks);
    return { edits: add.length > 0 ? [edit(add)] : [], already };
  });
  return { edits: found.flatMap(({ edits }) => edits), already: found.flatMap(({ already }) => already) };
}

/** What a service sets the parameter to, for itself alone. */
export function overrideOf({ overrides }: Service, name: string): string | undefined {
  return overrides.findLast(({ parameter: own }) => own === name)?.value;
}

function missing(
  where: string,
  value: string,
  networks: readonly string[],
): { add: string[]; already: readonly Already[] } {
  const present = elements(value);
  const covered = networks.filter(
    (network) => covers(present, network) === "yes" && !present.includes(postfixNetwork(network)),
  );
  for (const network of networks) {
    if (covers(present, network) === "negated") {
      throw new Refusal(
        `${where} excludes ${network} by an element with "!", which comes first and wins.`,
        "Take that element out, or use another address.",
      );
    }
  }
  return {
    add: networks.filter((network) => !covered.includes(network)).map(postfixNetwork),
    already: covered.map((network) => ({
      word: postfixNetwork(network),
      note: `${where} covers ${network} already; that is the administrator's and stays after destroy`,
    })),
  };
}

/** What a list parameter begins with where main.cf does not set it: what is computed, or was when the first of us came. */
function seedOf({ snapshot }: Site, { facts, mainCf }: PostfixSite, name: string): string {
  const ours = Object.values(snapshot.ledgers.postfix.contributions).flatMap(({ edits }) => edits);
  const seeds = ours.flatMap(({ path, edit }) =>
    path === mainCf.path && "parameter" in edit && edit.parameter === name && "add" in edit ? [edit.seed ?? ""] : [],
  );
  // Where main.cf sets it and would not without us, the value that Postfix tells is ours.
  const isOurs = parameter(snapshot.files.get(mainCf.path)?.text ?? "", name) !== undefined;
  return seeds.find((seed) => seed !== "") ?? (isOurs ? "" : (facts.raw[name] ?? ""));
}

/** Elements of a list parameter in a service's override; `seed`: what a new override begins with. */
export function serviceEdit(path: string, service: string, parameter: string, add: string[], seed?: string): Edit {
  const begin = seed === undefined ? {} : { seed: elements(seed).join(",") };
  return { format: "master.cf", path, edit: { service, parameter, add, ...begin } };
}
