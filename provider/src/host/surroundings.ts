// What a preview asks of a host besides its configuration: who listens where, what bans addresses.
import type { Answer } from "./snapshot.js";

export interface Surroundings {
  /** TCP ports that take connections, and whether only from the host itself. */
  readonly listening: readonly { readonly port: number; readonly loopback: boolean }[];
  /** Present where fail2ban runs: the addresses that it never bans, as its configuration has them for all jails, or for those of mail. */
  readonly fail2ban?: { readonly ignored: readonly string[] };
  /** Dovecot's settings for IMAP that a preview judges. */
  readonly imap: Readonly<Record<string, string>>;
}

export function surroundingsOf(named: Readonly<Record<string, Answer>>): Surroundings | undefined {
  const listening = named["listening"];
  if (!listening) return undefined;
  const fail2ban = named["fail2ban"];
  return {
    listening: lines(listening).flatMap(socket),
    ...(fail2ban && { fail2ban: { ignored: lines(fail2ban).flatMap((line) => line.split(/[\s,]+/).slice(1)) } }),
    imap: named["imap"] ? settings(lines(named["imap"])) : {},
  };
}

/** A local address of /proc/net/tcp or tcp6, "0100007F:008F": words of four bytes, each in the machine's byte order. */
function socket(text: string): { port: number; loopback: boolean }[] {
  const [, address = "", port] = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(text) ?? [];
  if (port === undefined) return [];
  const loopback = /^(0{16}FFFF0000)?[0-9A-F]{6}7F$/.test(address) || /^0{24}(01000000|00000001)$/.test(address);
  return [{ port: parseInt(port, 16), loopback }];
}

export const lines = ({ text }: Answer) => text.split("\n").filter((line) => line !== "");

/** `name = value`, or in 2.4, for a list, `name {` and a line `value = yes` each. */
function settings(all: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  let list: string | undefined;
  for (const line of all) {
    const [, name = "", value = ""] = /^\s*([\w.-]+) =\s*(.*)$/.exec(line) ?? [];
    const opened = /^(\w+) \{/.exec(line)?.[1];
    if (opened !== undefined) list = opened;
    else if (line.startsWith("}")) list = undefined;
    else if (list !== undefined && value === "yes") found[list] = `${found[list] ?? ""} ${name}`.trim();
    else if (list === undefined && name !== "") found[name] = value;
  }
  return found;
}
