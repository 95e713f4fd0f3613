import { strict as assert } from "node:assert";
import {
  type ParameterEdit,
  applyParameters,
  parameter,
  stripParameters,
} from "../../provider/src/postfix/parameters.js";
import { processorMs } from "../support/processor.js";

const server = "203.0.113.20/32";
const last: ParameterEdit = { parameter: "mynetworks", add: [server], at: "last" };
const first: ParameterEdit = { ...last, at: "first" };
const seeded: ParameterEdit = { ...last, seed: "127.0.0.0/8 [::1]/128" };
const relay: ParameterEdit = { parameter: "relayhost", set: "[192.0.2.1]:25" };

/** The text as edited, and that it comes back. */
function edited(text: string, ...edits: ParameterEdit[]): string {
  const done = applyParameters(text, edits);
  assert.equal(stripParameters(done.text, done.applied), text);
  return done.text;
}

/** What is left when others have changed the edited text. */
function stripped(text: string, edits: ParameterEdit[], change: (edited: string) => string): string {
  const done = applyParameters(text, edits);
  const changed = change(done.text);
  assert.notEqual(changed, done.text);
  return stripParameters(changed, done.applied);
}

describe("main.cf: where an element is written", () => {
  const cases: [name: string, text: string, edit: ParameterEdit, expected: string][] = [
    ["behind the last element", "mynetworks = a, b\n", last, `mynetworks = a, b ${server}\n`],
    ["before the first", "mynetworks = a, b\n", first, `mynetworks = ${server} a, b\n`],
    ["behind a trailing comma", "mynetworks = a,\n", last, `mynetworks = a, ${server}\n`],
    ["before trailing blanks", "mynetworks = a \t\n", last, `mynetworks = a ${server} \t\n`],
    ["without blanks around =", "mynetworks=a\n", last, `mynetworks=a ${server}\n`],
    ["an empty value", "mynetworks =\n", last, `mynetworks = ${server}\n`],
    ["an empty value, first", "mynetworks=  \n", first, `mynetworks= ${server}  \n`],
    ["tabs", "mynetworks\t=\ta\tb\n", last, `mynetworks\t=\ta\tb ${server}\n`],
    ["CRLF line ends", "mynetworks = a\r\nx = y\r\n", last, `mynetworks = a ${server}\r\nx = y\r\n`],
    [
      "on the last continuation line",
      "mynetworks = a\n  b  \nx = y\n",
      last,
      `mynetworks = a\n  b ${server}  \nx = y\n`,
    ],
    ["a value that begins on a continuation line", "mynetworks =\n  a\n", first, `mynetworks =\n  ${server} a\n`],
    [
      "comments and blank lines between continuation lines",
      "mynetworks = a\n# c\n\n  # d\n  b\n# e\nx = y\n",
      last,
      `mynetworks = a\n# c\n\n  # d\n  b ${server}\n# e\nx = y\n`,
    ],
    [
      "the last of two definitions",
      "mynetworks = a\nmynetworks = b\n",
      last,
      `mynetworks = a\nmynetworks = b ${server}\n`,
    ],
    ["before a # word, where Postfix ends the list", "mynetworks = a # b\n", last, `mynetworks = a ${server} # b\n`],
    ["before a # word that is the first", "mynetworks = # b\n", last, `mynetworks = ${server} # b\n`],
    ["# inside a word is nothing special", "mynetworks = a#b\n", last, `mynetworks = a#b ${server}\n`],
    ["before a brace that is never closed", "mynetworks = a { b\n", last, `mynetworks = a ${server} { b\n`],
    [
      "before a NUL byte, where Postfix ends the line",
      "mynetworks = a\0b\n c\n",
      last,
      `mynetworks = a ${server}\0b\n c\n`,
    ],
    ["bytes that are no UTF-8", "mynetworks = \xe9\xa0\n", last, `mynetworks = \xe9\xa0 ${server}\n`],
    ["$name and ${...} stay", "mynetworks = $x ${y?{a b}:{c}}\n", last, `mynetworks = $x \${y?{a b}:{c}} ${server}\n`],
    [
      "not in a parameter that only begins so",
      "mynetworks_style = host\n",
      last,
      `mynetworks_style = host\nmynetworks = ${server}\n`,
    ],
    ["not in a commented line", "#mynetworks = a\n", last, `#mynetworks = a\nmynetworks = ${server}\n`],
    ["a new line has the seed", "x = y\n", seeded, `x = y\nmynetworks = 127.0.0.0/8 [::1]/128 ${server}\n`],
    ["the seed is not used where the value is empty", "mynetworks =\n", seeded, `mynetworks = ${server}\n`],
    [
      "behind an unterminated last line that is a comment",
      "x = y\n# end",
      last,
      `x = y\n# end\nmynetworks = ${server}`,
    ],
    ["in an unterminated last line", "mynetworks = a", last, `mynetworks = a ${server}`],
    ["an empty file", "", last, `mynetworks = ${server}\n`],
    ["a new line among CRLF lines", "x = y\r\n", last, `x = y\r\nmynetworks = ${server}\r\n`],
    [
      "an indented first line continues nothing and defines nothing",
      "  mynetworks = a\n  b\nx = y\n",
      last,
      `  mynetworks = a\n  b\nx = y\nmynetworks = ${server}\n`,
    ],
    [
      "an indented line behind a comment at the top defines nothing, either",
      "# c\n mynetworks = a\n",
      last,
      `# c\n mynetworks = a\nmynetworks = ${server}\n`,
    ],
  ];
  for (const [name, text, edit, expected] of cases) {
    it(name, () => {
      assert.equal(edited(text, edit), expected);
    });
  }

  it("several elements keep their order on both sides", () => {
    const both = { parameter: "x", add: ["a", "b c"] };
    assert.equal(edited("x = d\n", { ...both, at: "last" }), "x = d a b c\n");
    assert.equal(edited("x = d\n", { ...both, at: "first" }), "x = a b c d\n");
    assert.equal(edited("", { ...both, at: "first", seed: "d" }), "x = a b c d\n");
  });

  it("what is there already is no edit, also in the seed, in other blanks and as several words", () => {
    const edit: ParameterEdit = { parameter: "x", add: ["check_client_access cidr:{ {a OK}, {b OK} }"], at: "first" };
    for (const text of [
      "x = check_client_access,\n  cidr:{ {a OK},\n  {b OK} } permit\n",
      "x = a check_client_access\tcidr:{ {a OK}, {b OK} }",
    ]) {
      assert.deepEqual(applyParameters(text, [edit]), { text, applied: [] });
    }
    assert.deepEqual(applyParameters("", [{ ...last, seed: server }]), { text: "", applied: [] });
    assert.notEqual(
      applyParameters("x = check_client_access hash:b cidr:{ {a OK}, {b OK} }\n", [edit]).applied.length,
      0,
    );
  });

  it("two contributors' same element is written and recorded once", () => {
    const done = applyParameters("mynetworks = a\n", [last, first]);
    assert.equal(done.text, `mynetworks = a ${server}\n`);
    assert.equal(done.applied.length, 1);
  });

  it("the record is plain JSON", () => {
    const { applied } = applyParameters("relayhost = old\n", [seeded, relay]);
    assert.deepEqual(JSON.parse(JSON.stringify(applied)), applied);
  });

  it("a megabyte of comments and a list of 20000 elements take no time", () => {
    const text =
      "# comment\n".repeat(100_000) + `mynetworks =${"\n  192.0.2.1".repeat(20_000)}\n` + " {".repeat(20_000);
    const cost = processorMs(() => {
      edited(text, last, relay);
    });
    assert.ok(cost < 2000, `${cost} ms`);
  });

  it("refuses what could not be read back", () => {
    for (const element of ["", "a\nb", "#a", "{ a", "a } b", " a", "a,", "a\0", "\u20ac"]) {
      assert.throws(() => applyParameters("", [{ parameter: "x", add: [element], at: "last" }]), RangeError, element);
    }
    assert.throws(() => applyParameters("", [{ parameter: "x", set: "a\nb = c" }]), RangeError);
    assert.throws(() => applyParameters("", [{ parameter: "x y", set: "a" }]), RangeError);
  });
});

