// What can go wrong on a host, told to the administrator at the other end.

import { printable } from "../ssh/errors.js";

export { printable };

/** A step failed on the host: which host, what happened, what the daemon said, what state the host is in, what to do. */
export class HostError extends Error {
  constructor(host: string, what: string, more: { said?: string; state?: string; cure?: string } = {}) {
    const said = more.said ? `\nThe host said: ${printable(more.said)}` : "";
    const state = more.state ? `\nState of the host: ${more.state}` : "";
    const cure = more.cure ? `\nWhat to do: ${more.cure}` : "";
    super(`${host}: ${what}.${said}${state}${cure}`);
    this.name = "HostError";
  }
}

/** The plan says no: nothing on the host was changed for this resource. */
export class Refusal extends Error {
  constructor(what: string, cure: string) {
    super(`${what}\nWhat to do: ${cure}\nNothing was changed on the host for this resource.`);
    this.name = "Refusal";
  }
}
