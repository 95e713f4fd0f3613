import { strict as assert } from "node:assert";
import { masterResult, passdbs, userdbs } from "../../provider/src/dovecot/databases.js";
import type { Dialect } from "../../provider/src/dovecot/dialect.js";
import { aclHinders, masterNames, masterSeparator, sharedNamespaces } from "../../provider/src/dovecot/master-user.js";
import { maskSecrets } from "../../provider/src/plan/mask.js";
import { readTree, type Tree } from "../../provider/src/dovecot/tree.js";

const tree = (text: string, dialect: Dialect): Tree => readTree("/r", new Map([["/r", text]]), dialect);

/** `driver` or `driver: setting = value, ...`, in the language of either version. */
function databases(dialect: Dialect, kind: string, list: readonly string[]): string {
  return list
    .map((one, index) => {
      const [driver = "", settings = ""] = one.split(": ");
      const lines = [`driver = ${driver}`, ...settings.split(", ")].map((line) => `  ${line}\n`).join("");
      return `${kind}${dialect === "2.4" ? ` n${index}` : ""} {\n${lines}}\n`;
    })
    .join("");
}

const result = (dialect: Dialect, passwords: string[], users: string[], files: Record<string, string> = {}): string => {
  const decided = (text: string) => {
    const read = tree(text, dialect);
    const found = masterResult(passdbs(read, dialect), userdbs(read, dialect), dialect, (path) => files[path]);
    return "refuse" in found ? `refused: ${found.refuse}` : found.resultSuccess;
  };
  const text = databases(dialect, "passdb", passwords) + databases(dialect, "userdb", users);
  assert.equal(decided(maskSecrets(text, "dovecot")), decided(text), "where secrets are hidden");
  return decided(text);
};

describe("Dovecot's passdbs", () => {
  it("are one a block in 2.3, in order", () => {
    const read = passdbs(
      tree("passdb {\ndriver = pam\n}\npassdb {\n driver = passwd-file\n master = yes\n args = /x\n}\n", "2.3"),
      "2.3",
    );
    assert.deepEqual(
      read.map(({ driver, master, line, settings }) => [driver, master, line, settings.get("args")]),
      [
        ["pam", false, 1, undefined],
        ["passwd-file", true, 4, "/x"],
      ],
    );
  });

  it("merge by name in 2.4, and take their name for the driver", () => {
    const text =
      "passdb passwd-file {\n passwd_file_path = /a\n}\npassdb pam {\n}\npassdb passwd-file {\n passdb_master = yes\n}\n";
    const read = passdbs(tree(text, "2.4"), "2.4");
    assert.deepEqual(
      read.map(({ name, driver, master }) => [name, driver, master]),
      [
        ["passwd-file", "passwd-file", true],
        ["pam", "pam", false],
      ],
    );
  });
});

for (const dialect of ["2.3", "2.4"] as const) {
  describe(`result_success of a master passdb (${dialect})`, () => {
    it("is continue where every passdb can look a user up", () => {
      assert.equal(result(dialect, ["passwd-file: args = /x"], ["static"]), "continue");
      assert.equal(result(dialect, ["sql", "passwd-file", "passwd-file: deny = yes"], ["prefetch"]), "continue");
      assert.equal(result(dialect, ["sql", "oauth2: mechanisms = xoauth2 oauthbearer"], ["sql"]), "continue");
    });

    it("is return-ok where one cannot and the userdb knows its users", () => {
      assert.equal(result(dialect, ["pam"], ["passwd"]), "return-ok");
      assert.equal(result(dialect, ["passwd-file", "pam"], ["passwd-file", "passwd"]), "return-ok");
      assert.equal(result(dialect, ["lua"], ["sql"]), "return-ok");
      assert.equal(result(dialect, ["static"], ["passwd-file"]), "return-ok");
    });

    it("is not continue where Dovecot would pass over a passdb", () => {
      for (const passes of ["skip = authenticated", ...(dialect === "2.4" ? ["username_filter = *@a"] : [])]) {
        assert.equal(result(dialect, [`passwd-file: ${passes}`], ["passwd-file"]), "return-ok");
        assert.match(
          result(dialect, ["sql", `passwd-file: ${passes}`], ["static"]),
          /passdb .*passwd-file.* is passed over when .*static.* does not know/,
        );
      }
      const passes = dialect === "2.3" ? "username_filter = *@a" : "mechanisms_filter = plain";
      assert.equal(result(dialect, [`passwd-file: ${passes}`], ["static"]), "continue");
    });

    it("is refused where neither is safe, with the reason", () => {
      assert.match(
        result(dialect, ["pam"], ["static"]),
        /refused: passdb .*pam.* cannot look a user up .*static.* does not know/,
      );
      assert.match(result(dialect, ["pam"], ["passwd", "static"]), /^refused/);
      assert.match(result(dialect, ["pam"], []), /there is no userdb/);
      assert.match(result(dialect, ["imap"], ["prefetch"]), /^refused/);
      assert.match(result(dialect, ["passwd-file: master = yes"], ["passwd"]), /no passdb for normal users/);
      assert.match(result(dialect, [], []), /no passdb for normal users/);
    });
  });
}

