// login_trusted_networks for connections from the proxy, as a `remote` block of our own.
import { allTrusted, outranked } from "../../dovecot/trust.js";
import { Refusal } from "../../host/errors.js";
import type { Kind } from "../kind.js";
import { addressIn } from "../networks.js";
import { dovecotSite } from "./dovecot-site.js";

const name = "login_trusted_networks";

interface Args {
  readonly proxies: readonly string[];
}

export const dovecotProxyTrust: Kind<Args> = {
  daemon: "dovecot",
  ...{ replaces: [], keeps: [] },

  queries: ({ proxies }) =>
    proxies.map((word) => ({ program: "doveconf", selector: `protocol=imap remote=${addressIn(word)}`, name, word })),

  contribute({ proxies }, site) {
    const { tree, dialect, fragmentPath, treeWith, fragmentEdits } = dovecotSite(site);
    const { host, addresses } = site.snapshot;
    const trusted = proxies.filter((proxy) => allTrusted(tree, dialect, proxy, addresses));
    const edits = proxies.filter((proxy) => !trusted.includes(proxy)).map((trust) => ({ trust }));
    const obstacles = outranked(
      treeWith(edits),
      dialect,
      edits.map(({ trust }) => trust),
      fragmentPath,
      addresses,
    );
    if (obstacles.length > 0) {
      const [first] = obstacles;
      throw new Refusal(
        `${host}: ${obstacles.map(({ file, line, block, why }) => `${file}:${line} (${block || "top level"}) sets ${name}: ${why}`).join("; ")}.`,
        obstacles.map(({ fix }) => fix).join("; and ") +
          (first?.kind === "wins" ? ". Then nothing of ours is needed there." : "."),
      );
    }
    return {
      contribution: { kind: "DovecotProxyTrust", edits: fragmentEdits(edits) },
      warnings: [],
      already: trusted.map((word) => ({
        word,
        note: `${name} covers ${word} already; that is the administrator's and stays after destroy`,
      })),
    };
  },

  outputs: (_, { values, snapshot }) => ({
    trustedNetworks: [...new Set(values.flatMap((value) => value.split(/[\s,]+/).filter((word) => word !== "")))],
    dovecotVersion: snapshot.dovecot?.version,
  }),
};
