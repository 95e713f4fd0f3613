// Property tests take the same cases in every run of `npm test`, so that a red run means a changed program. FC_SEED takes others
// (FC_SEED=random: new ones), FC_RUNS more of them.
import fc from "fast-check";
import "./sample.js"; // its seed is that of all processes
import { tally, tallying } from "./tally.js";

const seed = process.env["FC_SEED"] ?? "20261124";
// A soak counts the cases.
const counted: fc.Plugin<unknown> = () => ({
  onAllRunsComplete(run) {
    tally("generated cases", run.numRuns);
  },
});
fc.configureGlobal({
  ...(seed !== "random" && { seed: Number(seed) }),
  ...(tallying && { plugins: [counted] }),
});
