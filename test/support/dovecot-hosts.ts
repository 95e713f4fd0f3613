// Hosts whose users come from elsewhere, or log in by other rules: what differs from the throwaway host, in both dialects.
import type { Debian } from "./host.js";

/** Files below /etc/dovecot. */
export type Files = Readonly<Record<string, string>>;

const databases = "conf.d/auth-passwdfile.conf.ext";
const sqlFile = "dovecot-sql.conf.ext";
/** Read after ours. */
export const operatorFile = "conf.d/99-zzz-operator.conf";

/** alice, by her whole name and by the short one. */
export const userDatabase = `
  hash=$(cat /opt/mailhost/hashes/alice)
  for name in alice alice@example.com; do
    echo "INSERT INTO users VALUES ('$name', '$hash', 'alicepassword', '/var/vmail/example.com/alice');"
  done | sqlite3 -cmd 'CREATE TABLE users (name, hash, clear, home)' /etc/dovecot/users.sqlite
  chgrp dovecot /etc/dovecot/users.sqlite
  chmod 640 /etc/dovecot/users.sqlite`;

/** Users in SQL. `checks`: the query compares the password itself. `anybody`: the userdb does not ask. */
export function sql(debian: Debian, { checks = false, anybody = false } = {}): Files {
  const password = checks ? "NULL AS password, 'Y' AS nopassword" : "hash AS password";
  const fields = "home AS userdb_home, 5000 AS userdb_uid, 5000 AS userdb_gid";
  const secret = debian === "bookworm" ? "%w" : "%{password}";
  const user = debian === "bookworm" ? "%u" : "%{user}";
  const asked = `SELECT ${password}, ${fields} FROM users WHERE name = '${user}'${checks ? ` AND clear = '${secret}'` : ""}`;
  const found = `SELECT home, 5000 AS uid, 5000 AS gid FROM users WHERE name = '${user}'`;
  if (debian === "trixie") {
    return {
      [databases]: `sql_driver = sqlite
sqlite_path = /etc/dovecot/users.sqlite
passdb sql {
  default_password_scheme = crypt
  query = ${asked}
}
${anybody ? "userdb static {\n}" : `userdb prefetch {\n}\nuserdb sql {\n  query = ${found}\n}`}
`,
    };
  }
  return {
    [databases]: `passdb {
  driver = sql
  args = /etc/dovecot/${sqlFile}
}
userdb {
  driver = ${anybody ? "static" : "prefetch"}
}
${anybody ? "" : `userdb {\n  driver = sql\n  args = /etc/dovecot/${sqlFile}\n}`}
`,
    [sqlFile]: `driver = sqlite
connect = /etc/dovecot/users.sqlite
default_pass_scheme = CRYPT
password_query = \\
  ${asked}
user_query = ${found}
`,
  };
}

/** Whoever is asked for exists, as far as the userdb is concerned; the passdb is asked for names that `filter` lets through. */
export function anybody(debian: Debian, { filter = "" } = {}): Files {
  return {
    [databases]:
      debian === "bookworm"
        ? `passdb {
  driver = passwd-file
  args = scheme=CRYPT username_format=%u /etc/dovecot/users
  username_filter = ${filter}
}
userdb {
  driver = static
  args = uid=vmail gid=vmail home=/var/vmail/%d/%n allow_all_users=yes
}
`
        : `passdb passwd-file {
  default_password_scheme = crypt
  auth_username_format = %{user}
  passwd_file_path = /etc/dovecot/users
  username_filter = ${filter}
}
userdb static {
  fields {
    uid = vmail
    gid = vmail
    home = /var/vmail/%{user | domain}/%{user | username}
  }
  userdb_static_allow_all_users = yes
}
`,
  };
}

/** Logins without a domain are of example.com. */
export function realm(debian: Debian): string {
  const name = debian === "bookworm" ? "auth_default_realm" : "auth_default_domain";
  return `${name} = example.com\n`;
}

/** Domains are cut off. */
export function shortNames(debian: Debian): string {
  return `auth_username_format = ${debian === "bookworm" ? "%Ln" : "%{user | username | lower}"}\n`;
}

export const cache = "auth_cache_size = 10 M\nauth_cache_ttl = 1 hour\nauth_cache_negative_ttl = 1 hour\n";

/** A master user "operator" of the administrator's own, who may use every service. */
export function masters(debian: Debian): Files {
  return {
    masters: "operator:{PLAIN}operatorpassword\n",
    [operatorFile]: "auth_master_user_separator = *\n",
    // The last file that is read: ours is asked first.
    "conf.d/99-zzz-masters.conf":
      debian === "bookworm"
        ? "passdb {\n  driver = passwd-file\n  master = yes\n  args = /etc/dovecot/masters\n}\n"
        : "passdb masters {\n  driver = passwd-file\n  master = yes\n  passwd_file_path = /etc/dovecot/masters\n}\n",
  };
}

/** A master user that somebody has made as the manual has it: the user's own passdb is asked as well. */
export function careless(debian: Debian): Files {
  const head =
    debian === "bookworm"
      ? "passdb {\n  args = /etc/dovecot/masters"
      : "passdb masters {\n  passwd_file_path = /etc/dovecot/masters";
  return {
    masters: "operator:{PLAIN}operatorpassword\n",
    "conf.d/99-zzz-masters.conf": `auth_master_user_separator = *\n${head}\n  driver = passwd-file\n  master = yes\n  result_success = continue\n}\n`,
  };
}

/** The ACL plugin: whose rights count when somebody logs in as another user? off: it has no backend. */
export function acl(debian: Debian, whose: "default" | "login's" | "user's" | "off"): Files {
  const user = debian === "bookworm" ? "%u" : "%{user}";
  // What 2.3 takes by default.
  const login = debian === "bookworm" ? "" : "acl_user = %{auth_user}\n";
  const backend = debian === "bookworm" ? "acl = vfile\n" : "acl_driver = vfile\n";
  const lines = { default: backend, "login's": backend + login, "user's": `${backend}acl_user = ${user}\n`, off: "" }[
    whose
  ];
  return {
    [operatorFile]:
      debian === "bookworm"
        ? `protocol imap {\n  mail_plugins = $mail_plugins acl\n}\nplugin {\n${lines}}\n`
        : `protocol imap {\n  mail_plugins {\n    acl = yes\n  }\n}\n${lines}`,
  };
}
