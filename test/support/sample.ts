// What `npm test` takes a sample of, and a soak (SOAK=1) takes whole.
import type { Debian } from "./host.js";

export const soaking = process.env["SOAK"] !== undefined;

/** Of a run, in all its processes: what samples it takes. CUTS_SEED repeats one. */
export const seed = Number((process.env["CUTS_SEED"] ??= drawn()));

function drawn(): string {
  const drawn = String(Date.now() % 1_000_000);
  console.log(`CUTS_SEED=${drawn}`);
  return drawn;
}

/** For what takes long: this one Debian in `npm test`, both in a soak. */
export function sampled(one: Debian): readonly Debian[] {
  return soaking ? ["bookworm", "trixie"] : [one];
}

type Test = (this: Mocha.Context) => Promise<void>;

/** An `it` for a suite that takes long: in `npm test` one in `every` of its tests is run, which ones is the seed's choice. */
export function oneIn(every: number): (title: string, test: Test) => void {
  let count = seed;
  return (title, test) => {
    if (soaking || count++ % every === 0) it(title, test);
  };
}

/** Deterministic random numbers below 1 (mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
