// Property tests take the same cases in every run of `npm test`, so that a red run means a changed program. FC_SEED takes others
// (FC_SEED=random: new ones), FC_RUNS more of them.
import { appendFileSync } from "node:fs";
import fc from "fast-check";

const seed = process.env["FC_SEED"] ?? "20261124";
const tally = process.env["FC_TALLY"];
// A soak counts the cases.
const counted: fc.Plugin<unknown> = () => ({
  onAllRunsComplete(run) {
    appendFileSync(tally ?? "", `${run.numRuns}\n`);
  },
});
fc.configureGlobal({
  ...(seed !== "random" && { seed: Number(seed) }),
  ...(tally !== undefined && { plugins: [counted] }),
});
