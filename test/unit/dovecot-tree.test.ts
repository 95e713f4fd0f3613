import { strict as assert } from "node:assert";
import { dialect } from "../../provider/src/dovecot/dialect.js";
import { globMatches } from "../../provider/src/dovecot/glob.js";
import { fragmentSlot } from "../../provider/src/dovecot/slot.js";
import { includeMarker } from "../../provider/src/dovecot/include-line.js";
import { blockText, readTree, withoutFile, type Tree } from "../../provider/src/dovecot/tree.js";

const root = "/etc/dovecot/dovecot.conf";

function tree(text: string, others: Record<string, string> = {}, language: "2.3" | "2.4" = "2.3"): Tree {
  return readTree(root, new Map(Object.entries({ [root]: text, ...others })), language);
}

function lines(read: Tree): string[] {
  return read.settings.map(({ name, value, file, line, blocks }) => {
    const place = file === root ? line : `${file}:${line}`;
    return `${place} ${[blockText(blocks), name].filter(Boolean).join(" > ")} = ${value}`;
  });
}

describe("Dovecot's dialect", () => {
  it("is told by the version, and only 2.3 and 2.4 are known", () => {
    const versions = [
      "2.3.19.1 (9b53102964)",
      "2.4.1-4 (7d8c0e5759)",
      "2.3.4",
      "2.2.36",
      "2.5.0",
      "3.0.0",
      "2.30.1",
      "",
    ];
    assert.deepEqual(versions.map(dialect), [
      "2.3",
      "2.4",
      "2.3",
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe("a Dovecot configuration", () => {
  it("is read with its file, line and blocks", () => {
    const read = tree(
      'ssl = required\n\nremote 10.0.0.0/8 {\n  protocol imap {\n    ssl = no # here\n  }\n}\nprotocol "lmtp" {\na=b\n}\n',
    );
    assert.deepEqual(lines(read), [
      "1 ssl = required",
      "5 remote 10.0.0.0/8 { protocol imap } > ssl = no",
      "9 protocol lmtp > a = b",
    ]);
  });

  it("keeps values as they are written, without their quotes", () => {
    const read = tree('a = "x # \\"y\\""\nb = </etc/key\nc = $c more\nd = \'q\'\ne=\nf = "open\n');
    assert.deepEqual(
      read.settings.map(({ value }) => value),
      ['x # "y"', "</etc/key", "$c more", "q", "", '"open'],
    );
  });

  it("joins continued lines under the number of the first, and loses them to a comment as Dovecot does", () => {
    assert.deepEqual(lines(tree("a = 1 \\\n  2 \\ # more\n3\nb = 1 \\\n# gone\n2\nc = 3 \\")), ["1 a = 1 2 3"]);
  });

  it("reads byte 0xA0, CRLF and what follows a NUL as Dovecot does", () => {
    const read = tree("mailbox \xc3\xa0\xa0 {\r\n  auto = yes\r\n}\r\na = 1\0 2\n");
    assert.deepEqual(lines(read), ["2 mailbox \xc3\xa0\xa0 > auto = yes", "4 a = 1"]);
  });

  it("follows includes relative to the file, sorted, within blocks, and never in a circle", () => {
    const read = tree("!include conf.d/*.conf\nremote 10.0.0.1 {\n!include inner\n}\n!include_try missing\nz = 1\n", {
      "/etc/dovecot/conf.d/20-b.conf": "b = 1\n!include ../dovecot.conf\n",
      "/etc/dovecot/conf.d/10-a.conf": "!include a.ext\na = 1\n",
      "/etc/dovecot/conf.d/a.ext": "!include a.ext\next = 1\n",
      "/etc/dovecot/conf.d/.hidden.conf": "hidden = 1\n",
      "/etc/dovecot/inner": "inner = 1\n",
    });
    assert.deepEqual(lines(read), [
      "/etc/dovecot/conf.d/a.ext:2 ext = 1",
      "/etc/dovecot/conf.d/10-a.conf:2 a = 1",
      "/etc/dovecot/conf.d/20-b.conf:1 b = 1",
      "/etc/dovecot/inner:1 remote 10.0.0.1 > inner = 1",
      "6 z = 1",
    ]);
    const missing = read.includes.find(({ pattern }) => pattern === "/etc/dovecot/missing");
    assert.deepEqual([missing?.optional, missing?.files], [true, []]);
  });

  it("leaves out one file on request", () => {
    const read = tree("!include a\nb = 1\n", { "/etc/dovecot/a": "remote 10.0.0.1 {\nx = 1\n}\n" });
    const without = withoutFile(read, "/etc/dovecot/a");
    assert.deepEqual([lines(without), without.openings], [["2 b = 1"], []]);
  });

  it("reads the blocks of 2.4: quoted keys, groups, lists", () => {
    const read = tree('group @g one {\n x = 1\n}\nlogin_trusted_networks {\n "10.0.0.1/32" = yes\n}\n', {}, "2.4");
    assert.deepEqual(lines(read), ["2 group @g one > x = 1", "5 login_trusted_networks > 10.0.0.1/32 = yes"]);
  });
});

describe("an include's pattern", () => {
  it("finds what glob(3) finds", () => {
    const paths = ["/a/.x.conf", "/a/1.conf", "/a/2.conf", "/a/b/3.conf", "/a/[.conf", "/a/x*y"].sort();
    const found = (pattern: string): string[] => globMatches(pattern, paths);
    assert.deepEqual(found("/a/*.conf"), ["/a/1.conf", "/a/2.conf", "/a/[.conf"]);
    assert.deepEqual(found("/a/{2,1}.conf"), ["/a/2.conf", "/a/1.conf"]);
    assert.deepEqual(found("/a/[!1].conf"), ["/a/2.conf", "/a/[.conf"]);
    assert.deepEqual(found("/a/?.conf"), ["/a/1.conf", "/a/2.conf", "/a/[.conf"]);
    assert.deepEqual(found("/a/[.conf"), ["/a/[.conf"]);
    assert.deepEqual(found("/a/x\\*y"), ["/a/x*y"]);
    assert.deepEqual(found("/*/*/[1-9].conf"), ["/a/b/3.conf"]);
  });
});

describe("the place of our fragment", () => {
  const name = "99-zz-ours.conf";
  const stock = { "/etc/dovecot/conf.d/10-auth.conf": "", "/usr/share/dovecot/protocols.d/imapd.protocol": "" };

  it("is the last glob on the top level that would find it", () => {
    const debian = tree(
      "!include_try /usr/share/dovecot/protocols.d/*.protocol\n!include conf.d/*.conf\n!include_try local.conf\n",
      stock,
    );
    assert.deepEqual(fragmentSlot(debian, name), { kind: "glob", path: `/etc/dovecot/conf.d/${name}` });
    const nested = tree("!include conf.d/*.conf\n", {
      "/etc/dovecot/conf.d/10-auth.conf": "!include_try /etc/dovecot/iredmail/*.conf\n",
      "/etc/dovecot/iredmail/a.conf": "",
    });
    assert.deepEqual(fragmentSlot(nested, name), { kind: "glob", path: `/etc/dovecot/iredmail/${name}` });
  });

  it("is a line of its own where no glob finds it", () => {
    const own = { kind: "include-line", file: root, path: `/etc/dovecot/${name}` };
    for (const text of [
      "ssl = no\n",
      "!include_try /usr/share/dovecot/*.conf\n",
      "remote 10.0.0.1 {\n!include conf.d/*.conf\n}\n",
      "!include conf.d/*-auth.conf\n",
      "!include_try empty.d/*.conf\n",
      `${includeMarker}\n!include_try /etc/dovecot/${name}\n`,
    ]) {
      const read = tree(text, { ...stock, "/usr/share/dovecot/x.conf": "", [`/etc/dovecot/${name}`]: "" });
      assert.deepEqual(fragmentSlot(read, name), own, text);
    }
  });

  it("may be an empty directory that is known to exist", () => {
    const read = tree("!include_try empty.d/*.conf\n");
    const slot = fragmentSlot(read, name, new Set(["/etc/dovecot/empty.d"]));
    assert.deepEqual(slot, { kind: "glob", path: `/etc/dovecot/empty.d/${name}` });
  });
});
