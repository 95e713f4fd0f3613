// smtpd_authorized_xclient_hosts, in main.cf or for single services of master.cf.
import { Refusal } from "../../host/errors.js";
import { elements } from "../../postfix/lists.js";
import { postfixNetwork } from "../../postfix/networks.js";
import type { Service } from "../../postfix/services.js";
import type { Kind } from "../kind.js";
import { networkEdits, postfixSite } from "./postfix-site.js";

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
    const postfix = postfixSite(site);
    const { masterCf, smtpd } = postfix;
    const selector = (one: Service) => `${one.name}/${one.type}`;
    const absent = services?.filter((wanted) => !smtpd.some((one) => selector(one) === wanted)) ?? [];
    if (absent.length > 0) {
      throw new Refusal(
        `${masterCf.path} on ${site.snapshot.host} has no smtpd service ${absent.join(", ")}.`,
        `Name one of: ${smtpd.map(selector).join(", ")}.`,
      );
    }
    const { edits, already } = networkEdits(site, postfix, {
      ...{ name, networks: proxies },
      services: services ? smtpd.filter((one) => services.includes(selector(one))) : smtpd,
      only: services !== undefined,
    });
    return { contribution: { kind: "PostfixXclientTrust", edits }, warnings: [], already };
  },

  outputs: (_, { values, snapshot }) => ({
    authorizedHosts: [...new Set(values.flatMap((value) => elements(value)))],
    postfixVersion: snapshot.postfix?.version,
  }),
};
