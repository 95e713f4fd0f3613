// Throwaway mail hosts: Debian with sshd, Dovecot, Postfix and rsyslog, each in a container of its own, all in one network.
//
//   const host = await startHost("bookworm");
//   await host.run("postconf -n");
//
// They go with the process that started them.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import type { Containers } from "./containers.mjs" with { "resolution-mode": "import" };
import { converse, type Dialogue, type DialogueTarget } from "./dialogue.js";
import { changesByItself, watchedPaths } from "./host-files.js";

export type { Dialogue, DialogueTarget } from "./dialogue.js";

/** bookworm: Dovecot 2.3 and Postfix 3.7; trixie: Dovecot 2.4 and Postfix 3.10. */
export type Debian = "bookworm" | "trixie";

export interface HostOptions {
  /**
   * passwd-file (default): virtual users alice, bob and carol @example.com, passwords "alicepassword" and so on.
   * pam: Debian's stock passdb; system users alice and bob with the same passwords.
   */
  users?: "passwd-file" | "pam";
  /** So many ports for servers of the test's own, reached where sshd is: `host.ports`. */
  ports?: number;
}

/** What an SSH client needs. */
export interface Connection {
  host: string;
  port: number;
  user: "root";
  /** OpenSSH format. */
  privateKey: string;
  /** "ssh-ed25519 AAAA...". */
  hostKey: string;
}

/** All text is latin1, one character a byte, so that any byte survives. */
export interface Output {
  stdout: string;
  stderr: string;
  code: number;
}

const EXEC_SECONDS = 60;
const FIRST_ADDRESS = 10;
const LAST_ADDRESS = 254;
const NETWORK_ATTEMPTS = 20;

/** Resolves when sshd, Postfix and Dovecot listen on all their ports. */
export async function startHost(debian: Debian, options: HostOptions = {}): Promise<Host> {
  const { containers, image, network, key, engine } = await once();
  const from = await image(debian);
  const n = ++started;
  const name = `${owner}-${n}`;
  const address = `${network.prefix}.${FIRST_ADDRESS + ((n - 1) % (LAST_ADDRESS - FIRST_ADDRESS + 1))}`;
  const port = containers.local ? 22 : await freePort();
  const ports = await Promise.all(Array.from({ length: options.ports ?? 0 }, freePort));
  const published = containers.local ? [] : [`${port}:22`, ...ports.map((each) => `${each}:${each}`)];
  const host = new Host(debian, name, address, ports, containers, engine);
  running.add(host);
  await engine([
    ...["run", "--detach", "--name", name, "--label", `pulumi-dovecot-postfix=${owner}`, ...containers.runArgs],
    ...["--network", network.name, "--ip", address, "--hostname", "mail.example.com"],
    // No name server: a lookup fails at once instead of waiting for one that nobody reaches.
    ...["--dns", "127.0.0.1", "--tmpfs", "/run:rw,mode=755"],
    // sshd's PAM session; second addresses and packet loss for tests.
    ...["--cap-add", "AUDIT_WRITE", "--cap-add", "NET_ADMIN"],
    ...published.flatMap((each) => ["--publish", `127.0.0.1:${each}`]),
    ...["--env", `MAILHOST_USERS=${options.users ?? "passwd-file"}`],
    ...["--env", `MAILHOST_AUTHORIZED_KEY=${key.publicKey}`],
    from,
  ]);
  await host.ready();
  const hostKey = (await host.read("/etc/ssh/ssh_host_ed25519_key.pub")).trim();
  const at = containers.local ? address : "127.0.0.1";
  host.connection = { host: at, port, user: "root", privateKey: key.privateKey, hostKey };
  return host;
}

