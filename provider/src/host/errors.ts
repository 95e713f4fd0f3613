// What can go wrong on a host, told to the administrator at the other end.

import { printable } from "../ssh/printable.js";

export { printable };

/** A host's own words may be in any part. */
const part = (text: string) => printable(text, 4000);

/** A step failed on the host: which host, what happened, what the daemon said, what state the host is in, what to do. */
export class HostError extends Error {
  constructor(host: string, what: string, more: { said?: string; state?: string; cure?: string } = {}) {
    const said = more.said ? `\nThe host said: ${printable(more.said)}` : "";
    const state = more.state ? `\nState of the host: ${part(more.state)}` : "";
    const cure = more.cure ? `\nWhat to do: ${part(more.cure)}` : "";
    super(`${part(host)}: ${part(what)}.${said}${state}${cure}`);
    this.name = "HostError";
  }
}

/** The plan says no: nothing on the host was changed for this resource. */
export class Refusal extends Error {
  constructor(what: string, cure: string) {
    super(`${part(what)}\nWhat to do: ${part(cure)}\nNothing was changed on the host for this resource.`);
    this.name = "Refusal";
  }
}