describe("result_success with SQL", () => {
  it("depends on whether the query compares the password", () => {
    const args = "/etc/dovecot/sql.ext";
    const sql = (query: string, users: string[]): string =>
      result("2.3", [`sql: args = ${args}`], users, { [args]: `password_query = \\\n  ${query}\n` });
    assert.equal(sql("SELECT password FROM users WHERE name = '%u'", ["static"]), "continue");
    assert.equal(result("2.3", [`sql: args = ${args}`], ["static"]), "continue", "a file that we do not know");
    for (const secret of ["%w", "%Mw", "%{password}", "%{sha256:password}"]) {
      assert.equal(sql(`SELECT NULL AS password WHERE hash = '${secret}'`, ["sql"]), "return-ok");
      assert.match(sql(`SELECT NULL AS password WHERE hash = '${secret}'`, ["static"]), /^refused/);
    }
    const query = (name: string, value: string): string => result("2.4", [`sql: ${name} = ${value}`], ["static"]);
    assert.equal(query("query", "SELECT password FROM users WHERE name = '%{user}'"), "continue");
    assert.match(query("query", "SELECT 1 WHERE clear = '%{password | sha256}'"), /^refused/);
    assert.match(query("passdb_sql_query", "SELECT 1 WHERE clear = '%{password}'"), /^refused/);
  });
});

describe("mechanisms that a passdb is for (2.4)", () => {
  it("may be members of a list", () => {
    const read = tree("passdb oauth2 {\n mechanisms_filter {\n xoauth2 = yes\n}\n}\npassdb sql {\n}\n", "2.4");
    assert.deepEqual(masterResult(passdbs(read, "2.4"), [], "2.4"), { resultSuccess: "continue" });
  });
});

describe("result_success with LDAP", () => {
  it("depends on whether Dovecot binds as the user", () => {
    const args = "/etc/dovecot/ldap.ext";
    const ldap = (text: string, users: string[]): string =>
      result("2.3", [`ldap: args = ${args}`], users, { [args]: text });
    assert.equal(ldap("hosts = x\n#auth_bind = yes\n", ["static"]), "continue");
    assert.equal(ldap("auth_bind = yes\n", ["ldap"]), "return-ok");
    assert.match(ldap("auth_bind = yes\n", ["static"]), /^refused/);
    assert.match(result("2.3", [`ldap: args = ${args}`], ["static"]), /^refused/, "a file that we do not know");
    assert.equal(result("2.4", ["ldap: bind = no"], ["static"]), "continue");
    assert.equal(result("2.4", ["ldap: bind = yes"], ["ldap"]), "return-ok");
  });
});

describe("the separator of master users", () => {
  const separator = (text: string, wanted?: string, logins?: string[]): string => {
    const found = masterSeparator(tree(text, "2.3"), "2.3", wanted, logins);
    return "refuse" in found ? found.refuse : `${found.separator}${found.adopted ? " adopted" : ""}`;
  };

  it("is the host's where it has one, whose first character counts", () => {
    assert.equal(separator("auth_master_user_separator = *\n"), "* adopted");
    assert.equal(separator("auth_master_user_separator = *%\n", "*"), "* adopted");
    assert.match(separator("auth_master_user_separator = *\n", "%"), /"\*" \(auth_master_user_separator at \/r:1\)/);
  });

  it("is % or the wanted one else", () => {
    assert.equal(separator(""), "%");
    assert.equal(separator("", "*"), "*");
    assert.equal(separator("auth_username_translation = @%\n"), "%", "only what is translated from counts");
  });

  it("is refused where users log in with it", () => {
    assert.match(separator("auth_username_translation = /@%@\n"), /auth_username_translation at \/r:1/);
    assert.match(separator("auth_username_chars = abc%\n"), /auth_username_chars at \/r:1/);
    assert.match(separator("", undefined, ["alice", "bob%example.org"]), /"bob%example.org"/);
    assert.match(separator("", "-"), /auth_username_chars/);
  });
});

