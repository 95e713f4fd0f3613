// What a setting is worth for one connection: how `protocol`, `remote` and `local` blocks outrank each other.
// Both rules are Dovecot's own (src/config/config-filter.c 2.3.19, config-parser.c 2.4.1), and tested against it.
import type { Dialect } from "./dialect.js";
import { matches, parseNetwork, type Network } from "./network.js";
import type { Block, Setting, Tree } from "./tree.js";

/** A connection as filters see it; what is absent matches no filter that asks for it. */
export interface Connection {
  protocol?: string;
  /** Addresses. */
  local?: string;
  remote?: string;
}

export interface Effective {
  /** Undefined: nobody sets it, Dovecot's default. Of a list (2.4) its members that are on, joined by a blank. */
  value: string | undefined;
  /** What makes it so, the strongest first. */
  from: readonly Setting[];
  /** 2.3: two settings that exclude each other; the connection is closed without a greeting. */
  conflict?: readonly [Setting, Setting];
}

/** Settings that 2.4 keeps as a list of names that are on or off. */
const lists: ReadonlySet<string> = new Set(["login_trusted_networks", "mail_plugins"]);

/**
 * The effective value of a setting. `local_name` blocks are left out: they match only once the client has sent a name (SNI).
 * The groups of 2.4 (`@group = name`) are not expanded.
 */
export function effective(tree: Tree, dialect: Dialect, name: string, connection: Connection = {}): Effective {
  return effectiveIn(filtersOf(tree, dialect), dialect, name, connection);
}

export function effectiveIn(filters: readonly Filter[], dialect: Dialect, name: string, at: Connection): Effective {
  const matching = strongestFirst(
    filters.filter((filter) => isMatch(filter, at)),
    dialect,
  );
  const conflict = dialect === "2.3" ? conflictIn(matching) : undefined;
  const found = dialect === "2.4" && lists.has(name) ? listValue(matching, name) : plainValue(matching, dialect, name);
  return conflict ? { ...found, conflict } : found;
}

/** A set of conditions and what is set under them; the first one has none: the top level. */
export interface Filter {
  conditions: readonly Condition[];
  /** Settings by name, in order of reading; of a list block its members as `name/member`. */
  settings: Map<string, Setting[]>;
  /** The filter around it. */
  parent: Filter | undefined;
}

interface Condition {
  protocol?: string;
  local?: Network;
  remote?: Network;
  /** Never matches: a local_name, a host name in place of an address. */
  never?: string;
}

/** All filters in the order in which Dovecot creates them: where a block with these conditions first begins. */
export function filtersOf(tree: Tree, dialect: Dialect): Filter[] {
  const top: Filter = { conditions: [], settings: new Map(), parent: undefined };
  const filters = new Map([["", top]]);
  const filterAt = (blocks: readonly Block[]): Filter => {
    let filter = top;
    for (const block of blocks) {
      const conditions = [...filter.conditions, conditionOf(block)];
      const key = JSON.stringify(dialect === "2.3" ? Object.entries(flattened(conditions)).sort() : conditions);
      const known = filters.get(key) ?? { conditions, settings: new Map<string, Setting[]>(), parent: filter };
      filters.set(key, known);
      filter = known;
    }
    return filter;
  };
  for (const one of [...tree.openings, ...tree.settings].sort((a, b) => a.at - b.at)) {
    if ("block" in one) {
      const blocks = [...one.blocks, one.block];
      if (blocks.every(isFilter)) filterAt(blocks);
      continue;
    }
    const inner = one.blocks.at(-1);
    const isMember = dialect === "2.4" && inner !== undefined && lists.has(inner.kind);
    const blocks = isMember ? one.blocks.slice(0, -1) : one.blocks;
    if (!blocks.every(isFilter)) continue;
    const { settings } = filterAt(blocks);
    const name = isMember ? `${inner.kind}/${one.name}` : one.name;
    settings.set(name, [...(settings.get(name) ?? []), one]);
  }
  return [...filters.values()];
}

function isFilter(block: Block): boolean {
  return ["protocol", "local", "remote", "local_name"].includes(block.kind);
}

function conditionOf({ kind, name }: Block): Condition {
  if (kind === "protocol") return { protocol: name };
  const network = kind === "local_name" ? undefined : parseNetwork(name);
  if (!network) return { never: `${kind} ${name}` };
  return kind === "local" ? { local: network } : { remote: network };
}

/** 2.3 knows one condition of a kind: that of the innermost block. */
function flattened(conditions: readonly Condition[]): Condition {
  return Object.assign({}, ...conditions) as Condition;
}

