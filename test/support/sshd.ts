// A throwaway OpenSSH server on loopback, with its own keys, configuration and, where it is root's, its own users.
import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";

export interface Sshd {
  readonly port: number;
  /** The public key lines of its host keys, by type: ed25519, ecdsa, rsa. */
  readonly hostKeys: Readonly<Record<string, string>>;
  readonly pid: number;
  /** What it has logged so far. */
  log(): string;
  stop(): Promise<void>;
}

/** Has the login password below, and whatever `sudoers` says, on a server that is started with `ownUsers`. */
export const TESTER = "tester";
export const TESTER_PASSWORD = "Right horse 9";
const TESTER_SHADOW =
  "$6$wdCWe1eSlXJCvHey$bCAinFIRtplB8ehBHBTL3Ob8FCv7mlpWyRetIs05gYBr6jgTbVfGFVkCLnTjWb6.vL.VY.dM7.kQnLvAZQJHR/";

/**
 * @param directory an empty place of the test's
 * @param options.config lines of sshd_config(5)
 * @param options.hostKeyTypes ed25519 alone where it is left out: an RSA key takes seconds to make
 * @param options.authorized public keys that may log in, as any user
 * @param options.ownUsers the server sees its own passwd, shadow and sudoers, in a mount namespace of its own (needs root)
 */
export async function startSshd(
  directory: string,
  options: {
    config?: string;
    authorized?: string;
    hostKeyTypes?: readonly string[];
    port?: number;
    ownUsers?: { sudoers: string };
  } = {},
): Promise<Sshd> {
  mkdirSync(directory, { recursive: true });
  const at = (name: string): string => join(directory, name);
  const types = options.hostKeyTypes ?? ["ed25519"];
  for (const type of types) newKey(at(`host_${type}`), type);
  writeFileSync(at("authorized_keys"), options.authorized ?? "");
  const port = options.port ?? (await freePort());
  writeFileSync(
    at("sshd_config"),
    [
      options.config ?? "", // the first value counts
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      ...types.map((type) => `HostKey ${at(`host_${type}`)}`),
      `AuthorizedKeysFile ${at("authorized_keys")}`,
      "StrictModes no",
      `UsePAM ${options.ownUsers ? "yes" : "no"}`,
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PidFile none",
      "LogLevel VERBOSE",
      "",
    ].join("\n"),
  );
  if (userInfo().uid === 0) mkdirSync("/run/sshd", { recursive: true });

  const sshd = ["/usr/sbin/sshd", "-D", "-e", "-f", at("sshd_config")];
  const [program = "", ...args] = options.ownUsers ? withOwnUsers(directory, options.ownUsers.sudoers, sshd) : sshd;
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<void>((resolve) =>
    child.once("close", () => {
      resolve();
    }),
  );
  let log = "";
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => {
      reject(new Error(`sshd ended: ${log}`));
    });
    child.stderr.on("data", (chunk: Buffer) => {
      log += chunk.toString("latin1");
      if (log.includes("Server listening on")) resolve();
    });
  });
  return {
    port,
    pid: child.pid ?? 0,
    hostKeys: Object.fromEntries(types.map((type) => [type, readFileSync(at(`host_${type}.pub`), "utf8").trim()])),
    log: () => log,
    stop: async () => {
      child.kill();
      // Its sessions hold the log's pipe open: they end when their clients do.
      child.stderr.destroy();
      await ended;
    },
  };
}

/** Makes a key pair in `path` and `path`.pub. */
export function newKey(path: string, type: string, passphrase = ""): void {
  execFileSync("ssh-keygen", ["-q", "-t", type, "-N", passphrase, "-C", "", "-f", path]);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function withOwnUsers(directory: string, sudoers: string, sshd: readonly string[]): string[] {
  const at = (name: string): string => join(directory, name);
  mkdirSync(at("home"), { recursive: true, mode: 0o777 });
  for (const name of ["passwd", "shadow"]) copyFileSync(join("/etc", name), at(name));
  writeFileSync(at("passwd"), `${TESTER}:x:30001:30001::${at("home")}:/bin/sh\n`, { flag: "a" });
  writeFileSync(at("shadow"), `${TESTER}:${TESTER_SHADOW}:19000:0:99999:7:::\n`, { flag: "a" });
  writeFileSync(at("sudoers"), `Defaults lecture=never\n${sudoers}\n`, { mode: 0o440 });
  const mounts = ["passwd", "shadow", "sudoers"].map(
    (name) => `{ test ! -e /etc/${name} || mount --bind '${at(name)}' /etc/${name}; } &&`,
  );
  return ["unshare", "-m", "sh", "-c", `${mounts.join(" ")} exec "$@"`, "sh", ...sshd];
}
