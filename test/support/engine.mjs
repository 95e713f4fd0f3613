// Finds the Pulumi engine, or installs one for the tests and the demo. Only Node itself: this runs before `npm ci`.
import { accessSync, constants, realpathSync, rmSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, join, sep } from "node:path";
import { run } from "./command.mjs";
import { downloadRelease } from "./engine/release.mjs";
import { buildFromSource } from "./engine/source.mjs";

/** The engine that is installed where the user has none. */
const VERSION = "3.259.0";
/** The engine and the SDK are released together: an engine older than the SDK in package.json is not used. */
const OLDEST = "3.248.0";
/** The CLI, the host of Node programs, and the script that starts the process of dynamic resources. */
const PROGRAMS = ["pulumi", "pulumi-language-nodejs", "pulumi-resource-pulumi-nodejs"];

/**
 * The user's own engine, else the one in the cache, else Pulumi's release, else a build from source.
 *
 * `bin` is the directory to put first on PATH, or "" where the user's own engine is on PATH already.
 */
export async function ensureEngine(log, env = process.env) {
  const own = await usersEngine(log, env);
  if (own) return { bin: "", version: own };

  const engines = join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "pulumi-dovecot-postfix", "engine");
  const home = join(engines, VERSION);
  const engine = { bin: join(home, "bin"), version: VERSION };
  if (await runs(engine.bin, env)) return engine;

  await mkdir(engines, { recursive: true });
  await removeLeftovers(engines);
  const reasons = [];
  for (const install of [downloadRelease, buildFromSource]) {
    const work = await mkdtemp(join(engines, `.${process.pid}-`));
    const removeWork = () => rmSync(work, { recursive: true, force: true });
    process.on("exit", removeWork);
    try {
      await install({ version: VERSION, programs: PROGRAMS, work, log, env });
      if (!(await runs(join(work, "whole", "bin"), env))) throw new Error("the pulumi just installed does not run");
      await moveIntoPlace(work, home, env);
      return engine;
    } catch (error) {
      reasons.push(error.message);
      log(error.message);
    } finally {
      process.off("exit", removeWork);
      removeWork();
    }
  }
  throw new Error(
    ["no Pulumi engine; install it with:  curl -fsSL https://get.pulumi.com | sh", ...reasons].join("\n  "),
  );
}

async function usersEngine(log, env) {
  const path = (env.PATH ?? "").split(delimiter).filter(Boolean);
  // The npm package `pulumi` puts a downloader of that name into node_modules/.bin, in front of the real one.
  const directory = path.find((d) => !d.split(sep).includes("node_modules") && isProgram(join(d, "pulumi")));
  if (!directory) return undefined;
  const pulumi = join(directory, "pulumi");

  const searched = [directory, dirname(realpathSync(pulumi)), ...path];
  const missing = PROGRAMS.find((name) => !searched.some((d) => isProgram(join(d, name))));
  const version = await versionOf(pulumi, env);
  if (missing) log(`${pulumi} is not used: ${missing} is neither beside it nor on PATH`);
  else if (!version) log(`${pulumi} is not used: "pulumi version" fails`);
  else if (isOlder(version, OLDEST)) log(`${pulumi} is not used: its version ${version} is older than ${OLDEST}`);
  else return version;
  return undefined;
}

async function runs(bin, env) {
  return PROGRAMS.every((name) => isProgram(join(bin, name))) && Boolean(await versionOf(join(bin, "pulumi"), env));
}

async function versionOf(pulumi, env) {
  // A program that cannot even tell its version is the same as none.
  const answer = await run(pulumi, ["version"], { env: { ...env, PULUMI_SKIP_UPDATE_CHECK: "true" } }).catch(() => "");
  return /^v?(\d+\.\d+\.\d+)/.exec(answer.trim())?.[1];
}

function isOlder(version, limit) {
  const [a, b] = [version, limit].map((v) => v.split(".").map(Number));
  const differing = a.findIndex((part, i) => part !== b[i]);
  return differing >= 0 && a[differing] < b[differing];
}

function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** One rename, so that the cache holds a whole engine or none, whoever else installs one at the same time. */
async function moveIntoPlace(work, home, env) {
  for (let damaged = 0; ; damaged++) {
    try {
      return await rename(join(work, "whole"), home);
    } catch (error) {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    }
    if (await runs(join(home, "bin"), env)) return;
    await rename(home, join(work, `damaged-${damaged}`)).catch((error) => {
      if (error.code !== "ENOENT") throw error; // the other set-up was first
    });
  }
}

/** What a killed installation left: its directory begins with the number of a process that is gone. */
async function removeLeftovers(engines) {
  for (const name of await readdir(engines)) {
    const pid = /^\.(\d+)-/.exec(name)?.[1];
    if (pid && !isAlive(Number(pid))) await rm(join(engines, name), { recursive: true, force: true });
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