function isMatch(filter: Filter, at: Connection): boolean {
  const local = at.local === undefined ? undefined : parseNetwork(at.local);
  const remote = at.remote === undefined ? undefined : parseNetwork(at.remote);
  return filter.conditions.every((condition) => {
    if (condition.never !== undefined) return false;
    if (condition.local) return local !== undefined && matches(condition.local, local);
    if (condition.remote) return remote !== undefined && matches(condition.remote, remote);
    const { protocol } = condition;
    if (protocol === undefined) return true;
    if (at.protocol === undefined) return false;
    return protocol.startsWith("!") ? protocol.slice(1) !== at.protocol : protocol === at.protocol;
  });
}

/** 2.4: the one created last. 2.3: the longest local network, then the longest remote one, then those with a protocol. */
function strongestFirst(matching: Filter[], dialect: Dialect): Filter[] {
  if (dialect === "2.4") return matching.reverse();
  const ranks = matching.map((filter) => ({ filter, rank: rank(filter) }));
  return ranks
    .sort((a, b) => b.rank.local - a.rank.local || b.rank.remote - a.rank.remote || b.rank.protocol - a.rank.protocol)
    .map(({ filter }) => filter);
}

function rank(filter: Filter): { local: number; remote: number; protocol: number } {
  const { local, remote, protocol } = flattened(filter.conditions);
  return { local: local?.bits ?? 0, remote: remote?.bits ?? 0, protocol: protocol === undefined ? 0 : 1 };
}

/** 2.3 refuses a setting that two filters set of which none is the more specific in every respect. */
function conflictIn(matching: readonly Filter[]): [Setting, Setting] | undefined {
  const seen = new Map<string, Setting>();
  let previous: Filter | undefined;
  for (const filter of matching) {
    const general = !previous || isMoreGeneral(filter, previous);
    for (const [name, settings] of filter.settings) {
      const setting = settings.at(-1);
      const stronger = seen.get(name);
      if (stronger && setting && !general) return [stronger, setting];
      if (setting && !stronger) seen.set(name, setting);
    }
    previous = filter;
  }
  return undefined;
}

function isMoreGeneral(filter: Filter, than: Filter): boolean {
  const a = rank(filter);
  const b = rank(than);
  return a.local <= b.local && a.remote <= b.remote && a.protocol <= b.protocol;
}

function plainValue(matching: readonly Filter[], dialect: Dialect, name: string): Effective {
  const winner = matching.find((filter) => filter.settings.has(name));
  const settings = winner?.settings.get(name) ?? [];
  const last = settings.at(-1);
  if (!winner || !last) return { value: undefined, from: [] };
  return { value: expanded(winner, settings, name, dialect), from: [last] };
}

/** `$name` in a value stands for what the setting was before, in this filter or the ones around it. */
function expanded(filter: Filter, settings: readonly Setting[], name: string, dialect: Dialect): string {
  const reference = dialect === "2.3" ? `$${name}` : `$SET:${name}`;
  let value: string | undefined;
  for (const setting of settings) {
    const before = value ?? beforeIn(filter.parent, name, dialect, setting.at);
    value = setting.value
      .split(" ")
      .map((word) => (word === reference ? before : word))
      .join(" ");
  }
  return value ?? "";
}

function beforeIn(filter: Filter | undefined, name: string, dialect: Dialect, at: number): string {
  if (!filter) return "";
  const earlier = (filter.settings.get(name) ?? []).filter((setting) => setting.at < at);
  return earlier.length > 0 ? expanded(filter, earlier, name, dialect) : beforeIn(filter.parent, name, dialect, at);
}

/**
 * 2.4: `name = a b` replaces the list, `name { c = yes }` adds to that of the weaker filters; the stronger word counts.
 * Where one filter has `name = a` and then `name { b = no }`, 2.4.1 reads on in the weaker ones (seen, not promised): here it
 * replaces, so that at worst we refuse what would have worked.
 */
function listValue(matching: readonly Filter[], name: string): Effective {
  const members = new Map<string, boolean>();
  const from: Setting[] = [];
  for (const filter of matching) {
    const ofList = [...filter.settings]
      .flatMap(([key, settings]) => (key === name || key.startsWith(`${name}/`) ? settings : []))
      .sort((a, b) => a.at - b.at);
    const own = new Map<string, boolean>();
    let replaces = false;
    for (const setting of ofList) {
      if (setting.name !== name) {
        own.set(memberName(setting.name, name), /^(yes|y|1|true)$/i.test(setting.value));
        continue;
      }
      own.clear();
      for (const word of setting.value.split(/[ ,\t]+/).filter(Boolean)) own.set(word, true);
      replaces = true;
    }
    from.push(...ofList.reverse());
    for (const [member, on] of own) if (!members.has(member)) members.set(member, on);
    if (replaces) break;
  }
  if (from.length === 0) return { value: undefined, from };
  const on = [...members].filter(([, isOn]) => isOn).map(([member]) => member);
  return { value: on.join(" "), from };
}

function memberName(key: string, name: string): string {
  return key.startsWith(`${name}/`) ? key.slice(name.length + 1) : key;
}
