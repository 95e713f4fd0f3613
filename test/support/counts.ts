// What a host's own logs say that was done to it.
import { isDeepStrictEqual } from "node:util";
import type { Host } from "./host.js";

export interface Counts {
  /** SSH logins. */
  readonly connections: number;
  /** Commands run over SSH. */
  readonly commands: number;
  readonly dovecotReloads: number;
  readonly postfixReloads: number;
}

export const nothing: Counts = { connections: 0, commands: 0, dovecotReloads: 0, postfixReloads: 0 };

/** What happened on the host while `work` ran. */
export async function during<T>(host: Host, work: () => Promise<T>): Promise<{ result: T; counts: Counts }> {
  const before = await settled(host);
  const result = await work();
  const after = await settled(host);
  return {
    result,
    counts: {
      connections: after.connections - before.connections,
      commands: after.commands - before.commands,
      dovecotReloads: after.dovecotReloads - before.dovecotReloads,
      postfixReloads: after.postfixReloads - before.postfixReloads,
    },
  };
}

/** A log is written a moment after what it tells of: read until it says the same twice. */
async function settled(host: Host): Promise<Counts> {
  let last = await counts(host);
  for (const until = Date.now() + 10_000; Date.now() < until;) {
    await new Promise((resolve) => setTimeout(resolve, 300));
    const now = await counts(host);
    if (isDeepStrictEqual(now, last)) break;
    last = now;
  }
  return last;
}

async function counts(host: Host): Promise<Counts> {
  const [auth, mail] = await Promise.all([host.authLog(), host.mailLog()]);
  const count = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].length;
  return {
    connections: count(auth, /Accepted publickey for root/g),
    commands: count(auth, /Starting session: command/g),
    dovecotReloads: count(mail, /SIGHUP received - reloading configuration/g),
    postfixReloads: count(mail, /postfix\/master\[\d+\]: reload/g),
  };
}
