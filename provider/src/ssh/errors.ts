// What can go wrong between here and a mail host, told to the administrator at this end.
import { printable } from "./printable.js";

export { printable };

/**
 * Which step failed, so that callers decide without reading text:
 * - `settings`: `connection`, the environment or the OpenSSH configuration cannot be used; nothing was sent
 * - `unreachable`: no SSH server answered; worth another try later
 * - `protocol`: what answers is not an SSH server, or none with a safe algorithm in common
 * - `host-key`: the server's key is not known, is another one than before, or is revoked; nothing was sent
 * - `authentication`: the server refuses the login; final, another try would only count as an attack
 * - `timeout`: a wait reached its limit
 * - `output`: a command printed more than it may
 * - `disconnected`: the link died
 * - `forbidden`: the server refuses a command or a forwarded connection
 * - `become`: sudo refuses
 */
export type SshErrorKind =
  | "settings"
  | "unreachable"
  | "protocol"
  | "host-key"
  | "authentication"
  | "timeout"
  | "output"
  | "disconnected"
  | "forbidden"
  | "become";

/** An SSH step failed: which host, what happened, what the server said, what to do. Never holds a secret. */
export class SshError extends Error {
  readonly kind: SshErrorKind;
  /** Truly private: who prints an error with its properties gets nothing that is not made printable. */
  readonly #told: [label: string, what: string, more: { said?: string | undefined; cure?: string }];

  constructor(
    kind: SshErrorKind,
    label: string,
    what: string,
    more: { said?: string | undefined; state?: string; cure?: string } = {},
  ) {
    const said = more.said ? `\nThe server said: ${printable(more.said)}` : "";
    const state = more.state ? `\nState of the host: ${printable(more.state, 4000)}` : "";
    const cure = more.cure ? `\nWhat to do: ${printable(more.cure, 4000)}` : "";
    super(`${printable(label)}: ${printable(what, 4000)}.${said}${state}${cure}`);
    this.name = "SshError";
    this.kind = kind;
    this.#told = [label, what, more];
  }

  /** The same, and what it means for the host. */
  leaving(state: string): SshError {
    const [label, what, more] = this.#told;
    return new SshError(this.kind, label, what, { ...more, state });
  }
}

const notReached: readonly SshErrorKind[] = [
  ...(["unreachable", "protocol", "host-key", "authentication", "timeout", "disconnected"] as const),
];

/** It lies on the way to the host: neither `connection` nor what is on the host is at fault as far as is known. */
export function isNotReached(error: unknown): boolean {
  return error instanceof SshError && notReached.includes(error.kind);
}

/** Takes secrets out of what a server said: a hostile one can send back the password that it was given. */
export function redact(text: string, secrets: readonly (string | undefined)[]): string {
  return secrets.reduce<string>((rest, secret) => (secret ? rest.replaceAll(secret, "[secret]") : rest), text);
}

/** The message of whatever was thrown. */
export function reason(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