/** Removes every host that this process started. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((host) => host.stop()));
  if (!shared) return;
  const { engine, network } = await shared;
  shared = undefined;
  await engine(["network", "rm", network.name]);
}

export class Host {
  connection!: Connection;
  /** The command that enters the container, before the program to run there. */
  private enter: string[] = [];

  constructor(
    readonly debian: Debian,
    readonly name: string,
    /** In the network of all hosts. */
    readonly address: string,
    readonly ports: number[],
    private readonly containers: Containers,
    private readonly engine: (args: string[]) => Promise<string>,
  ) {}

  /** `sh -c script` as root. */
  async exec(script: string, options: { input?: string } = {}): Promise<Output> {
    const [command, ...args] = [...this.enter, "sh", "-c", script];
    const child = spawn(command, args, { env: this.environment() });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("latin1").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("latin1").on("data", (text: string) => (stderr += text));
    // A script that does not read its input closes the pipe: that is its right.
    child.stdin.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") child.emit("error", error);
    });
    child.stdin.end(Buffer.from(options.input ?? "", "latin1"));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        child.kill("SIGKILL");
        reject(new Error(`${this.name}: not done after ${EXEC_SECONDS} s: ${script}\n${stdout}${stderr}`));
      }, EXEC_SECONDS * 1000);
      child.on("error", reject);
      child.on("close", (code) => {
        clearTimeout(timer);
        resolve({ stdout, stderr, code: code ?? 255 });
      });
    });
  }

  /** Like exec, but an exit code other than 0 is an error; resolves to stdout. */
  async run(script: string, options: { input?: string } = {}): Promise<string> {
    const { stdout, stderr, code } = await this.exec(script, options);
    if (code !== 0) throw new Error(`${this.name}: exit code ${code}: ${script}\n${stdout}${stderr}`);
    return stdout;
  }

  read(path: string): Promise<string> {
    return this.run(`cat ${quote(path)}`);
  }

  /** Creates or overwrites; an existing file keeps its owner, and its mode unless one is given ("0640"). */
  async write(path: string, text: string, mode?: string): Promise<void> {
    const chmod = mode === undefined ? "" : ` && chmod ${mode} ${quote(path)}`;
    await this.run(`cat >${quote(path)}${chmod}`, { input: text });
  }

  /**
   * Everything below `paths`, by default wherever configuration could be left: the path, and "type mode owner group
   * sha256" (for a link its target). Without what the daemons change by themselves. Two equal maps: byte for byte the same.
   */
  async files(paths: readonly string[] = watchedPaths): Promise<Map<string, string>> {
    const roots = paths.map(quote).join(" ");
    const list = `find ${roots} -printf '%p\\0%y\\0%m %u %g\\0%l\\0' && printf '\\0\\0' && find ${roots} -type f -exec sha256sum -z {} +`;
    // Once more where a daemon took a file of its own away between the two.
    const [listing = "", sums = ""] = (await this.run(list).catch(() => this.run(list))).split("\0\0\0");
    const sha256 = new Map(sums.split("\0").map((line) => [line.slice(66), line.slice(0, 64)]));
    const fields = listing.split("\0");
    const files = new Map<string, string>();
    for (let i = 0; i + 3 < fields.length; i += 4) {
      const [path = "", type = "", ownership = "", target = ""] = fields.slice(i, i + 4);
      if (changesByItself(path, type)) continue;
      files.set(path, `${type} ${ownership} ${type === "f" ? (sha256.get(path) ?? "gone") : target}`.trimEnd());
    }
    return files;
  }

  mailLog(): Promise<string> {
    return this.log("mail.log");
  }

  authLog(): Promise<string> {
    return this.log("auth.log");
  }

  /** Talks to a server line by line, from this host. `from` in the target chooses the source address. */
  dialogue<T>(target: DialogueTarget, steps: (dialogue: Dialogue) => Promise<T>): Promise<T> {
    return converse(this.enter, this.environment(), target, steps);
  }

  /**
   * The host's process table is full at this many more than there are now; undefined: there is room again. False where this
   * machine's cgroups cannot do that.
   */
  async limitProcesses(more: number | undefined): Promise<boolean> {
    const pid = await this.engine(["inspect", "--format", "{{.State.Pid}}", this.name]);
    const group = /^\d+:pids:(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[1] ?? "";
    const directory = `/sys/fs/cgroup/pids${group}`;
    if (!this.containers.local || group === "" || !existsSync(`${directory}/pids.max`)) return false;
    const now = Number(readFileSync(`${directory}/pids.current`, "utf8"));
    writeFileSync(`${directory}/pids.max`, more === undefined ? "max" : String(now + more));
    return true;
  }

  /** Pulls the plug and switches on again; resolves when all servers listen. */
  async reboot(): Promise<void> {
    // `podman restart --time 0` takes three times as long; `start` does nothing for a container that is still going.
    await this.engine(["kill", this.name]);
    await this.engine(["wait", ...(this.containers.command === "podman" ? ["--interval", "20ms"] : []), this.name]);
    await this.engine(["start", this.name]);
    await this.ready();
  }

  /** Removes the host. */
  async stop(): Promise<void> {
    if (running.delete(this)) await this.engine(["rm", "--force", this.name]);
  }

  /** Resolves when the container's first process has started everything. */
  async ready(): Promise<void> {
    const pid = await this.engine(["inspect", "--format", "{{.State.Pid}}", this.name]);
    const local = this.containers.local && existsSync(`/proc/${pid}/root/opt/mailhost`);
    // 5 ms instead of the 200 ms of `podman exec`.
    this.enter = local
      ? ["nsenter", "--target", pid, "--mount", "--uts", "--ipc", "--net", "--pid"]
      : [this.containers.command, "exec", "--interactive", this.name];
    const { code, stderr } = await this.exec("until [ -e /run/mailhost-ready ]; do sleep 0.01; done");
    if (code !== 0) throw new Error(`${this.name} did not start: ${stderr}${await this.engine(["logs", this.name])}`);
  }

  private async log(file: string): Promise<string> {
    // rsyslog creates it with the first message.
    return this.run(`[ ! -e /var/log/${file} ] || cat /var/log/${file}`);
  }

  private environment(): NodeJS.ProcessEnv {
    return this.enter[0] === "nsenter"
      ? { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", USER: "root" }
      : { ...process.env, ...this.containers.env };
  }
}

interface Shared {
  containers: Containers;
  image: (debian: Debian) => Promise<string>;
  network: { name: string; prefix: string };
  key: { privateKey: string; publicKey: string };
  engine: (args: string[]) => Promise<string>;
}

const running = new Set<Host>();
let started = 0;
let shared: Promise<Shared> | undefined;

/** Who may be told apart from whom: processes that see the same process ids of the same boot. */
const scope = `mailhost-${createHash("sha256").update(processSpace()).digest("hex").slice(0, 8)}`;
const owner = `${scope}-${process.pid}`;

function once(): Promise<Shared> {
  shared ??= prepare();
  return shared;
}

async function prepare(): Promise<Shared> {
  const log = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  const { cacheDirectory, engine: callEngine, ensureContainers } = await import("./containers.mjs");
  const { ensureImages } = await import("./images.mjs");
  const containers = await ensureContainers(log);
  const engine = (args: string[]): Promise<string> => callEngine(containers, args);
  const images = new Map<Debian, Promise<string>>();
  const image = (debian: Debian): Promise<string> => {
    const made = images.get(debian) ?? ensureImages(log, [debian]).then((names) => names[debian]);
    images.set(debian, made);
    return made;
  };
  const [network, key] = await Promise.all([
    removeLeftovers(engine).then(() => createNetwork(containers, engine)),
    cacheDirectory().then(clientKey),
  ]);
  process.on("exit", () => {
    removeNow(containers, network.name);
  });
  return { containers, image, network, key, engine };
}

/** A process that was killed could not remove its hosts. */
async function removeLeftovers(engine: Shared["engine"]): Promise<void> {
  for (const [list, remove] of [
    [
      ["ps", "--all", "--format", "{{.Names}}"],
      ["rm", "--force"],
    ],
    [
      ["network", "ls", "--format", "{{.Name}}"],
      ["network", "rm"],
    ],
  ] as const) {
    const leftovers = async (): Promise<string[]> => (await engine([...list])).split("\n").filter(isLeftover);
    for (const name of await leftovers()) {
      try {
        await engine([...remove, name]);
      } catch (error) {
        // Another process may have removed it meanwhile.
        if ((await leftovers()).includes(name)) throw error;
      }
    }
  }
}

function isLeftover(name: string): boolean {
  return name.startsWith(`${scope}-`) && !isAlive(Number(name.split("-")[2]));
}

/** A free 10.77.x.0/24 that no other process holds. */
async function createNetwork(containers: Containers, engine: Shared["engine"]): Promise<Shared["network"]> {
  const taken = Object.values(networkInterfaces()).flatMap(
    (addresses) => addresses?.map(({ address }) => address) ?? [],
  );
  const first = process.pid % 256;
  for (let i = 0; i < NETWORK_ATTEMPTS; i++) {
    const prefix = `10.77.${(first + i) % 256}`;
    if (taken.some((address) => address.startsWith(`${prefix}.`))) continue;
    const dns = containers.command === "podman" ? ["--disable-dns"] : [];
    try {
      await engine(["network", "create", ...dns, "--subnet", `${prefix}.0/24`, owner]);
      return { name: owner, prefix };
    } catch (error) {
      // Another process took it between the look and the leap.
      if (i === NETWORK_ATTEMPTS - 1 || !/subnet|overlap|pool/i.test(String(error))) throw error;
    }
  }
  throw new Error("no free network in 10.77.0.0/16");
}

function clientKey(directory: string): Shared["key"] {
  const file = `${directory}/id_ed25519`;
  if (!existsSync(file)) {
    try {
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "throwaway test hosts", "-f", file]);
    } catch (error) {
      // Another process made it at the same moment.
      if (!existsSync(`${file}.pub`)) throw error;
    }
  }
  return { privateKey: readFileSync(file, "latin1"), publicKey: readFileSync(`${file}.pub`, "latin1").trim() };
}

/** On the way out there is no waiting for promises. */
function removeNow(containers: Containers, network: string): void {
  if (!shared) return;
  const call = (...args: string[]): void => {
    const env = { ...process.env, ...containers.env };
    spawnSync(containers.command, args, { env, stdio: ["ignore", "ignore", "inherit"] });
  };
  if (running.size > 0) call("rm", "--force", ...[...running].map((host) => host.name));
  call("network", "rm", network);
}

function processSpace(): string {
  return process.platform === "linux"
    ? `${readFileSync("/proc/sys/kernel/random/boot_id", "latin1")} ${readlinkSync("/proc/self/ns/pid")}`
    : "";
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        resolve(typeof address === "object" && address ? address.port : 0);
      });
    });
  });
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
