// Property tests take the same cases in every run of `npm test`, so that a red run means a changed program. FC_SEED takes others
// (FC_SEED=random: new ones), FC_RUNS more of them.
import fc from "fast-check";

const seed = process.env["FC_SEED"] ?? "20261124";
if (seed !== "random") fc.configureGlobal({ seed: Number(seed) });
