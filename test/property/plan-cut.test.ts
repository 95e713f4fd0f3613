// A plan in a comment: however large it is, it fits, is whole Markdown, and says what is not in it.
import { strict as assert } from "node:assert";
import fc from "fast-check";
import { leastRoom } from "../../provider/src/plan/cut.js";
import { planMarkdown } from "../../provider/src/plan/markdown.js";
import type { HostPlan, Plan } from "../../provider/src/plan/schema.js";

const numRuns = Number(process.env["FC_RUNS"] ?? "100");
/** GitHub's, of an issue's or pull request's comment. */
const comment = 65_536;
const whole = "https://github.com/example/mail/actions/runs/1";

const lines = (count: number, text = "+# a line of a file\n") => text.repeat(count);
function file(path: string, diff: string): HostPlan["files"][number] {
  const rest = { daemon: "postfix", change: "changed", secret: false, before: "a", after: "b" } as const;
  return { ...rest, path, added: 1, removed: 0, diff };
}
const empty = { resources: [], files: [], values: [], reloads: [], effects: [], findings: [], notes: [] };
function planOf(...hosts: Partial<HostPlan>[]): Plan {
  const named = hosts.map((one, n) => ({ host: `root@192.0.2.${n + 1}:22`, digest: "0123456789ab", ...empty, ...one }));
  return { version: 1, stack: "o/p/s", hosts: named };
}
const refused: HostPlan["resources"][number] = {
  ...{ owner: "o/p/s/OutboundRelay/r", kind: "OutboundRelay", name: "r", state: "refused" },
  reason: "the reason",
};
const effect: HostPlan["effects"][number] = {
  ...{ owner: "o/p/s/RelayAcceptance/r", from: "new server", to: "source" },
  ...{ label: "relay anywhere", text: "may relay" },
};
const value = (name: string): HostPlan["values"][number] => {
  return { daemon: "postfix", name, where: "", before: "a", after: "b" };
};

/** Fences and folds are closed where they were opened, in order. */
function assertWhole(text: string): void {
  let fence = "";
  let folds = 0;
  for (const line of text.split("\n")) {
    const run = /^`{3,}/.exec(line)?.[0] ?? "";
    if (fence !== "") fence = line === fence ? "" : fence;
    else if (run !== "" && !line.slice(run.length).includes("`")) fence = run;
    else if (line.startsWith("<details>")) assert.equal(++folds, 1, text);
    else if (line === "</details>") assert.equal(--folds, 0, text);
  }
  assert.equal(fence, "", text);
  assert.equal(folds, 0, text);
}

