import { strict as assert } from "node:assert";
import { masterResult, passdbs, userdbs } from "../../provider/src/dovecot/databases.js";
import type { Dialect } from "../../provider/src/dovecot/dialect.js";
import { aclHinders, masterSeparator, sharedNamespaces } from "../../provider/src/dovecot/master-user.js";
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
  const read = tree(databases(dialect, "passdb", passwords) + databases(dialect, "userdb", users), dialect);
  const found = masterResult(passdbs(read, dialect), userdbs(read, dialect), (path) => files[path]);
  return "refuse" in found ? `refused: ${found.refuse}` : found.resultSuccess;
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

describe("what would spoil a copy by a master user", () => {
  it("is the ACL plugin without acl_user", () => {
    assert.match(
      aclHinders(tree("mail_plugins = $mail_plugins acl\n", "2.3"), "2.3") ?? "",
      /\/r:1 has acl.*plugin \{ acl_user = %u \}/,
    );
    assert.equal(aclHinders(tree("mail_plugins = acl\nplugin {\n acl_user = %u\n}\n", "2.3"), "2.3"), undefined);
    assert.equal(aclHinders(tree("mail_plugins = quota\n", "2.3"), "2.3"), undefined);
    assert.match(
      aclHinders(tree("protocol imap {\n mail_plugins {\n acl = yes\n}\n}\n", "2.4"), "2.4") ?? "",
      /acl_user = %\{user\}/,
    );
    assert.equal(aclHinders(tree("mail_plugins = acl\nacl_user = %{user}\n", "2.4"), "2.4"), undefined);
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