describe("main.cf: a scalar", () => {
  const cases: [name: string, text: string, expected: string][] = [
    ["replaces the value's bytes alone", "relayhost =\t[old]:25 \nx = y\n", "relayhost =\t[192.0.2.1]:25 \nx = y\n"],
    ["fills an empty value", "relayhost =\n", "relayhost = [192.0.2.1]:25\n"],
    ["fills one that has only blanks", "relayhost=  \n", "relayhost= [192.0.2.1]:25  \n"],
    [
      "replaces a value on continuation lines",
      "relayhost =\n# c\n  old\nx = y\n",
      "relayhost = [192.0.2.1]:25\nx = y\n",
    ],
    ["is added where it is not set", "# end", "# end\nrelayhost = [192.0.2.1]:25"],
    ["changes the last definition", "relayhost = a\nrelayhost = b\n", "relayhost = a\nrelayhost = [192.0.2.1]:25\n"],
    ["is left alone where it is so", "relayhost = [192.0.2.1]:25\n", "relayhost = [192.0.2.1]:25\n"],
  ];
  for (const [name, text, expected] of cases) {
    it(name, () => {
      assert.equal(edited(text, relay), expected);
    });
  }

  it("can be emptied and comes back", () => {
    assert.equal(edited("relayhost =\n  old  \n", { parameter: "relayhost", set: "" }), "relayhost =  \n");
  });

  it("that others have changed since stays theirs", () => {
    const change = (text: string): string => text.replace("[192.0.2.1]:25", "theirs");
    assert.equal(stripped("relayhost = old\n", [relay], change), "relayhost = theirs\n");
    assert.equal(stripped("", [relay], change), "relayhost = theirs\n");
  });

  it("that others have overridden further down is given back, and theirs stays the last", () => {
    const append = (text: string): string => `${text}relayhost = [192.0.2.1]:25\n`;
    assert.equal(stripped("relayhost = old\n", [relay], append), "relayhost = old\nrelayhost = [192.0.2.1]:25\n");
  });

  it("an earlier line of theirs with the same value is not taken for ours when ours is gone", () => {
    const text = "relayhost = [192.0.2.1]:25\nrelayhost = old\n";
    const removed = stripped(text, [relay], (all) => all.replace(/relayhost = .*\n$/, ""));
    assert.equal(removed, "relayhost = [192.0.2.1]:25\n");
  });
});

