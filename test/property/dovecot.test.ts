import { strict as assert } from "node:assert";
import fc from "fast-check";
import { renderFragment, stripFragment, type FragmentEdit } from "../../provider/src/dovecot/fragment.js";
import { addInclude, stripInclude } from "../../provider/src/dovecot/include-line.js";
import { fragmentSlot } from "../../provider/src/dovecot/slot.js";
import { outranked } from "../../provider/src/dovecot/trust.js";
import { readTree } from "../../provider/src/dovecot/tree.js";

const numRuns = Number(process.env["FC_RUNS"] ?? "1000");

function holds<T extends [unknown, ...unknown[]]>(property: fc.IPropertyWithHooks<T>): void {
  fc.assert(property, { numRuns });
}

const path = "/etc/dovecot/99-zz-ours.conf";
const dialect = fc.constantFrom("2.3" as const, "2.4" as const);
const byte = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
const statement = fc.constantFrom(
  ..."a = b|# note|}|remote 203.0.113.0/24 {|protocol imap {|passdb {|x {|!include conf.d/*.conf|!include_try {a,b}[z-a].conf".split(
    "|",
  ),
  ..."login_trusted_networks = 10.0.0.1|login_trusted_networks {|10.0.0.1 = yes|a = \\|\"|a = 'b # c|remote x/99 {|local ::1 {".split(
    "|",
  ),
);
const line = fc.tuple(
  fc.oneof(
    { weight: 4, arbitrary: statement },
    fc.string({ unit: byte }).map((text) => text.replaceAll("\n", "")),
  ),
  fc.constantFrom("\n", "\n", "\n", "\r\n"),
);
const wholeLines = fc.array(line, { maxLength: 12 }).map((lines) => lines.map((parts) => parts.join("")).join(""));
const anyText = fc
  .tuple(wholeLines, fc.constantFrom("", "# end", "a = b \\", "\r", "}"))
  .map((parts) => parts.join(""));

const network = fc.constantFrom("203.0.113.10/32", "203.0.113.11/32", "10.1.0.0/24", "2001:db8::/64");
const trust = network.map((one): FragmentEdit => ({ trust: one }));
const separator = fc.constant<FragmentEdit>({ separator: "%" });
const master = fc.constant<FragmentEdit>({ master: { resultSuccess: "continue", file: "/etc/dovecot/ours.master" } });
const edits = fc.array(fc.oneof(trust, trust, separator, master), { minLength: 1, maxLength: 6 });

describe("our include line, for any text", () => {
  it("goes in and out without a trace", () => {
    holds(
      fc.property(anyText, (text) => {
        const { text: added, applied } = addInclude(text, path);
        assert.ok(added.startsWith(text));
        assert.equal(stripInclude(added, applied), text);
      }),
    );
  });

  it("comes out from between other people's edits", () => {
    holds(
      fc.property(anyText, wholeLines, wholeLines, (text, before, after) => {
        const { text: added, applied } = addInclude(text, path);
        const kept = after === "" ? text : `${text}${applied.terminated ? "\n" : ""}`;
        assert.equal(stripInclude(`${before}${added}${after}`, applied), `${before}${kept}${after}`);
      }),
    );
  });
});

describe("our fragment, for any edits", () => {
  it("goes out whole", () => {
    holds(
      fc.property(edits, dialect, (wanted, language) => {
        assert.equal(stripFragment(renderFragment(wanted, language), wanted, language), "");
      }),
    );
  });

  it("leaves exactly what others wrote between its blocks", () => {
    const foreign = fc.constantFrom<string[]>(
      "ssl = required\n",
      "# theirs\r\n",
      "remote 192.0.2.1 {\n a = b\n}\n",
      "\xe9 = \xff\n",
    );
    holds(
      fc.property(
        edits,
        dialect,
        fc.array(foreign, { minLength: 1, maxLength: 4 }),
        fc.infiniteStream(fc.nat(40)),
        (wanted, language, theirs, places) => {
          const chunks = renderFragment(wanted, language).split(/(?<=\n)(?=[^ }])/);
          for (const text of theirs) {
            const place = places.next().value as number;
            chunks.splice(place % (chunks.length + 1), 0, text);
          }
          const left = chunks.filter((chunk) => theirs.includes(chunk)).join("");
          assert.equal(stripFragment(chunks.join(""), wanted, language), left);
        },
      ),
    );
  });

  it("loses one resource's edits without losing another's", () => {
    holds(
      fc.property(edits, edits, dialect, (mine, yours, language) => {
        const base = renderFragment(yours, language);
        const text = `${base}${renderFragment(mine, language)}`;
        const isShared = mine.some((one) => yours.some((other) => JSON.stringify(one) === JSON.stringify(other)));
        fc.pre(!isShared);
        const rest = stripFragment(text, mine, language);
        assert.equal(stripFragment(rest, yours, language), "");
        for (const edit of yours)
          assert.ok(rest.includes(renderFragment([edit], language).split("\n").slice(2).join("\n")));
      }),
    );
  });
});

describe("a Dovecot configuration, for any text", () => {
  it("is read without an error, and judged", () => {
    const files = fc.record({ root: anyText, conf: anyText, odd: anyText });
    holds(
      fc.property(files, dialect, ({ root, conf, odd }, language) => {
        const tree = readTree(
          "/etc/dovecot/dovecot.conf",
          new Map([
            ["/etc/dovecot/dovecot.conf", `${root}\n!include conf.d/*.conf\n`],
            ["/etc/dovecot/conf.d/10-a.conf", conf],
            ["/etc/dovecot/conf.d/[z-a].conf", odd],
          ]),
          language,
        );
        assert.match(fragmentSlot(tree, "99.conf").kind, /^(glob|include-line)$/);
        for (const one of outranked(tree, language, ["203.0.113.10/32"], "/none", ["192.0.2.1"])) {
          assert.ok(one.line > 0);
        }
        const places = [...tree.settings, ...tree.openings].map(({ at }) => at);
        assert.equal(new Set(places).size, places.length);
      }),
    );
  });
});
