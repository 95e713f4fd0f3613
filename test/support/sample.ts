// What `npm test` takes a sample of, and a soak (SOAK=1) takes whole.
import type { Debian } from "./host.js";

export const soaking = process.env["SOAK"] !== undefined;

/** For what takes long: this one Debian in `npm test`, both in a soak. */
export function sampled(one: Debian): readonly Debian[] {
  return soaking ? ["bookworm", "trixie"] : [one];
}
