// Reaching a host: over a jump host where there is one, again where nothing answers, and never past an unverified host key.
import { connect as connectTcp } from "node:net";
import type { Duplex } from "node:stream";
import { NodeSSH } from "node-ssh";
import type { Algorithms, ServerHostKeyAlgorithm } from "ssh2";
import type { Connection } from "./connection.js";
import { type Login, login, type Step, steps } from "./credentials.js";
import { reason, SshError } from "./errors.js";
import { hostKeyAlgorithms, refuseHostKey } from "./host-key.js";
import { keyType } from "./known-hosts.js";
import { KEEPALIVE, type Link, openLink } from "./link.js";
import { type Settings, settings, type Surroundings, surroundings } from "./settings.js";

/**
 * Connects, verifies the host key and logs in.
 * @throws SshError `settings`, `unreachable` (after the tries that `dialErrorLimit` allows), `protocol`, `host-key`,
 * `authentication` (at once), `timeout`, `disconnected`; for the jump host too, whose name the error then has
 */
export async function connect(connection: Connection, around: Surroundings = surroundings()): Promise<Link> {
  return open(await settings(connection, around), around);
}

const LOGIN_MS = 30_000;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;

/**
 * What is offered, fastest first: one X25519 and hardware AES-GCM cost least, and neither SHA-1 nor CBC is offered at all. ChaCha20
 * comes last: without a native module ssh2 computes its Poly1305 in WebAssembly.
 */
const ALGORITHMS = {
  kex: [
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group-exchange-sha256",
  ],
  cipher: [
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "chacha20-poly1305@openssh.com",
  ],
  hmac: ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"],
  compress: ["none"],
} satisfies Algorithms;

/** No SSH server answered this time. */
class NoAnswer extends SshError {
  constructor(
    to: Settings,
    readonly what: string,
    readonly cure: string,
    readonly final = false,
  ) {
    super("unreachable", to.label, what, { cure: [cure, ...to.notes].join(" Note: ") });
  }
}

async function open(to: Settings, around: Surroundings): Promise<Link> {
  const ways = steps(to, around);
  const jump = to.jump && (await open(to.jump, around));
  try {
    return await keepDialling(to, jump, ways);
  } catch (thrown) {
    jump?.close();
    throw thrown;
  }
}

