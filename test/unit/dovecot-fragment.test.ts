import { strict as assert } from "node:assert";
import {
  fragmentConflict,
  fragmentHeader,
  renderFragment,
  stripFragment,
  type FragmentEdit,
} from "../../provider/src/dovecot/fragment.js";
import { addInclude, includeMarker, stripInclude } from "../../provider/src/dovecot/include-line.js";

const path = "/etc/dovecot/99-zz-ours.conf";
const file = "/etc/dovecot/pulumi-dovecot-postfix.master";
const trust: FragmentEdit = { trust: "203.0.113.10/32" };
const master: FragmentEdit = { master: { resultSuccess: "continue", file } };

describe("the include line", () => {
  it("goes in with its marker and comes out without a byte of the rest changing", () => {
    for (const text of ["", "a = b", "a = b\n", "a = b\r\n", "a = b \\", "\xe9\0\n\n", "# end"]) {
      const { text: added, applied } = addInclude(text, path);
      assert.match(added, /\n?# pulumi-dovecot-postfix: .*\r?\n!include_try \/etc\/dovecot\/99-zz-ours\.conf\r?\n$/);
      assert.equal(stripInclude(added, applied), text);
    }
  });

  it("stands once, and leaves what others wrote after it", () => {
    const { text, applied } = addInclude("a = b", path);
    assert.equal(addInclude(text, path).text, text);
    assert.equal(stripInclude(`${text}c = d\n`, applied), "a = b\nc = d\n");
  });

  it("may be gone by hand, whole or in part", () => {
    const { text, applied } = addInclude("a = b\n", path);
    assert.equal(stripInclude(text.replace(`${includeMarker}\n`, ""), applied), "a = b\n");
    assert.equal(stripInclude(text.replace(/!include.*\n/, ""), applied), "a = b\n");
    assert.equal(stripInclude("a = b\n", applied), "a = b\n");
    assert.equal(stripInclude(text.trimEnd(), applied), "a = b\n");
  });
});

describe("the fragment", () => {
  it("is the same for the same edits, whoever wants them and in whatever order", () => {
    const edits: FragmentEdit[] = [{ trust: "2001:db8::1/128" }, trust, { separator: "%" }, master, trust];
    const text = renderFragment(edits, "2.3");
    assert.equal(text, renderFragment([...edits].reverse(), "2.3"));
    assert.deepEqual(text.split("\n"), [
      ...fragmentHeader,
      "auth_master_user_separator = %",
      "passdb {",
      "  driver = passwd-file",
      "  master = yes",
      `  args = username_format=%u ${file}.%s`,
      "  result_success = continue",
      "}",
      "remote 2001:db8::1/128 {",
      "  login_trusted_networks = 2001:db8::1/128",
      "}",
      "remote 203.0.113.10/32 {",
      "  login_trusted_networks = 203.0.113.10/32",
      "}",
      "",
    ]);
    assert.equal(renderFragment([], "2.4"), "");
  });

  it("names its passdb in 2.4, where one without a name would be refused and one of a common name merge", () => {
    assert.deepEqual(renderFragment([master], "2.4").split("\n").slice(fragmentHeader.length), [
      "passdb pulumi_dovecot_postfix {",
      "  driver = passwd-file",
      "  master = yes",
      `  passwd_file_path = ${file}.%{protocol}`,
      "  result_success = continue",
      "}",
      "",
    ]);
  });

  it("refuses what contradicts itself or would be more than a value", () => {
    const other: FragmentEdit = { master: { resultSuccess: "return-ok", file } };
    assert.deepEqual(fragmentConflict([master, other]), {
      setting: "result_success",
      values: ["continue", "return-ok"],
    });
    assert.deepEqual(fragmentConflict([{ separator: "%" }, { separator: "*" }])?.values, ["%", "*"]);
    assert.equal(fragmentConflict([master, master, trust]), undefined);
    for (const edit of [
      { trust: "0.0.0.0/0 {\nssl = no" },
      { trust: "$x" },
      { separator: "\n" },
      { separator: "#" },
      { separator: "%%" },
      { master: { resultSuccess: "continue", file: "/etc/x\nssl = no" } },
      { master: { resultSuccess: "continue", file: "/etc/%u" } },
    ] satisfies FragmentEdit[]) {
      assert.throws(() => renderFragment([edit], "2.3"), RangeError, JSON.stringify(edit));
    }
    assert.throws(() => renderFragment([master, other], "2.3"), RangeError);
  });

  for (const dialect of ["2.3", "2.4"] as const) {
    it(`comes out whole, and leaves what others wrote into it (${dialect})`, () => {
      const edits: FragmentEdit[] = [trust, { separator: "%" }, master];
      const text = renderFragment(edits, dialect);
      assert.equal(stripFragment(text, edits, dialect), "");
      assert.equal(stripFragment(text.trimEnd(), edits, dialect), "");
      assert.equal(stripFragment(text.replaceAll("\n", "\r\n"), edits, dialect), "");
      assert.equal(stripFragment(`ssl = no\n${text}# end`, edits, dialect), "ssl = no\n# end");
      assert.equal(stripFragment("", edits, dialect), "");
    });

    it(`leaves another's settings in our remote block, but no half of our passdb (${dialect})`, () => {
      const greeting = "  login_greeting = Hello\n";
      const text = renderFragment([trust, master], dialect)
        .replace(/(login_trusted_networks.*\n)/, `$1${greeting}`)
        .replace(/ {2}master = yes\n/, "  master = yes\n  deny = no\n");
      assert.equal(stripFragment(text, [trust, master], dialect), `remote 203.0.113.10/32 {\n${greeting}}\n`);
      const theirs = "passdb {\n  driver = passwd-file\n  args = /etc/other\n}\n";
      assert.equal(stripFragment(theirs, [master], dialect), theirs);
    });
  }
});
