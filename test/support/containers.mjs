// Finds docker or podman, or installs podman, for the throwaway mail hosts. Only Node itself: this runs before `npm ci`.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { run } from "./command.mjs";

const INSTALL = ["podman", "runc", "netavark", "aardvark-dns", "iptables"];
const TRIAL_IMAGE = "localhost/pulumi-dovecot-postfix-trial:1";

/**
 * What podman needs where systemd does not run and the machine's limits are low: crun refuses hybrid cgroups, the
 * default limits ask for more than the machine allows, and there is no journal to log to.
 */
const MODEST_PODMAN = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=16384:16384"]
log_driver = "k8s-file"

[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
`;

let found;
/** The first container engine that really runs a container; podman from the distribution's packages where none does. */
export function ensureContainers(log) {
  found ??= findOrInstall(log);
  return found;
}

/** Runs `docker` or `podman` with these arguments and resolves to what it prints. */
export async function engine(containers, args, { seconds = 60 } = {}) {
  const { stdout } = await promisify(execFile)(containers.command, args, {
    env: { ...process.env, ...containers.env },
    timeout: seconds * 1000,
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout.trim();
}

/** Where everything that outlives a run is kept: the user's cache directory. */
export async function cacheDirectory() {
  const directory = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "pulumi-dovecot-postfix");
  await mkdir(directory, { recursive: true });
  return directory;
}

async function findOrInstall(log) {
  const file = join(await cacheDirectory(), "containers.json");
  const known = await foundEarlier(file);
  if (known) return known;
  const works = await find(log);
  await writeFile(file, JSON.stringify({ boot: await boot(), works }));
  return works;
}

/** The trials below take a second or two: once a boot is enough, as long as the engine answers. */
async function foundEarlier(file) {
  try {
    const { boot: at, works } = JSON.parse(await readFile(file, "utf8"));
    if (at !== (await boot())) return undefined;
    await engine(works, ["version"], { seconds: 20 });
    return works;
  } catch {
    return undefined;
  }
}

async function boot() {
  return process.platform === "linux" ? readFile("/proc/sys/kernel/random/boot_id", "utf8") : String(process.ppid);
}

async function find(log) {
  const reasons = [];
  const works = await firstThatRuns(reasons);
  if (works) return works;

  const mayInstall = process.getuid?.() === 0 && (await answers("apt-get", ["--version"]));
  if (mayInstall) {
    log("installing podman");
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    await run("apt-get", ["update", "-qq"], { env });
    await run("apt-get", ["install", "-qq", "--no-install-recommends", ...INSTALL], { env });
    const installed = await firstThatRuns(reasons);
    if (installed) return installed;
  }
  throw new Error(
    ["no container engine works; install one with:  sudo apt-get install podman", ...new Set(reasons)].join("\n  "),
  );
}

async function firstThatRuns(reasons) {
  for (const candidate of await candidates()) {
    try {
      // A docker client without its engine fails here.
      await engine(candidate, ["info"], { seconds: 20 });
      await trial(candidate);
      return { ...candidate, local: await isLocal(candidate) };
    } catch (error) {
      reasons.push(`${candidate.command}: ${lastLine(error.stderr || error.message)}`);
    }
  }
  return undefined;
}

async function candidates() {
  const conf = join(await cacheDirectory(), "containers.conf");
  await writeFile(conf, MODEST_PODMAN);
  return [
    { command: "docker", runArgs: [], env: {} },
    { command: "podman", runArgs: [], env: {} },
    { command: "podman", runArgs: [], env: { CONTAINERS_CONF: conf } },
  ];
}

/** `info` succeeds where no container can be started, so starts one: a program of a few bytes, from no registry. */
async function trial(candidate) {
  const program = smallestProgram();
  if (!program) return;
  const known = await engine(candidate, ["image", "inspect", TRIAL_IMAGE]).then(
    () => true,
    () => false,
  );
  if (!known) {
    const work = await mkdtemp(join(tmpdir(), "containers-"));
    try {
      await writeFile(join(work, "true"), program, { mode: 0o755 });
      await promisify(execFile)("tar", ["-cf", join(work, "image.tar"), "-C", work, "true"]);
      await engine(candidate, ["import", join(work, "image.tar"), TRIAL_IMAGE]);
    } finally {
      await rm(work, { recursive: true });
    }
  }
  await engine(candidate, ["run", "--rm", ...candidate.runArgs, TRIAL_IMAGE, "/true"]);
}

/** An ELF executable that exits with 0, or undefined for a processor not known here. */
function smallestProgram() {
  const machine = {
    // mov $60, %eax; xor %edi, %edi; syscall
    x64: { id: 62, code: "b83c00000031ff0f05" },
    // mov x8, #93; mov x0, #0; svc #0
    arm64: { id: 183, code: "a80b8052000080d2010000d4" },
  }[process.arch];
  if (!machine) return undefined;
  const code = Buffer.from(machine.code, "hex");
  const base = 0x400000n;
  const headers = Buffer.alloc(120);
  headers.write("\x7fELF\x02\x01\x01", "latin1"); // 64 bit, little endian
  headers.writeUInt16LE(2, 16); // executable
  headers.writeUInt16LE(machine.id, 18);
  headers.writeUInt32LE(1, 20);
  headers.writeBigUInt64LE(base + 120n, 24); // entry point: behind the headers
  headers.writeBigUInt64LE(64n, 32); // one program header, behind this one
  headers.writeUInt16LE(64, 52);
  headers.writeUInt16LE(56, 54);
  headers.writeUInt16LE(1, 56);
  headers.writeUInt32LE(1, 64); // load
  headers.writeUInt32LE(5, 68); // read and execute
  headers.writeBigUInt64LE(base, 80);
  headers.writeBigUInt64LE(base, 88);
  headers.writeBigUInt64LE(BigInt(120 + code.length), 96);
  headers.writeBigUInt64LE(BigInt(120 + code.length), 104);
  headers.writeBigUInt64LE(0x1000n, 112);
  return Buffer.concat([headers, code]);
}

/** Only root's own engine on Linux gives containers addresses that can be reached from here. */
async function isLocal(candidate) {
  if (process.platform !== "linux" || process.getuid() !== 0) return false;
  return (
    candidate.command === "podman" || !/rootless/.test(await engine(candidate, ["info", "-f", "{{.SecurityOptions}}"]))
  );
}

async function answers(command, args) {
  return promisify(execFile)(command, args).then(
    () => true,
    () => false,
  );
}

function lastLine(text) {
  return text.trim().split("\n").at(-1);
}
