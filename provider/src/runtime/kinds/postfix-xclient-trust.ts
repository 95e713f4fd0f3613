// smtpd_authorized_xclient_hosts, in main.cf or for single services of master.cf.
import { Refusal } from "../../host/errors.js";
import type { Edit } from "../../host/formats.js";
import { elements } from "../../postfix/lists.js";
import { postfixNetwork } from "../../postfix/networks.js";
import { parameter } from "../../postfix/parameters.js";
import type { Kind } from "../kind.js";
import { missing, postfixSite, serviceEdits } from "./postfix-site.js";

const name = "smtpd_authorized_xclient_hosts";

interface Args {
  readonly proxies: readonly string[];
  readonly services?: readonly string[];
}

export const postfixXclientTrust: Kind<Args> = {
  daemon: "postfix",
  ...{ replaces: [], keeps: [] },

  queries({ proxies, services }) {
    const places = services?.map((selector) => ({ program: "service" as const, selector }));
    const targets = places ?? [{ program: "postconf" as const, selector: "" }];
    return proxies.flatMap((proxy) => targets.map((target) => ({ ...target, name, word: postfixNetwork(proxy) })));
  },

  contribute({ proxies, services }, site) {
    const { mainCf, masterCf, smtpd } = postfixSite(site);
    const ofMain = parameter(mainCf.text, name)?.value ?? "";
    const { add, already } = missing(`${name} in ${mainCf.path}`, ofMain, proxies);
    const absent = services?.filter((wanted) => !smtpd.some((one) => `${one.name}/${one.type}` === wanted)) ?? [];
    if (absent.length > 0) {
      throw new Refusal(
        `${masterCf.path} on ${site.snapshot.host} has no smtpd service ${absent.join(", ")}.`,
        `Name one of: ${smtpd.map((one) => `${one.name}/${one.type}`).join(", ")}.`,
      );
    }
    // A service with an override of its own does not see main.cf's value.
    const overriding = smtpd.filter(({ overrides }) => overrides.some((override) => override.parameter === name));
    const targets = services ?? overriding.map((one) => `${one.name}/${one.type}`);
    const seed = elements(ofMain).join(",");
    const edits: Edit[] = [
      ...(services
        ? []
        : [{ format: "main.cf" as const, path: mainCf.path, edit: { parameter: name, add, at: "last" as const } }]),
      ...serviceEdits(masterCf.path, targets, name, add, seed),
    ];
    return { contribution: { kind: "PostfixXclientTrust", edits }, warnings: [], already };
  },

  outputs: (_, { values, snapshot }) => ({
    authorizedHosts: [...new Set(values.flatMap((value) => elements(value)))],
    postfixVersion: snapshot.postfix?.version,
  }),
};