async function keepDialling(to: Settings, jump: Link | undefined, ways: readonly Step[]): Promise<Link> {
  const began = Date.now();
  for (let tries = 1; ; tries++) {
    const left = to.totalMs - (Date.now() - began);
    try {
      return await dial(to, jump, ways, Math.min(to.tryMs, left));
    } catch (thrown) {
      if (!(thrown instanceof NoAnswer) || thrown.final) throw thrown;
      const pause = Math.min(FIRST_PAUSE_MS * 2 ** (tries - 1), LONGEST_PAUSE_MS) * (0.5 + Math.random());
      const spent = Date.now() - began;
      if (tries >= to.tries || spent + pause >= to.totalMs) {
        throw tries === 1
          ? thrown
          : new NoAnswer(
              to,
              `no answer in ${tries} tries and ${Math.round(spent / 1000)} s; last: ${thrown.what}`,
              thrown.cure,
            );
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

/**
 * One try; or, where a fingerprint is all that is known and the server has keys of several types, one for each type until it shows
 * the key that is meant.
 */
async function dial(to: Settings, jump: Link | undefined, ways: readonly Step[], limitMs: number): Promise<Link> {
  const until = Date.now() + limitMs;
  const shown: string[] = [];
  let mismatch: SshError | undefined;
  for (;;) {
    const socket = await reach(to, jump, Math.max(1, until - Date.now()));
    try {
      return await shakeHands(to, socket, jump, ways, Math.max(1, until - Date.now()), shown);
    } catch (thrown) {
      socket.destroy();
      if (!(thrown instanceof SshError)) throw thrown;
      // The server has no key of yet another type to show.
      if (mismatch && thrown.kind === "protocol") throw mismatch;
      if (thrown.kind !== "host-key" || to.hostKey.fingerprints.length === 0) throw thrown;
      mismatch ??= thrown;
      if (hostKeyAlgorithms(to.hostKey, shown).length === 0) throw mismatch;
    }
  }
}

/** A byte stream to the server's port, not yet SSH. */
async function reach(to: Settings, jump: Link | undefined, limitMs: number): Promise<Duplex> {
  if (!jump) return reachDirectly(to, limitMs);
  try {
    return await jump.forward(to.host, to.port, limitMs);
  } catch (thrown) {
    if (!(thrown instanceof SshError) || (thrown.kind !== "unreachable" && thrown.kind !== "timeout")) throw thrown;
    throw new NoAnswer(
      to,
      `not reachable over the jump host: ${thrown.message}`,
      "Check host and port as seen from the jump host.",
    );
  }
}

function reachDirectly(to: Settings, limitMs: number): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    // With the Nagle algorithm the steps of the handshake wait for delayed ACKs: 220 ms instead of 50 (measured on loopback).
    const socket = connectTcp({ host: to.host, port: to.port, noDelay: true });
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new NoAnswer(to, `no answer in ${seconds(limitMs)}`, CURES["ETIMEDOUT"] ?? ""));
    }, limitMs);
    socket.once("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      const code = error.code ?? error.message;
      const cure = CURES[code] ?? "Check the host, the port and the network between.";
      reject(new NoAnswer(to, `cannot connect (${code})`, cure, code === "ENOTFOUND"));
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

const CURES: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Nothing listens on this port, or a firewall rejects it: check `port` and that sshd runs.",
  ENOTFOUND: "There is no such name: check `host`, or HostName in ~/.ssh/config.",
  EAI_AGAIN: "The name server does not answer: check the resolver of this machine.",
  ETIMEDOUT: "The host is down, or a firewall drops the packets: check `host`, `port` and the firewall.",
  EHOSTUNREACH: "There is no route to the host: check the network and any VPN.",
  ENETUNREACH: "There is no route to the host: check the network (IPv6?) and any VPN.",
};

const TURNED_AWAY =
  "sshd turns connections away: too many logins at once (MaxStartups), or this address is banned there (fail2ban, PerSourcePenalties, hosts.deny).";

async function shakeHands(
  to: Settings,
  socket: Duplex,
  jump: Link | undefined,
  ways: readonly Step[],
  limitMs: number,
  shown: string[],
): Promise<Link> {
  return new Promise((resolve, reject) => {
    let verified = false;
    let refused: SshError | undefined;
    let said = "";
    const fail = (error: SshError): void => {
      clearTimeout(timer);
      ssh.dispose();
      socket.destroy();
      reject(error);
    };
    const method = login(to, ways, () => {
      fail(method.failure("the login was refused", said));
    });
    let timer = setTimeout(() => {
      fail(new NoAnswer(to, `the port is open, but no SSH server answered in ${seconds(limitMs)}`, TURNED_AWAY));
    }, limitMs);

    const ssh = new NodeSSH();
    const ready = ssh.connect({
      sock: socket,
      username: to.user,
      authHandler: method.authHandler,
      algorithms: { ...ALGORITHMS, serverHostKey: hostKeyAlgorithms(to.hostKey, shown) as ServerHostKeyAlgorithm[] },
      hostVerifier: (blob: Buffer) => {
        refused = refuseHostKey(blob, to.hostKey);
        shown.push(keyType(blob));
        verified = refused === undefined;
        return verified;
      },
      readyTimeout: 0, // the limits are kept here, one for each step
      keepaliveInterval: KEEPALIVE.everyMs,
      keepaliveCountMax: KEEPALIVE.missed,
    });
    const client = ssh.connection;
    if (!client) throw new Error("node-ssh makes its client at once");
    // node-ssh takes its error listener off when the login is done; without one, an error then ends the whole process.
    client.on("error", () => undefined);
    client.on("banner", (text) => {
      said = text;
    });
    // Once: every new key exchange of a long connection is a handshake, too.
    client.once("handshake", () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        fail(
          new SshError("timeout", to.label, `the login took longer than ${seconds(LOGIN_MS)}`, { cure: SLOW_LOGIN }),
        );
      }, LOGIN_MS);
    });
    client.on("change password", () => {
      fail(method.failure("the password has expired"));
    });
    ready.then(
      () => {
        clearTimeout(timer);
        resolve(
          openLink(to.label, client, () => {
            socket.destroy();
            jump?.close();
          }),
        );
      },
      (thrown: unknown) => {
        fail(refused ?? (verified ? loginBroke(thrown, to, method) : handshakeBroke(thrown, to)));
      },
    );
  });
}

const SLOW_LOGIN =
  "See sshd's log on the host: a slow name server (UseDNS), PAM, or an agent that waits for a confirmation.";

function handshakeBroke(thrown: unknown, to: Settings): SshError {
  const message = reason(thrown);
  if (isSocketError(thrown) || message === "Connection lost before handshake") {
    return new NoAnswer(to, `the connection was closed before SSH began (${message})`, TURNED_AWAY);
  }
  return new SshError("protocol", to.label, "what answers there does not speak SSH as it should", {
    said: message,
    cure: "Check host and port; where it says that no algorithm matches, the server's OpenSSH is too old or narrowed too far.",
  });
}

function loginBroke(thrown: unknown, to: Settings, method: Login): SshError {
  const message = reason(thrown);
  if (isSocketError(thrown)) {
    return new SshError("disconnected", to.label, `the connection was closed during the login (${message})`);
  }
  return method.failure("the login failed", message);
}

function isSocketError(thrown: unknown): boolean {
  const level = thrown instanceof Error && "level" in thrown ? thrown.level : undefined;
  return level === "client-socket" || reason(thrown) === "No response from server";
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}
