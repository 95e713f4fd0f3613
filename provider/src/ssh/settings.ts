// Everything that is needed to dial one host: `connection`, then the user's OpenSSH configuration, then defaults.
import { readdirSync, readFileSync } from "node:fs";
import { homedir, hostname, userInfo } from "node:os";
import type { Connection, ProxyConnection } from "./connection.js";
import { reason, SshError } from "./errors.js";
import { expected, type Expected } from "./host-key.js";
import { type Files, openSshHost, type OpenSshHost } from "./openssh-config.js";

/** Names a private key file that goes before every other credential. It holds a path, never a key. */
export const IDENTITY_FILE = "PULUMI_DOVECOT_POSTFIX_SSH_IDENTITY_FILE";
/** Names an agent's socket that goes before every other credential. */
export const AUTH_SOCK = "PULUMI_DOVECOT_POSTFIX_SSH_AUTH_SOCK";

/** One thing to log in with, in the order in which they are tried. `from` says for messages where it comes from. */
export type Credential =
  | { kind: "key"; from: string; text: string; passphrase?: string | undefined }
  | { kind: "file"; from: string; path: string; passphrase?: string | undefined; required: boolean }
  | { kind: "agent"; from: string; socket: string; identities: readonly string[]; only: boolean; required: boolean }
  | { kind: "password"; from: string; password: string };

export interface Settings {
  /** `user@host:port`, for messages. */
  readonly label: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly credentials: readonly Credential[];
  readonly hostKey: Expected;
  readonly tries: number;
  /** Milliseconds for one try, and for all together. */
  readonly tryMs: number;
  readonly totalMs: number;
  readonly jump?: Settings | undefined;
  /** What was found but cannot be used; told where the host cannot be reached. */
  readonly notes: readonly string[];
}

/** Where the process runs: tests give their own. */
export interface Surroundings extends Files {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly localUser: string;
}

export function surroundings(): Surroundings {
  return {
    env: process.env,
    home: homedir(),
    localUser: localUser(),
    read: (path) => ifThere(() => readFileSync(path, "utf8")),
    list: (path) => ifThere(() => readdirSync(path)) ?? [],
  };
}

/** @throws SshError `settings` where something given cannot be used. */
export async function settings(connection: Connection, around: Surroundings): Promise<Settings> {
  const jump = connection.proxy && (await settingsOf(connection.proxy, around, { defaultUser: "root", depth: 1 }));
  return settingsOf(connection, around, { defaultUser: "root", depth: 0, jump });
}

const DEFAULT_TRIES = 10; // as @pulumi/command
const DEFAULT_TRY_SECONDS = 15; // as @pulumi/command
const LONGEST_TRY_SECONDS = 120;
const DEFAULT_TOTAL_MS = 60_000;
const LONGEST_TOTAL_MS = 600_000;
const MOST_JUMPS = 8;

interface Place {
  readonly defaultUser: string;
  readonly depth: number;
  /** The host before this one on the way, where that is settled already. */
  readonly jump?: Settings | undefined;
}

async function settingsOf(given: ProxyConnection, around: Surroundings, place: Place): Promise<Settings> {
  const config = await lookUp(given, around);
  const host = expand(config.hostName ?? "%h", { h: given.host, n: given.host }, around);
  const port = given.port ?? (config.port === undefined ? 22 : Number(config.port));
  const user = given.user ?? config.user ?? place.defaultUser;
  const label = `${user}@${host.includes(":") ? `[${host}]` : host}:${port}`;
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new SshError("settings", label, "the port is not a number from 1 to 65535");
  }
  const tokens = { h: host, n: given.host, p: String(port), r: user };
  const path = (text: string): string => expand(text, tokens, around);
  const knownHosts = knownHostsFiles(config, path, around);
  const wait = given.perDialTimeout ?? DEFAULT_TRY_SECONDS;
  const tries = given.dialErrorLimit ?? DEFAULT_TRIES;
  return {
    label,
    host,
    port,
    user,
    credentials: credentials(given, config, path, around),
    hostKey: expected({
      label,
      host: config.hostKeyAlias ?? host,
      // A HostKeyAlias stands in known_hosts without a port.
      port: config.hostKeyAlias === undefined ? port : 22,
      hostKey: given.hostKey,
      ...knownHosts,
    }),
    tries: tries < 0 ? Infinity : Math.max(1, tries),
    tryMs: 1000 * (wait > 0 ? Math.min(wait, LONGEST_TRY_SECONDS) : LONGEST_TRY_SECONDS),
    totalMs: given.dialErrorLimit === undefined ? DEFAULT_TOTAL_MS : LONGEST_TOTAL_MS,
    jump: place.jump ?? (await proxyJump(config, { host, port, user }, around, place.depth)),
    notes:
      config.proxyCommand !== undefined &&
      config.proxyCommand.toLowerCase() !== "none" &&
      config.proxyJump === undefined
        ? [
            "the OpenSSH configuration has a ProxyCommand for this host, which is not supported (use ProxyJump or `proxy`)",
          ]
        : [],
  };
}

async function lookUp(given: ProxyConnection, around: Surroundings): Promise<OpenSshHost> {
  try {
    return await openSshHost(given.host, given.user, around.home, around);
  } catch (thrown) {
    throw new SshError("settings", given.host, `${around.home}/.ssh/config cannot be read: ${reason(thrown)}`, {
      cure: `Correct the file; ssh -G ${given.host} shows what ssh makes of it.`,
    });
  }
}

