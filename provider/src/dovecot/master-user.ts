// What a host's settings mean for logins of the form user%master.
import type { Dialect } from "./dialect.js";
import { effective } from "./filters.js";
import type { Setting, Tree } from "./tree.js";

export const defaultSeparator = "%";

/**
 * The separator for a master user, on a configuration without ours: the host's own where it has one, else the wanted one.
 * Only its first character counts, and logins are split at its first occurrence (auth-request-fields.c).
 *
 * `logins`: those of the host's users, as far as they are known.
 */
export function masterSeparator(
  tree: Tree,
  dialect: Dialect,
  wanted: string | undefined,
  logins: readonly string[] = [],
): { separator: string; adopted: boolean } | { refuse: string } {
  const { value = "", from } = effective(tree, dialect, "auth_master_user_separator", { protocol: "imap" });
  const present = value.slice(0, 1);
  const place = at(from);
  if (present !== "" && wanted !== undefined && wanted !== present) {
    return {
      refuse: `the host's master users log in with "${present}" (auth_master_user_separator${place}), which cannot be two: leave \`separator\` out or set it to "${present}"`,
    };
  }
  if (present !== "") return { separator: present, adopted: true };
  const separator = wanted ?? defaultSeparator;
  const other = 'choose another one with `separator`, such as "*"';
  const translation = effective(tree, dialect, "auth_username_translation", { protocol: "imap" });
  // Pairs of characters: the first of each is replaced by the second.
  const pairs = (translation.value ?? "").matchAll(/(.)./gs);
  const translated = [...pairs].some(([, from]) => from === separator);
  if (translated) {
    return {
      refuse: `auth_username_translation${at(translation.from)} lets users log in with "${separator}" in place of another character: ${other}`,
    };
  }
  const chars = effective(tree, dialect, "auth_username_chars", { protocol: "imap" });
  // The stock value is a-z A-Z 0-9 and .-_@ in both dialects; empty means any, and then nobody has asked for this one.
  if ((chars.value ?? stockUsernameChars).includes(separator)) {
    return { refuse: `auth_username_chars${at(chars.from)} lets "${separator}" stand in user names: ${other}` };
  }
  const login = logins.find((one) => one.includes(separator));
  if (login !== undefined) return { refuse: `the login ${JSON.stringify(login)} holds "${separator}": ${other}` };
  return { separator, adopted: false };
}

const stockUsernameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@";

/**
 * The names under which Dovecot may look this master user up: the name itself, with the host's default realm where it has
 * none, and without a realm where the host cuts it off every login (auth_username_format).
 */
export function masterNames(tree: Tree, dialect: Dialect, username: string): string[] {
  const setting = (name: string) => effective(tree, dialect, name, { protocol: "imap" }).value ?? "";
  const realm = setting(dialect === "2.3" ? "auth_default_realm" : "auth_default_domain");
  const format = setting("auth_username_format");
  const [local = ""] = username.split("@", 1);
  const isCut =
    dialect === "2.3"
      ? /^(%L?n|%\{(username|L?n)\})$/.test(format)
      : /^%\{ *user *\|( *lower *\|)* *username *(\| *lower *)*\}$/.test(format);
  const hasRealm = username.includes("@");
  return [
    username,
    ...(!hasRealm && realm !== "" ? [`${username}@${realm}`] : []),
    ...(hasRealm && isCut ? [local] : []),
  ];
}

/**
 * A warning where the ACL plugin would let a master user open no mailbox: it asks for the master's rights then, and nobody has
 * given any. 2.3 does so by itself. 2.4 should (`acl_user = %{master_user}`), but finds that name empty (seen in 2.4.1, read in
 * 2.4.4): there it is so where `acl_user` says so. Without a backend (`acl`, `acl_driver`) the plugin does nothing.
 */
export function aclHinders(tree: Tree, dialect: Dialect): string | undefined {
  const plugins = effective(tree, dialect, "mail_plugins", { protocol: "imap" });
  if (!(plugins.value ?? "").split(/[\s,]+/).includes("acl")) return undefined;
  const last = (name: string): string =>
    tree.settings.findLast(
      (setting) =>
        setting.name === name &&
        setting.blocks.every(({ kind, name: of }) => kind === "plugin" || (kind === "protocol" && of === "imap")),
    )?.value ?? "";
  if (last(dialect === "2.3" ? "acl" : "acl_driver") === "") return undefined;
  const user = last("acl_user");
  const isOwner =
    dialect === "2.3" ? user !== "" || last("master_user") !== "" : /^(%\{ *(user|master_user) *\})?$/.test(user);
  if (isOwner) return undefined;
  const cure = dialect === "2.3" ? "acl_user = %u within plugin" : "acl_user = %{user}";
  return `mail_plugins${at(plugins.from)} has acl, by which the master user has no right on any mailbox and opens none. Set: ${cure}`;
}

/** Namespaces that a copy of one account should leave out: other people's mail, and mail that is listed twice. */
export interface SharedNamespace {
  name: string;
  kind: "shared" | "public" | "virtual";
  prefix: string;
  file: string;
  line: number;
}

export function sharedNamespaces(tree: Tree): SharedNamespace[] {
  return tree.openings.flatMap((opening) => {
    const { block, file, line } = opening;
    if (block.kind !== "namespace") return [];
    const values = namespaceSettings(tree, opening.at, block.name);
    const type = values.get("type") ?? "";
    const mail = values.get("location") ?? values.get("mail_location") ?? values.get("mail_driver") ?? "";
    const kind = /^virtual(:|$)/.test(mail) ? "virtual" : type;
    if (kind !== "shared" && kind !== "public" && kind !== "virtual") return [];
    return [{ name: block.name, kind, prefix: values.get("prefix") ?? "", file, line }];
  });
}

/** What one namespace block sets itself, up to the next one that begins. */
function namespaceSettings(tree: Tree, from: number, name: string): Map<string, string> {
  const next = tree.openings.find((other) => other.at > from && other.block.kind === "namespace")?.at ?? Infinity;
  return new Map(
    tree.settings
      .filter(({ at: position }) => position > from && position < next)
      .filter(({ blocks }) => blocks.at(-1)?.kind === "namespace" && blocks.at(-1)?.name === name)
      .map((setting) => [setting.name.replace(/^namespace_/, ""), setting.value]),
  );
}

function at(from: readonly Setting[]): string {
  const [setting] = from;
  return setting ? ` at ${setting.file}:${setting.line}` : "";
}
