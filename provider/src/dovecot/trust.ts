// Does Dovecot trust a proxy's address, and if our `remote` block does not make it so, whose block is in the way?
import type { Dialect } from "./dialect.js";
import { effectiveIn, filtersOf, type Connection, type Filter } from "./filters.js";
import { addressText, covers, matches, parseNetwork } from "./network.js";
import { blockText, withoutFile, type Setting, type Tree } from "./tree.js";

const name = "login_trusted_networks";

/** The protocols in which a proxy forwards the client's address. */
export const forwardingProtocols: readonly string[] = ["imap", "pop3", "sieve", "submission"];

/**
 * Does this value of login_trusted_networks (of `doveconf -h`, or out of a file) hold the whole network? Separators are
 * blanks, commas and, in 2.4, lines such as `192.0.2.1 = yes`.
 */
export function trusted(value: string, network: string): boolean {
  const wanted = parseNetwork(network);
  if (!wanted) return false;
  for (const word of value.split("\n").flatMap(wordsOf)) {
    const listed = parseNetwork(word);
    // Dovecot reads no further than the first word that is no network (client_is_trusted).
    if (!listed) return false;
    if (covers(listed, wanted)) return true;
  }
  return false;
}

function wordsOf(line: string): string[] {
  const [, member, on] = /^\s*(\S+)\s*=\s*(yes|no)\s*$/.exec(line) ?? [];
  if (member !== undefined) return on === "yes" ? [member] : [];
  return line.split(/[\s,]+/).filter(Boolean);
}

/** Is every connection from the network trusted, whatever it speaks and whichever address of ours it comes to? */
export function allTrusted(tree: Tree, dialect: Dialect, network: string, localAddresses: readonly string[]): boolean {
  const filters = filtersOf(tree, dialect);
  return (
    connectionsFrom(network, filters, localAddresses).every((at) => isTrusted(filters, dialect, network, at)) &&
    byHostName(filters).every(({ name: own, value }) => own === name && trusted(value, network))
  );
}

/** An operator's setting that keeps our `remote` block from taking effect. */
export interface Outranked {
  network: string;
  file: string;
  line: number;
  /** "remote 10.0.0.0/8 { protocol imap }"; "" for the top level. */
  block: string;
  /**
   * conflict: Dovecot 2.3 would close every such connection without a greeting. named: which connections the block is for
   * only Dovecot knows, which looks its host name up.
   */
  kind: "wins" | "conflict" | "named";
  why: string;
  /** What the operator should write, and where. */
  fix: string;
}

/**
 * What stands in the way of our blocks. `tree` is the configuration with our fragment in its place, `ownPath` the fragment,
 * `localAddresses` those the host listens on. Where the operator's own settings already trust a network (allTrusted of the
 * tree without ours), our block for it must not be written: it could only conflict.
 *
 * A block that names a host instead of an address may be for any connection: it stands in the way wherever it would outrank
 * ours, and doveconf, asked for an address, would not tell. A local_name is not judged.
 */
export function outranked(
  tree: Tree,
  dialect: Dialect,
  networks: readonly string[],
  ownPath: string,
  localAddresses: readonly string[],
): Outranked[] {
  const filters = filtersOf(tree, dialect);
  const without = filtersOf(withoutFile(tree, ownPath), dialect);
  const found = new Map<string, Outranked>();
  const add = (network: string, settings: readonly Setting[], describe: (setting: Setting) => Outranked): void => {
    const setting = settings.find(({ file }) => file !== ownPath);
    const key = `${network} ${setting?.file ?? ""}:${setting?.line ?? 0}`;
    if (setting && !found.has(key)) found.set(key, describe(setting));
  };
  const newConflict = (at: Connection): readonly Setting[] | undefined => {
    const { conflict } = effectiveIn(filters, dialect, name, at);
    return conflict && !effectiveIn(without, dialect, name, at).conflict ? conflict : undefined;
  };
  for (const network of networks) {
    for (const at of connectionsFrom(network, filters, localAddresses)) {
      const { conflict, from, value = "" } = effectiveIn(filters, dialect, name, at);
      if (conflict) add(network, newConflict(at) ?? [], (setting) => conflicting(network, setting));
      else if (!isTrusted(filters, dialect, network, at)) {
        add(network, from, (setting) => winning(network, setting, value, dialect));
      }
    }
    // 2.3 tries each filter as a connection when it loads, and a conflict there is the end of the whole configuration.
    for (const at of filters.flatMap((filter) => connectionOf(filter, network) ?? [])) {
      add(network, newConflict(at) ?? [], (setting) => conflicting(network, setting));
    }
    // 2.4 takes the last block that matches.
    const first = filters.findIndex(({ settings }) => settings.get(name)?.some(({ file }) => file === ownPath));
    const stronger = dialect === "2.3" ? filters : filters.slice(Math.max(0, first));
    for (const setting of byHostName(stronger)) add(network, [setting], (one) => named(network, one));
  }
  return [...found.values()];
}