/** `ProxyJump a,b` is the way over a to b to the host; what a and b are is looked up like any host, as ssh(1) does it. */
async function proxyJump(
  config: OpenSshHost,
  self: { host: string; port: number; user: string },
  around: Surroundings,
  depth: number,
): Promise<Settings | undefined> {
  if (config.proxyJump === undefined || config.proxyJump.toLowerCase() === "none") return undefined;
  let before: Settings | undefined;
  for (const text of config.proxyJump.split(",")) {
    const hop = parseHop(text.trim());
    if (hop === undefined || depth >= MOST_JUMPS) {
      throw new SshError(
        "settings",
        self.host,
        `ProxyJump "${config.proxyJump}" of the OpenSSH configuration cannot be used`,
        {
          cure: `Write [user@]host[:port], and at most ${MOST_JUMPS} of them on the way.`,
        },
      );
    }
    const found = await lookUp(hop, around);
    // `Host *` with a ProxyJump also matches the jump host itself.
    if ((found.hostName ?? hop.host) === self.host && (hop.port ?? Number(found.port ?? 22)) === self.port) continue;
    before = await settingsOf(hop, around, { defaultUser: around.localUser, depth: depth + 1, jump: before });
  }
  return before;
}

function parseHop(text: string): ProxyConnection | undefined {
  const parts = /^(?:ssh:\/\/)?(?:([^@\s]+)@)?(?:\[([^\]\s]+)\]|([^:@\s/]+))(?::(\d+))?\/?$/.exec(text);
  if (!parts) return undefined;
  const [, user, bracketed, plain, port] = parts;
  return { host: bracketed ?? plain ?? "", user, port: port === undefined ? undefined : Number(port) };
}

function knownHostsFiles(
  config: OpenSshHost,
  path: (text: string) => string,
  around: Surroundings,
): { files: { path: string; text: string }[]; file: string; searched: string[] } {
  const usable = (paths: readonly string[]): string[] =>
    paths.filter((each) => each.toLowerCase() !== "none").map(path);
  const user = usable(config.userKnownHostsFiles ?? ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]);
  const global = usable(config.globalKnownHostsFiles ?? ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]);
  const files = [...user, ...global].flatMap((each) => {
    const text = around.read(each);
    return text === undefined ? [] : [{ path: each, text }];
  });
  return { files, file: user[0] ?? path("~/.ssh/known_hosts"), searched: files.map((each) => each.path) };
}

function credentials(
  given: ProxyConnection,
  config: OpenSshHost,
  path: (text: string) => string,
  { env }: Surroundings,
): Credential[] {
  const { privateKey, privateKeyPassword: passphrase, password } = given;
  const named = config.identityFiles.filter((file) => file.toLowerCase() !== "none").map(path);
  const agent = (socket: string | undefined, from: string, required: boolean): Credential[] =>
    socket
      ? [{ kind: "agent", from, socket, identities: named, only: !required && config.identitiesOnly, required }]
      : [];
  const file = (each: string | undefined, from: string, required: boolean): Credential[] =>
    each ? [{ kind: "file", from, path: path(each), passphrase, required }] : [];

  const environment = [
    ...file(env[IDENTITY_FILE], `${IDENTITY_FILE}=${env[IDENTITY_FILE] ?? ""}`, true),
    ...agent(env[AUTH_SOCK], `${AUTH_SOCK}=${env[AUTH_SOCK] ?? ""}`, true),
  ];
  const explicit: Credential[] = [
    ...(privateKey ? [{ kind: "key" as const, from: "privateKey of connection", text: privateKey, passphrase }] : []),
    ...agent(given.agentSocketPath, `agentSocketPath of connection (${given.agentSocketPath ?? ""})`, true),
    ...(password ? [{ kind: "password" as const, from: "password of connection", password }] : []),
  ];
  const ambientAgent = given.agentSocketPath || env[AUTH_SOCK] ? [] : agent(...ambientSocket(config, path, env), false);
  const identityFiles = named.length > 0 || config.identityFiles.length > 0 ? named : DEFAULT_IDENTITIES.map(path);
  const open = !privateKey && !password && !env[IDENTITY_FILE];
  return [
    ...environment,
    ...explicit,
    ...ambientAgent,
    ...(open ? identityFiles.flatMap((each) => file(each, `identity file ${each}`, false)) : []),
  ];
}

const DEFAULT_IDENTITIES = ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"];

function ambientSocket(
  config: OpenSshHost,
  path: (text: string) => string,
  env: Surroundings["env"],
): [socket: string | undefined, from: string] {
  const setting = config.identityAgent;
  const variable =
    setting === undefined || setting === "SSH_AUTH_SOCK" ? "SSH_AUTH_SOCK" : /^\$\{?(\w+)\}?$/.exec(setting)?.[1];
  if (variable !== undefined) return [env[variable], `agent of ${variable}`];
  if (setting?.toLowerCase() === "none") return [undefined, ""];
  return [path(setting ?? ""), `IdentityAgent ${setting ?? ""}`];
}

/** ssh_config(5), TOKENS and ENVIRONMENT VARIABLES. */
function expand(text: string, tokens: Readonly<Record<string, string>>, around: Surroundings): string {
  const local = hostname();
  const all: Readonly<Record<string, string>> = {
    ...tokens,
    "%": "%",
    d: around.home,
    u: around.localUser,
    l: local,
    L: local.split(".")[0] ?? local,
  };
  return text
    .replace(/^~(?=\/|$)/, around.home)
    .replace(/\$\{(\w+)\}/g, (whole, name: string) => around.env[name] ?? whole)
    .replace(/%([%a-zA-Z])/g, (whole, token: string) => all[token] ?? whole);
}

function localUser(): string {
  try {
    return userInfo().username;
  } catch {
    // A user id without a passwd entry, as in some CI containers.
    return process.env["USER"] ?? "root";
  }
}

function ifThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (thrown) {
    const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
    // A file that the user cannot read is, as for ssh(1), one that is not there.
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EACCES" || code === "EISDIR") return undefined;
    throw thrown;
  }
}