describe("a plan that has to fit into a comment", () => {
  const cut = (plan: Plan, errors: string[] = [], length = comment) =>
    planMarkdown(plan, { errors, room: { length, whole } });

  it("is whole where it fits", () => {
    const plan = planOf({ files: [file("/etc/postfix/main.cf", lines(1000))], effects: [effect] });
    assert.equal(cut(plan), planMarkdown(plan));
  });

  it("is whole at its very length, and without its diff one below", () => {
    const plan = planOf({ files: [file("/etc/postfix/main.cf", lines(1000))] });
    const { length } = planMarkdown(plan);
    assert.equal(cut(plan, [], length + 1), planMarkdown(plan));
    const text = cut(plan, [], length - 1);
    assert.match(
      text,
      /^### .*\n\n\*\*Cut to fit:\*\* 1 diff \(`\/etc\/postfix\/main\.cf of root@192\.0\.2\.1:22`\) left out\. The whole plan: https:\/\/github\.com\/example\/mail\/actions\/runs\/1\n/,
    );
    assert.doesNotMatch(text, /<details>/);
  });

  it("leaves out the largest diff first, and no more than it must", () => {
    const files = [file("/a", lines(10)), file("/b", lines(3000)), file("/c", lines(2900)), file("/d", lines(20))];
    const text = cut(planOf({ files, effects: [effect] }));
    assert.match(text, /\*\*Cut to fit:\*\* 1 diff \(`\/b of /);
    assert.deepEqual(
      [...text.matchAll(/<summary>(.*?),/g)].map(([, path]) => path),
      ["/a", "/c", "/d"],
    );
    assert.match(text, /^\| `\/b` \| changed, \+1 -0 \|$/m);
  });

  it("leaves out tables only where no diff is left, and keeps picture, refusals and errors", () => {
    const values = Array.from({ length: 2500 }, (_, n) => value(`parameter_${n}`));
    const large = { values, resources: [refused], effects: [effect] };
    const diffs = Array.from({ length: 7 }, (_, n) => file(`/etc/${n}`, lines(10)));
    const text = cut(
      planOf({ ...large, files: diffs }, { values: [value("small")], resources: [{ ...refused, state: "goes" }] }),
      ["no such thing"],
    );
    assert.match(
      text,
      /\*\*Cut to fit:\*\* 7 diffs \(`.*`, `.*`, `.*` and 4 more\), 1 table \(`root@192\.0\.2\.1:22`\)/,
    );
    assert.match(text, /```mermaid\n.*relay anywhere/s);
    assert.match(text, /\*\*Refused:\*\*\n\n- OutboundRelay r: the reason/);
    assert.match(text, /\*\*The preview failed:\*\*\n\n```text\nno such thing\n```/);
    assert.match(text, /^\| `small` /m);
  });

  it("shortens an error of a thousand lines, and says so", () => {
    const text = cut(planOf({ effects: [effect] }), [lines(10_000, "    at somewhere\n")]);
    assert.ok(text.length < comment / 4);
    assert.match(text, /\.\.\. \(\d+ characters more\)/);
    assert.match(text, /```mermaid/);
  });

  it("tells an error once, and that of a program that made no plan", () => {
    const told = planMarkdown(planOf({ resources: [refused] }), { errors: ["relay has a problem: the reason"] });
    assert.equal(told.match(/the reason/g)?.length, 1);
    const none = planMarkdown(planOf(), { errors: ["boom ``` </details>"] });
    assert.match(none, /^### Mail hosts of `o\/p\/s`\n\n\*\*The preview failed:\*\*\n\n````text\nboom/);
    assert.doesNotMatch(none, /No mail host is concerned/);
  });

  it("fits, is whole Markdown and says what it left out, whatever the plan holds", () => {
    const size = fc.oneof(fc.nat(20), fc.nat(2_000));
    const nasty = fc.constantFrom("x", "`", "```", "😀", "|", "</details>", "\n", "\x1b", "<!--", "~~~", "word ");
    const text = fc
      .tuple(fc.array(nasty, { maxLength: 8 }), size)
      .map(([parts, n]) => parts.join("").repeat(Math.ceil(n / Math.max(1, parts.length))));
    const many = <T>(one: fc.Arbitrary<T>) => fc.array(one, { maxLength: 12 });
    const host: fc.Arbitrary<HostPlan> = fc.record({
      host: text,
      digest: fc.constant("0123456789ab"),
      resources: many(text.map((reason) => ({ ...refused, reason }))),
      files: many(fc.tuple(text, text).map(([path, diff]) => file(path, diff))),
      values: many(text.map(value)),
      reloads: fc.constant([]),
      effects: many(text.map((label) => ({ ...effect, label, text: label }))),
      findings: many(text.map((one) => ({ severity: "warning" as const, text: one, cure: one }))),
      notes: many(text),
    });
    const plans = fc.record({ version: fc.constant(1 as const), stack: text, hosts: fc.array(host, { maxLength: 6 }) });
    const room = fc.integer({ min: leastRoom, max: comment });
    fc.assert(
      fc.property(plans, many(text), room, (plan, errors, length) => {
        const [all, fitting] = [planMarkdown(plan, { errors }), cut(plan, errors, length)];
        assert.ok(fitting.length <= length, `${fitting.length} of ${length}`);
        assertWhole(fitting);
        assert.equal(Buffer.from(fitting).toString(), fitting, "half a character");
        const said = fitting.includes("**Cut to fit:**") || fitting.includes("characters more)");
        assert.equal(fitting === all, !said);
        if (fitting.includes("**Cut to fit:**")) assert.ok(fitting.includes(whole));
      }),
      { numRuns },
    );
  });
});
