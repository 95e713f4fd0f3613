// What the Postfix resources ask of a snapshot.
import { Refusal } from "../../host/errors.js";
import type { Edit } from "../../host/formats.js";
import type { Site } from "../../host/session.js";
import { withoutOurs } from "../../host/plan.js";
import type { PostfixFacts, Snapshot } from "../../host/snapshot.js";
import { elements } from "../../postfix/lists.js";
import { covers, postfixNetwork } from "../../postfix/networks.js";
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
  return { facts, mainCf, masterCf, smtpd, directory: facts.mainCf.replace(/\/[^/]*$/, "") };
}

function configFile(snapshot: Snapshot, path: string): ConfigFile | undefined {
  const text = withoutOurs(snapshot, "postfix", path);
  return text === null ? undefined : { path, text };
}

/** Networks that a list needs, and those that it has already in another form (`10.0.0.1`, or a network around it). */
export function missing(
  where: string,
  value: string,
  networks: readonly string[],
): { add: string[]; already: string[] } {
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
    already: covered.map(
      (network) => `${where} covers ${network} already; that is the administrator's and stays after destroy`,
    ),
  };
}

/** What a list parameter begins with where main.cf does not set it: what is computed, or was when the first of us came. */
export function seedOf({ snapshot }: Site, { facts, mainCf }: PostfixSite, name: string): string {
  const ours = Object.values(snapshot.ledgers.postfix.contributions).flatMap(({ edits }) => edits);
  const seeds = ours.flatMap(({ path, edit }) =>
    path === mainCf.path && "parameter" in edit && edit.parameter === name && "seed" in edit ? [edit.seed ?? ""] : [],
  );
  return seeds[0] ?? facts.raw[name] ?? "";
}

/** Elements of a list parameter in the overrides of single services. */
export function serviceEdits(
  path: string,
  targets: readonly string[],
  parameter: string,
  add: string[],
  seed: string,
): Edit[] {
  const begin = seed === "" ? {} : { seed };
  return targets.map((service) => ({ format: "master.cf", path, edit: { service, parameter, add, ...begin } }));
}