describe("main.cf: others have edited it since", () => {
  const cases: [name: string, text: string, edit: ParameterEdit, change: (text: string) => string, expected: string][] =
    [
      [
        "a word behind ours",
        "mynetworks = a\n",
        last,
        (text) => text.replace(server, `${server} b`),
        "mynetworks = a b\n",
      ],
      [
        "a word before ours",
        "mynetworks = a\n",
        last,
        (text) => text.replace(server, `b ${server}`),
        "mynetworks = a b\n",
      ],
      ["commas put in", "mynetworks = a\n", last, () => `mynetworks = a, ${server}, b\n`, "mynetworks = a, b\n"],
      ["commas without blanks", "mynetworks = a\n", last, () => `mynetworks = a,${server},b\n`, "mynetworks = a,b\n"],
      ["ours moved to the front", "mynetworks = a\n", last, () => `mynetworks = ${server}, a\n`, "mynetworks = a\n"],
      [
        "a comma behind ours at the front",
        "mynetworks = a\n",
        first,
        () => `mynetworks = ${server}, a\n`,
        "mynetworks = a\n",
      ],
      [
        "ours on a line of its own",
        "mynetworks = a\n",
        last,
        () => `mynetworks = a\n  ${server}\n  b\n`,
        "mynetworks = a\n  b\n",
      ],
      [
        "ours first on a continuation line",
        "mynetworks = a\n",
        last,
        () => `mynetworks = a\n ${server},b\n`,
        "mynetworks = a\n b\n",
      ],
      [
        "a comment behind our line",
        "mynetworks = a\n",
        last,
        () => `mynetworks = a\n  ${server}\n# why\n  b\n`,
        "mynetworks = a\n# why\n  b\n",
      ],
      ["ours removed by hand", "mynetworks = a\n", last, () => "mynetworks = a\n", "mynetworks = a\n"],
      [
        "ours commented out",
        "mynetworks = a\n",
        last,
        () => `mynetworks = a\n#  ${server}\n`,
        `mynetworks = a\n#  ${server}\n`,
      ],
      [
        "ours behind a # of theirs",
        "mynetworks = a\n",
        last,
        () => `mynetworks = a # b ${server}\n`,
        "mynetworks = a # b\n",
      ],
      [
        "the definition moved",
        "mynetworks = a\nx = y\n",
        last,
        () => `x = y\nmynetworks = a ${server}\n`,
        "x = y\nmynetworks = a\n",
      ],
      ["a final newline added to our line", "# end", last, (text) => `${text}\n`, "# end\n"],
      ["lines added behind our line", "# end", last, (text) => `${text}\nx = y\n`, "# end\nx = y\n"],
      [
        "our line extended",
        "x = y\n",
        seeded,
        (text) => text.replace(server, `${server} b`),
        "x = y\nmynetworks = 127.0.0.0/8 [::1]/128 b\n",
      ],
      ["our line continued", "", seeded, (text) => `${text}  b\n`, "mynetworks = 127.0.0.0/8 [::1]/128\n  b\n"],
      [
        "our line reflowed",
        "x = y\n",
        seeded,
        () => `x = y\nmynetworks = 127.0.0.0/8,\n  [::1]/128,\n  ${server}\n`,
        "x = y\n",
      ],
      [
        "our line reflowed around a comment",
        "",
        seeded,
        () => `mynetworks = 127.0.0.0/8 [::1]/128\n# new server\n  ${server}\n`,
        "# new server\n",
      ],
      ["ours removed from our line", "x = y\n", seeded, (text) => text.replace(` ${server}`, ""), "x = y\n"],
      ["our line removed", "x = y\n", seeded, () => "x = y\n", "x = y\n"],
      [
        "a definition of theirs above ours",
        "",
        seeded,
        (text) => `mynetworks = ${server}\n${text}`,
        `mynetworks = ${server}\n`,
      ],
      [
        "a definition of theirs below ours",
        "",
        seeded,
        (text) => `${text}mynetworks = b ${server}\n`,
        `mynetworks = b ${server}\n`,
      ],
    ];
  for (const [name, text, edit, change, expected] of cases) {
    it(name, () => {
      const done = applyParameters(text, [edit]);
      assert.equal(stripParameters(change(done.text), done.applied), expected);
    });
  }
});

describe("main.cf: reading", () => {
  it("the last definition wins, and its line number is the first physical line's", () => {
    assert.deepEqual(parameter("x = a\n\n# c\nx =\n  b\n# d\n\tc\r\ny = z\n", "x"), { value: "b c", line: 4 });
  });

  it("a parameter that is not set is told from an empty one", () => {
    assert.equal(parameter("xy = a\n#x = b\n x = c\n", "x"), undefined);
    assert.deepEqual(parameter("x =\n", "x"), { value: "", line: 1 });
  });

  it("text behind a NUL byte does not count", () => {
    assert.deepEqual(parameter("x = a\0b\n  c\n", "x"), { value: "a", line: 1 });
    assert.equal(parameter("x\0 = a\n", "x"), undefined);
  });
});