describe("the names of a master user", () => {
  const names = (dialect: Dialect, text: string, username: string): string[] =>
    masterNames(tree(text, dialect), dialect, username);

  it("are its own, and the one with the default realm", () => {
    for (const dialect of ["2.3", "2.4"] as const) {
      const realm = `${dialect === "2.3" ? "auth_default_realm" : "auth_default_domain"} = example.com\n`;
      assert.deepEqual(names(dialect, "", "vmadmin"), ["vmadmin"]);
      assert.deepEqual(names(dialect, realm, "vmadmin"), ["vmadmin", "vmadmin@example.com"]);
      assert.deepEqual(names(dialect, realm, "vmadmin@example.net"), ["vmadmin@example.net"]);
    }
  });

  it("are the short one, too, where Dovecot cuts domains off", () => {
    const both = ["vmadmin@example.net", "vmadmin"];
    const cut = (dialect: Dialect, format: string): string[] =>
      names(dialect, `auth_username_format = ${format}\n`, "vmadmin@example.net");
    for (const format of ["%n", "%Ln", "%{username}"]) assert.deepEqual(cut("2.3", format), both);
    for (const format of ["%{user | username}", "%{user|username|lower}", "%{user | lower | username}"]) {
      assert.deepEqual(cut("2.4", format), both);
    }
    assert.deepEqual(cut("2.3", "%Lu"), ["vmadmin@example.net"]);
    assert.deepEqual(cut("2.4", "%{user | lower}"), ["vmadmin@example.net"]);
  });
});

describe("what would spoil a copy by a master user", () => {
  it("is the ACL plugin, where the master's own rights count", () => {
    const told = (text: string, dialect: Dialect): string => aclHinders(tree(text, dialect), dialect) ?? "";
    const plugin = (...lines: string[]): string =>
      `mail_plugins = $mail_plugins acl\nplugin {\n${lines.join("\n")}\n}\n`;
    assert.match(told(plugin("acl = vfile"), "2.3"), /\/r:1 has acl.* acl_user = %u within plugin/);
    assert.equal(told(plugin("acl = vfile", "acl_user = %u"), "2.3"), "");
    assert.equal(told(plugin("acl = vfile", "master_user = %u"), "2.3"), "");
    assert.equal(told(plugin("quota = count").replace(" acl", " quota"), "2.3"), "");
    const plugins = "protocol imap {\n mail_plugins {\n acl = yes\n}\n}\nacl_driver = vfile\n";
    assert.match(told(`${plugins}acl_user = %{auth_user}\n`, "2.4"), /acl_user = %\{user\}$/);
    assert.equal(told(`${plugins}acl_user = %{user}\n`, "2.4"), "");
    assert.equal(told(plugins, "2.4"), "", "2.4 takes the user's own rights by default");
  });

  it("is not the ACL plugin without a backend, which does nothing", () => {
    assert.equal(aclHinders(tree("mail_plugins = acl\n", "2.3"), "2.3"), undefined);
    assert.equal(aclHinders(tree("mail_plugins = acl\nplugin {\n acl =\n}\n", "2.3"), "2.3"), undefined);
    assert.equal(aclHinders(tree("mail_plugins = acl\n", "2.4"), "2.4"), undefined);
  });

  it("are namespaces of others, and virtual ones", () => {
    const text =
      "namespace inbox {\n inbox = yes\n mailbox Trash {\n  auto = no\n }\n}\n" +
      "namespace {\n type = shared\n prefix = shared/%u/\n}\n" +
      "namespace all {\n prefix = virtual/\n location = virtual:/etc/virtual\n}\n" +
      "namespace p {\n type = public\n}\n";
    assert.deepEqual(
      sharedNamespaces(tree(text, "2.3")).map(({ name, kind, prefix, line }) => [name, kind, prefix, line]),
      [
        ["", "shared", "shared/%u/", 7],
        ["all", "virtual", "virtual/", 11],
        ["p", "public", "", 15],
      ],
    );
  });
});
