// Where a host's users come from, and what that means for a master user.
import type { Dialect } from "./dialect.js";
import type { Setting, Tree } from "./tree.js";

/** A passdb or userdb, merged as the dialect does. */
export interface Database {
  /** 2.4, or `name =` in 2.3. */
  name: string | undefined;
  driver: string;
  master: boolean;
  deny: boolean;
  /** What is set in it, the prefix of 2.4 (`passdb_`) taken off; the last one counts. */
  settings: ReadonlyMap<string, string>;
  file: string;
  line: number;
}

/** The passdbs in the order in which Dovecot asks them; the tree of `doveconf -n`'s text serves as well as that of files. */
export function passdbs(tree: Tree, dialect: Dialect): Database[] {
  return databases(tree, dialect, "passdb");
}

export function userdbs(tree: Tree, dialect: Dialect): Database[] {
  return databases(tree, dialect, "userdb");
}

/**
 * Which result_success makes a master passdb safe: the user must exist, and the login must work.
 *
 * `continue` asks the user's own passdb as well, without a password: PAM cannot answer that, it would try the master's
 * password and count a failed login of the user. And a passdb that Dovecot passes over then would know its users in vain.
 * `return-ok` leaves it to the userdb to know its users.
 *
 * `read`: how a file named in `args` (2.3 keeps the settings of SQL and LDAP there) has a password checked; undefined where
 * that is not known.
 */
export function masterResult(
  passwords: readonly Database[],
  users: readonly Database[],
  dialect: Dialect,
  read: (path: string) => string | undefined = () => undefined,
): { resultSuccess: "continue" | "return-ok" } | { refuse: string } {
  const normal = passwords.filter(
    (passdb) =>
      !passdb.master && !passdb.deny && passdb.settings.get("skip") !== "unauthenticated" && takesPlain(passdb),
  );
  if (normal.length === 0)
    return { refuse: "Dovecot has no passdb for normal users, so a master user could not log in as one" };
  const blind = normal.filter((passdb) => !looksUp(passdb, read));
  const skipped = normal.filter((passdb) => isPassedOver(passdb, dialect));
  if (blind.length === 0 && skipped.length === 0) return { resultSuccess: "continue" };
  const lenient = users.filter((userdb) => !knowsUsers.has(userdb.driver) && userdb.driver !== "prefetch");
  if (lenient.length === 0 && users.some((userdb) => knowsUsers.has(userdb.driver)))
    return { resultSuccess: "return-ok" };
  const who = (blind[0] ? blind : skipped).map(describe).join(", ");
  const what = blind[0]
    ? "cannot look a user up without the user's password"
    : "is passed over when a master user logs in (skip, username_filter)";
  const why =
    users.length === 0
      ? "there is no userdb"
      : `${(lenient[0] ? lenient : users).map(describe).join(", ")} does not know its users`;
  return {
    refuse: `passdb ${who} ${what}, and userdb ${why}: a master user could open mailboxes of users who do not exist`,
  };
}

/** Those that answer "is there such a user" without a password. A static passdb says yes to every name. */
const looksUpAlways: ReadonlySet<string> = new Set(["passwd-file", "passwd", "shadow", "dict"]);
const knowsUsers: ReadonlySet<string> = new Set(["passwd", "passwd-file", "sql", "ldap", "dict"]);

function looksUp({ driver, settings }: Database, read: (path: string) => string | undefined): boolean {
  if (looksUpAlways.has(driver)) return true;
  const path = settings.get("args");
  const text = path === undefined ? undefined : read(path);
  if (driver === "sql") {
    const query = text ?? settings.get("query") ?? settings.get("sql_query") ?? "";
    return !/%(?:[-.0-9A-Z]*w|\{[^}]*\bpassword\b[^}]*\})/.test(query);
  }
  if (driver !== "ldap" || (path !== undefined && text === undefined)) return false;
  const binds = [...settings].filter(([name]) => /(^|_)bind$/.test(name)).map(([, value]) => value);
  const inFile = [...(text ?? "").matchAll(/^[ \t]*auth_bind[ \t]*=[ \t]*(\S+)/gm)].map(([, value = ""]) => value);
  return ![...binds, ...inFile].some(isYes);
}

/** Where the master's password was accepted; and 2.4 first compares the master's name, not the user's, with the filter. */
function isPassedOver({ settings }: Database, dialect: Dialect): boolean {
  const isFiltered = dialect === "2.4" && (settings.get("username_filter") ?? "") !== "";
  return isFiltered || settings.get("skip") === "authenticated";
}

function takesPlain({ settings }: Database): boolean {
  const members = [...settings].flatMap(([name, value]) => {
    const [, member] = /^mechanisms_filter\/(.*)$/.exec(name) ?? [];
    return member !== undefined && isYes(value) ? [member] : [];
  });
  const listed = settings.get("mechanisms") ?? settings.get("mechanisms_filter") ?? "";
  const mechanisms = [listed, ...members].join(" ").trim().toLowerCase();
  return mechanisms === "" || /(^|[\s,])(plain|login)($|[\s,])/.test(mechanisms);
}

function databases(tree: Tree, dialect: Dialect, kind: "passdb" | "userdb"): Database[] {
  const found: {
    key: string;
    name: string | undefined;
    at: number;
    file: string;
    line: number;
    settings: Map<string, string>;
  }[] = [];
  for (const { block, at, file, line } of tree.openings) {
    if (block.kind !== kind) continue;
    // 2.3: each block is one of its own, a name does not merge it. 2.4: one of the same name goes on.
    const key = dialect === "2.4" ? block.name : String(at);
    if (found.some((one) => one.key === key)) continue;
    found.push({ key, name: block.name === "" ? undefined : block.name, at, file, line, settings: new Map() });
  }
  for (const setting of tree.settings) {
    const depth = setting.blocks.findIndex((block) => block.kind === kind);
    const block = setting.blocks[depth];
    if (!block) continue;
    const owner =
      dialect === "2.4" ? found.find(({ key }) => key === block.name) : found.findLast(({ at }) => at < setting.at);
    owner?.settings.set(...nameAndValue(setting, depth, kind));
  }
  return found.map(({ name, file, line, settings }) => ({
    name: name ?? settings.get("name"),
    // 2.4: without `driver` the section's name is the driver.
    driver: settings.get("driver") ?? (dialect === "2.4" ? (name ?? "") : ""),
    master: isYes(settings.get("master") ?? "no"),
    deny: isYes(settings.get("deny") ?? "no"),
    settings,
    file,
    line,
  }));
}

/** A member of a list block (2.4 `mechanisms_filter { plain = yes }`) joins the list's value. */
function nameAndValue(setting: Setting, depth: number, kind: string): [string, string] {
  const inner = setting.blocks.slice(depth + 1).map((block) => block.kind);
  const own = [...inner, setting.name].join("/");
  return [own.startsWith(`${kind}_`) ? own.slice(kind.length + 1) : own, setting.value];
}

function isYes(value: string): boolean {
  return /^(yes|y|1|true)$/i.test(value);
}

function describe({ name, driver, file, line }: Database): string {
  return `${name !== undefined && name !== driver ? `${name} (${driver})` : driver} at ${file}:${line}`;
}