/** What blocks for a host's name set, in place of its address. */
function byHostName(filters: readonly Filter[]): Setting[] {
  return filters
    .filter(({ conditions }) => conditions.some(({ never }) => never !== undefined && /^(local|remote) /.test(never)))
    .flatMap(({ settings }) => [...settings])
    .flatMap(([key, settings]) => (key === name || key.startsWith(`${name}/`) ? settings : []));
}

/** The filter's own conditions, if it is one for addresses of the network. */
function connectionOf({ conditions }: Filter, network: string): Connection | undefined {
  const wanted = parseNetwork(network);
  const { local, remote, protocol, never } = Object.assign({}, ...conditions) as Filter["conditions"][number];
  if (!wanted || !remote || never !== undefined || !matches(wanted, remote)) return undefined;
  return {
    remote: addressText(remote),
    ...(local && { local: addressText(local) }),
    ...(protocol !== undefined && { protocol }),
  };
}

function winning(network: string, setting: Setting, value: string, dialect: Dialect): Outranked {
  const rule = dialect === "2.3" ? "the most specific block counts" : "the last block that matches counts";
  const isMember = setting.name !== name;
  const line = isMember ? `${network} = yes` : `${name} = ${[value, network].filter(Boolean).join(" ")}`;
  const place = isMember ? `${name} block at` : "block at";
  return {
    ...located(network, setting),
    kind: "wins",
    why: `in Dovecot ${dialect} ${rule}, so this one decides for ${network}`,
    fix: `${isMember ? "add to" : "write in"} the ${place} ${setting.file}:${setting.line}: ${line}`,
  };
}

function conflicting(network: string, setting: Setting): Outranked {
  const value = setting.name === name ? setting.value : "";
  const line = `${name} = ${[value, network].filter(Boolean).join(" ")}`;
  const cure =
    setting.name === name
      ? `write at ${setting.file}:${setting.line}: ${line}; and on the top level too, so that no block of ours is needed: ` +
        `${name} = ${network} and what stands there now`
      : `set ${setting.name} in one of the conflicting blocks only`;
  return {
    ...located(network, setting),
    kind: "conflict",
    why: `Dovecot 2.3 refuses ${setting.name} from two blocks of which none is the more specific: it would close every connection from ${network} without a greeting`,
    fix: cure,
  };
}

function named(network: string, setting: Setting): Outranked {
  return {
    ...located(network, setting),
    kind: "named",
    why: `Dovecot looks the host name of this block up, so whether it decides for ${network} cannot be foreseen`,
    fix: `write the host's address in place of its name in the block around ${setting.file}:${setting.line}`,
  };
}

function located(network: string, setting: Setting): Pick<Outranked, "network" | "file" | "line" | "block"> {
  const { file, line, blocks } = setting;
  return { network, file, line, block: blockText(blocks.filter((block) => block.kind !== name)) };
}

function isTrusted(filters: readonly Filter[], dialect: Dialect, network: string, at: Connection): boolean {
  const { value = "", conflict } = effectiveIn(filters, dialect, name, at);
  // Of a network, one address after the other: a block for a part of it may say otherwise.
  return !conflict && (trusted(value, network) || trusted(value, at.remote ?? network));
}

/** One connection of each kind that filters could treat differently. */
function connectionsFrom(network: string, filters: readonly Filter[], localAddresses: readonly string[]): Connection[] {
  const wanted = parseNetwork(network);
  if (!wanted) return [];
  const parts = filters
    .flatMap(({ conditions }) => conditions.flatMap(({ remote }) => remote ?? []))
    .filter((remote) => covers(wanted, remote))
    .map(addressText);
  const remotes = [...new Set([addressText(wanted), ...parts])];
  const locals = [undefined, ...localAddresses];
  return remotes.flatMap((remote) =>
    locals.flatMap((local) =>
      forwardingProtocols.map((protocol) => (local === undefined ? { protocol, remote } : { protocol, remote, local })),
    ),
  );
}
