// A plan in a terminal, in Markdown and as data: masked, harmless, the same for the same.
import { strict as assert } from "node:assert";
import { codeBlock, codeSpan, harmless, markdown, mermaid } from "../../provider/src/plan/harmless.js";
import { picture, planMarkdown } from "../../provider/src/plan/markdown.js";
import { partOf } from "../../provider/src/plan/part.js";
import { planSchema, type HostPlan, type Plan } from "../../provider/src/plan/schema.js";
import { ansi, planText, reloadText } from "../../provider/src/plan/text.js";

const hostile =
  'x\x1b[31m\u202e</details><script>`|``` @admin [l](http://evil) ~~~ "%%{init}%%" -->|y| www.evil <{%fg 1%}>';

const host: HostPlan = {
  host: "root@192.0.2.1:22",
  digest: "0123456789ab",
  resources: [
    { owner: "o/p/s/DovecotProxyTrust/a", kind: "DovecotProxyTrust", name: "a", state: "planned" },
    { owner: "o/p/s/MasterUser/m", kind: "MasterUser", name: "m", state: "goes" },
    { owner: "o/p/s/OutboundRelay/r", kind: "OutboundRelay", name: "r", state: "refused", reason: hostile },
  ],
  files: [
    {
      ...{ daemon: "postfix", path: "/etc/postfix/main.cf", change: "changed", secret: false },
      ...{ before: "a", after: "b", added: 1, removed: 0 },
      diff: `--- a/etc/postfix/main.cf\n+++ b/etc/postfix/main.cf\n@@ -1,1 +1,2 @@\n # ${hostile}\n+x = y\n`,
    },
  ],
  values: [{ daemon: "postfix", name: "mynetworks", where: "", before: hostile, after: "" }],
  reloads: [
    { daemon: "dovecot", reload: true, ends: { imap: 14, managesieve: 2 } },
    { daemon: "postfix", reload: false, ends: {} },
  ],
  effects: [
    {
      owner: "o/p/s/DovecotProxyTrust/a",
      from: "proxy",
      to: "source",
      label: hostile,
      text: hostile,
      narrower: hostile,
    },
  ],
  findings: [{ owner: "o/p/s/MasterUser/m", severity: "error", text: hostile, cure: hostile }],
  notes: [hostile],
};
const plan: Plan = { version: 1, stack: "o/p/s", hosts: [host] };

describe("a plan's text", () => {
  it("says what reloads do", () => {
    const said = host.reloads.map(reloadText);
    assert.deepEqual(said, [
      "reload dovecot: ends 14 imap sessions, 2 managesieve sessions (they reconnect)",
      "no reload of postfix",
    ]);
    assert.equal(reloadText({ daemon: "postfix", reload: true, ends: {} }), "reload postfix: ends none");
    assert.match(reloadText({ daemon: "dovecot", reload: true, ends: { imap: 1 } }), /ends 1 imap session \(/);
  });

  it("has colours only where they are asked for", () => {
    const quiet = { ...plan, hosts: [{ ...host, values: [], effects: [], findings: [], notes: [], resources: [] }] };
    const safe = JSON.parse(JSON.stringify(quiet).replaceAll("\\u001b", "")) as Plan;
    assert.doesNotMatch(planText(safe), /\x1b/);
    assert.match(planText(safe, ansi), /\x1b\[32m\+x = y\x1b\[0m/);
  });

  it("says why a host has no plan", () => {
    const bare = { files: [], values: [], reloads: [], effects: [], findings: [], notes: [] };
    const unmade: HostPlan = { host: "mail", notPlanned: "nobody answers", resources: [], ...bare };
    assert.match(planText({ ...plan, hosts: [unmade] }), /^Plan for mail: not made\. nobody answers\n$/);
    assert.match(planMarkdown({ ...plan, hosts: [unmade] }), /No plan was made: nobody answers/);
  });
});

describe("text from a host", () => {
  it("steers no terminal and no display of the engine", () => {
    assert.equal(harmless("a\x1b[2Jb\rc\u202ed\u200be\x9bf"), "a\\x1b[2Jb\\x0dc\\x202ed\\x200be\\x9bf");
    assert.doesNotMatch(harmless(hostile), /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]|<\{%/);
    assert.equal(harmless("Zürich\t日本\n"), "Zürich\t日本\n");
  });

  it("is no Markdown, HTML, link or mention", () => {
    assert.doesNotMatch(markdown(hostile), /[<>`|[\]@~*_]|:\/\/|www\./);
    for (const start of ["- a", "+ a", "1. a", "12) a", "=", "# a", "> a"]) {
      assert.match(markdown(start), /^&#\d+;/, start);
    }
    assert.equal(markdown("plain, 203.0.113.10/32: ok"), "plain, 203.0.113.10/32: ok");
  });

  it("ends no code span, no table cell and no fenced block", () => {
    assert.equal(codeSpan("a`b``c"), "``` a`b``c ```");
    assert.equal(codeSpan("main.cf"), "`main.cf`");
    assert.equal(codeSpan("a|b\nc"), "`a\\|b c`");
    const block = codeBlock("diff", "x\n````\ny\n");
    assert.equal(block, "`````diff\nx\n````\ny\n`````");
  });

  it("ends no label of the picture", () => {
    assert.doesNotMatch(mermaid(hostile), /["<>|[\]{}`@]/);
    const lines = picture(plan).split("\n");
    assert.equal(lines.filter((line) => line.startsWith("```")).length, 2);
    assert.ok(
      lines.slice(2, -1).every((line) => /^ {2}(\w+\["[^"]*"\]|\w+ -\.?->\|"[^"]*"\| \w+)$/.test(line)),
      lines.join("\n"),
    );
    assert.match(lines.join("\n"), /migrationtool -\.->\|"no longer: MasterUser m"\| source1/);
  });

  it("opens and closes nothing in the whole Markdown", () => {
    const text = planMarkdown(plan);
    // What is left outside of code: no tag but ours.
    const outside = text.replace(/^(`{3,})[\s\S]*?^\1$/gm, "").replace(/(`+) ?[\s\S]*?[^`]\1(?!`)/g, "");
    assert.deepEqual(outside.match(/<[^>]*>/g), ["<details>", "<summary>", "</summary>", "</details>"]);
    assert.doesNotMatch(text, /\x1b|\u202e/);
    assert.doesNotMatch(outside, /@admin|\]\(/);
  });
});

describe("a plan as data", () => {
  it("is what its schema says", () => {
    assert.deepEqual(planSchema.parse(JSON.parse(JSON.stringify(plan))), plan);
    assert.throws(() => planSchema.parse({ ...plan, version: 2 }));
  });

  it("tells of a component its own resources and its hosts' files", () => {
    const part = partOf(plan, new Set(["o/p/s/DovecotProxyTrust/a"]));
    assert.deepEqual(
      part.hosts[0]?.resources.map(({ name }) => name),
      ["a"],
    );
    assert.deepEqual(part.hosts[0].findings, []);
    assert.equal(part.hosts[0].files.length, 1);
    assert.deepEqual(partOf(plan, new Set(["o/p/s/X/y"])).hosts, []);
  });
});
