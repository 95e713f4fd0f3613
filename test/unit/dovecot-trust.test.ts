import { strict as assert } from "node:assert";
import type { Dialect } from "../../provider/src/dovecot/dialect.js";
import { effective } from "../../provider/src/dovecot/filters.js";
import { allTrusted, outranked, trusted } from "../../provider/src/dovecot/trust.js";
import { readTree, type Tree } from "../../provider/src/dovecot/tree.js";
import { operatorBlocks } from "../support/dovecot-blocks.js";

const proxy = "203.0.113.10/32";
const host = "192.0.2.25";

function withOurs(before: string, after: string, dialect: Dialect, network = proxy): Tree {
  const ours = `remote ${network} {\n  login_trusted_networks = ${network}\n}\n`;
  return readTree(
    "/root",
    new Map(Object.entries({ "/root": `${before}!include /ours\n${after}`, "/ours": ours })),
    dialect,
  );
}

describe("a list of trusted networks", () => {
  it("covers what lies in one of its members, however it is written", () => {
    const yes: [string, string][] = [
      ["203.0.113.10", proxy],
      ["10.0.0.0/8, 203.0.113.0/24", proxy],
      ["203.0.113.77/24", proxy],
      ["2001:DB8:0::/32", "2001:db8::1/128"],
      ["192.0.2.1 = no\n203.0.113.10/32 = yes", proxy],
      ["10.0.0.0/8", "10.1.0.0/16"],
    ];
    for (const [value, network] of yes) assert.equal(trusted(value, network), true, value);
  });

  it("covers nothing else, and nothing after a word that is no network: Dovecot stops there", () => {
    for (const value of [
      "",
      "203.0.113.11",
      "203.0.113.10/33",
      "proxy.example 203.0.113.10",
      "203.0.113.10/32 = no",
      "::/0",
    ]) {
      assert.equal(trusted(value, proxy), false, value);
    }
    assert.equal(trusted("10.1.0.0/16", "10.0.0.0/8"), false);
  });
});

describe("an operator's block beside ours", () => {
  for (const { title, before = "", after = "", verdict } of operatorBlocks) {
    for (const dialect of ["2.3", "2.4"] as const) {
      const expected = verdict[dialect];
      if (expected === undefined) continue;
      it(`${title}: ${expected} (${dialect})`, () => {
        const text = (template: string): string =>
          template.replaceAll("PROXY", "203.0.113.10").replaceAll("NET", "203.0.113.0").replaceAll("HOST", host);
        const tree = withOurs(text(before), text(after), dialect);
        const found = outranked(tree, dialect, [proxy], "/ours", [host]);
        assert.deepEqual([...new Set(found.map(({ kind }) => kind))], expected === "trusted" ? [] : [expected]);
        for (const { file, line, network } of found)
          assert.deepEqual([file, network, line > 0], ["/root", proxy, true]);
      });
    }
  }

  it("is in the way where it names a host: for which connections it is, only Dovecot knows", () => {
    const block = "local mail.example.com {\n  login_trusted_networks = 198.51.100.1\n}\n";
    const kinds = (before: string, after: string, dialect: Dialect) =>
      outranked(withOurs(before, after, dialect), dialect, [proxy], "/ours", [host]).map(({ kind }) => kind);
    assert.deepEqual(kinds(block, "", "2.3"), ["named"]);
    assert.deepEqual(kinds("", block, "2.3"), ["named"]);
    assert.deepEqual(kinds(block, "", "2.4"), []);
    assert.deepEqual(kinds("", block, "2.4"), ["named"]);
    const global = `login_trusted_networks = ${proxy}\n`;
    for (const dialect of ["2.3", "2.4"] as const) {
      const trusts = (text: string) =>
        allTrusted(readTree("/root", new Map([["/root", text]]), dialect), dialect, proxy, []);
      assert.deepEqual(
        [trusts(global), trusts(global + block), trusts(global + block.replace("198.51.100.1", proxy))],
        [true, false, true],
      );
    }
  });

  it("is named with its place and the line that cures it", () => {
    const after = "remote 203.0.113.0/24 {\n  protocol imap {\n    login_trusted_networks = 10.0.0.1\n  }\n}\n";
    const [found] = outranked(withOurs("", after, "2.4"), "2.4", [proxy], "/ours", []);
    assert.equal(found?.block, "remote 203.0.113.0/24 { protocol imap }");
    assert.equal(found.line, 4);
    assert.match(found.fix, /\/root:4: login_trusted_networks = 10\.0\.0\.1 203\.0\.113\.10\/32$/);
  });

  it("no longer stands in the way once its fix is written", () => {
    const blocks = (value: string): string => `remote 203.0.113.0/24 {\n login_trusted_networks = ${value}\n}\n`;
    assert.equal(outranked(withOurs("", blocks("10.0.0.1"), "2.4"), "2.4", [proxy], "/ours", []).length, 1);
    assert.deepEqual(outranked(withOurs("", blocks(`10.0.0.1 ${proxy}`), "2.4"), "2.4", [proxy], "/ours", []), []);
  });

  it("for a part of our network is found too", () => {
    const tree = withOurs("remote 203.0.113.9 {\n login_trusted_networks = 10.0.0.1\n}\n", "", "2.3", "203.0.113.0/24");
    assert.equal(outranked(tree, "2.3", ["203.0.113.0/24"], "/ours", [])[0]?.line, 2);
  });

  it("that conflicts with another of theirs already is not blamed on us", () => {
    const theirs = `local ${host} {\n login_greeting = a\n}\nremote 203.0.113.10 {\n login_greeting = b\n}\n`;
    assert.deepEqual(outranked(withOurs(theirs, "", "2.3"), "2.3", [proxy], "/ours", [host]), []);
  });
});

describe("trust that is there already", () => {
  const all = (text: string, dialect: Dialect): boolean =>
    allTrusted(readTree("/r", new Map([["/r", text]]), dialect), dialect, proxy, [host]);

  it("holds for every protocol and address, or it does not hold", () => {
    for (const dialect of ["2.3", "2.4"] as const) {
      assert.equal(all("login_trusted_networks = 203.0.113.0/24\n", dialect), true);
      assert.equal(all("", dialect), false);
      assert.equal(all("protocol imap {\n login_trusted_networks = 203.0.113.0/24\n}\n", dialect), false);
      const local = `local ${host} {\n login_trusted_networks = 10.0.0.1\n}\n`;
      assert.equal(all(`login_trusted_networks = 203.0.113.0/24\n${local}`, dialect), false);
    }
  });
});

describe("an effective value", () => {
  it("expands what it appends to", () => {
    const text = "a = 1\nremote 10.0.0.0/8 {\n a = $a 2\n}\nremote 10.0.0.1 {\n a = $a 3\n a = $a 4\n}\n";
    const tree = readTree("/r", new Map([["/r", text]]), "2.3");
    assert.equal(effective(tree, "2.3", "a", { remote: "10.0.0.1" }).value, "1 3 4");
    assert.equal(effective(tree, "2.3", "a", { remote: "10.0.0.2" }).value, "1 2");
    assert.equal(effective(tree, "2.3", "a").value, "1");
    assert.deepEqual(effective(tree, "2.3", "b"), { value: undefined, from: [] });
  });
});
