// Cut at any moment: a seeded sample of what `npm run soak` does whole. CUTS_SEED repeats a run.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { script } from "../../provider/src/host/wire.js";
import { operations, Patient, type Kind } from "../support/cuts.js";
import type { Debian } from "../support/host.js";
import { linkTo } from "../support/link.js";
import { random, seed } from "../support/sample.js";
import { startVariant } from "../support/variants.js";

/** Whose commits are cut, and whose link. */
const [ofCommits, ofLink] = seed % 2 === 0 ? (["trixie", "bookworm"] as const) : (["bookworm", "trixie"] as const);
/** From when the hosts are examined; one cut is made whatever the time. */
const budgetMs = 15_000;
const linkBudgetMs = 10_000;
const most = 15;
const kinds: readonly Kind[] = [
  "program",
  "undoing",
  "midway",
  "side",
  "session",
  "edit",
  "program",
  "twice",
  "group",
  "reboot",
  "provider",
];

/** Without `hang`, in which the client waits for a minute. */
const linkKinds: readonly Kind[] = ["request", "reset", "answer", "slices", "request", "stall"];

interface Sample {
  readonly kinds: readonly Kind[];
  /** Of the variants of a host. */
  readonly which: number;
  readonly overLink?: boolean;
  readonly budgetMs: number;
  readonly draw: () => number;
}

/** How many cuts were made. */
async function sample(debian: Debian, { kinds, which, overLink = false, budgetMs, draw }: Sample): Promise<number> {
  const host = await startVariant(debian, which);
  try {
    const patient = new Patient(host, overLink ? await linkTo(host) : undefined);
    await patient.examine();
    const until = Date.now() + budgetMs;
    let count = 0;
    for (let n = 0; n < most && (count === 0 || Date.now() < until); n++) {
      const operation = operations[Math.floor(draw() * operations.length)] ?? "create";
      const kind = kinds[n % kinds.length] ?? "program";
      const step = 1 + Math.floor(draw() * patient.places({ operation, kind }));
      const cut = { operation, step, kind };
      const made = await patient.cut(cut, { restart: n % 4 === 0 }).catch((error: unknown) => {
        throw new Error(patient.name(cut), { cause: error });
      });
      if (made) count++;
    }
    return count;
  } finally {
    await host.stop();
  }
}

describe(`cuts, CUTS_SEED=${seed}`, () => {
  it("a killed commit, session, provider or host leaves a whole host, and the next operation needs no help", async () => {
    const count = await sample(ofCommits, { kinds, which: seed, budgetMs, draw: random(seed) });
    assert.ok(count > 0);
    console.log(`      ${count} cuts on ${ofCommits}`);
  });

  it("so does a link that is reset, silent, or cut off at any byte; and one that is slow and in slices works", async () => {
    // Each of them has its turn, where there is little time.
    const first = Math.floor(seed / 2) % linkKinds.length;
    const kinds = [...linkKinds.slice(first), ...linkKinds.slice(0, first)];
    const how = { kinds, which: seed, overLink: true, budgetMs: linkBudgetMs, draw: random(seed) };
    const count = await sample(ofLink, how);
    assert.ok(count > 0);
    console.log(`      ${count} cuts on ${ofLink}`);
  });

  for (const shell of [["dash"], ["bash", "--posix"], ["busybox", "sh"]]) {
    it(`of a program that is cut off at any byte, ${shell.join(" ")} runs nothing`, () => {
      const program = readFileSync("provider/src/host/commit.sh", "latin1").replace(/^PATH=.*$/m, "PATH=/nowhere");
      const whole = script(`echo begun\n${program}`, [["echo", "ran"]]);
      const draw = random(seed);
      const cuts = Array.from({ length: 40 }, (_, n) =>
        n < 20 ? whole.length - 2 - n : Math.floor(draw() * (whole.length - 2)),
      );
      const [command = "", ...args] = shell;
      const run = (input: string) => spawnSync(command, args, { input, encoding: "latin1" }).stdout;
      assert.equal(run(whole), "begun\nran\n");
      for (const length of cuts) assert.equal(run(whole.slice(0, length)), "", `cut off after ${length} bytes`);
    });
  }
});
