// Cut at any moment: a seeded sample of what `npm run soak` does whole. CUTS_SEED repeats a run.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { script } from "../../provider/src/host/wire.js";
import { startHost, type Debian } from "../support/host.js";
import { describeCut, operations, Patient, random, seed, type Kind } from "../support/cuts.js";

const debians: readonly Debian[] = ["bookworm", "trixie"];
const budgetMs = 35_000;
const most = 15;
const kinds: readonly Kind[] = [
  "program",
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

describe(`cuts, CUTS_SEED=${seed}`, () => {
  it("a killed commit, link, provider or host leaves a whole host, and the next operation needs no help", async function () {
    const until = Date.now() + budgetMs;
    const counts = await Promise.all(
      debians.map(async (debian, which) => {
        const host = await startHost(debian);
        try {
          const patient = new Patient(host);
          const steps = await patient.examine();
          const draw = random(seed + which);
          let count = 0;
          for (let n = 0; n < most && Date.now() < until; n++) {
            const operation = operations[Math.floor(draw() * operations.length)] ?? "create";
            const step = 1 + Math.floor(draw() * (steps.get(operation)?.length ?? 1));
            const kind = kinds[n % kinds.length] ?? "program";
            const cut = { operation, step, kind };
            const made = await patient.cut(cut, { restart: n % 4 === 0 }).catch((error: unknown) => {
              throw new Error(`${describeCut(debian, cut)}: ${steps.get(operation)?.[step - 1]?.command ?? ""}`, {
                cause: error,
              });
            });
            if (made) count++;
          }
          return count;
        } finally {
          await host.stop();
        }
      }),
    );
    assert.ok(counts.every((count) => count > 0));
    console.log(`      ${counts.join(" + ")} cuts`);
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
