// What the tests need that is no npm package. Only Node itself: this runs before `npm ci`.
import { access, constants, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { run } from "./command.mjs";

/** By program: the package that has it. */
const packages = new Map([
  ["/usr/bin/shellcheck", "shellcheck"],
  ["/usr/bin/ssh-agent", "openssh-client"],
  // A program for the host is read by three shells; dash and bash are in each Debian.
  ["/usr/bin/busybox", "busybox"],
  // The script of examples/.github has it on GitHub's machines.
  ["/usr/bin/jq", "jq"],
]);
/** Built from their Go modules where they are not there: some seconds, once. Go 1.21 and later get the Go they need themselves. */
const actionlint = { name: "actionlint", version: "1.7.12", module: "github.com/rhysd/actionlint/cmd/actionlint" };
const toxiproxy = {
  name: "toxiproxy-server",
  version: "2.12.0",
  module: "github.com/Shopify/toxiproxy/v2/cmd/server",
};

export async function ensureTools(log) {
  const missing = [];
  for (const [program, name] of packages) if (!(await isThere(program))) missing.push(name);
  if (missing.length > 0) await install(log, missing);
  await ensureActionlint(log);
  await ensureToxiproxy(log);
}

/** The linter of GitHub's workflows. Resolves to the program. */
export function ensureActionlint(log, env = process.env) {
  return ensureGoProgram(actionlint, log, env);
}

/** A TCP proxy that delays, cuts and swallows what passes: the one on PATH, else ours. Resolves to the program. */
export async function ensureToxiproxy(log, env = process.env) {
  for (const directory of (env.PATH ?? "").split(delimiter).filter(Boolean)) {
    if (await isThere(join(directory, toxiproxy.name))) return join(directory, toxiproxy.name);
  }
  return ensureGoProgram(toxiproxy, log, env);
}

async function ensureGoProgram({ name, version, module }, log, env) {
  const cache = join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "pulumi-dovecot-postfix");
  const home = join(cache, name, version);
  const program = join(home, name);
  if (await isThere(program)) return program;

  await run("go", ["version"], { env }).catch(() => install(log, ["golang-go"]));
  log(`building ${name} ${version} from its Go module`);
  await mkdir(dirname(home), { recursive: true });
  const work = await mkdtemp(join(dirname(home), `.${process.pid}-`));
  try {
    await run("go", ["install", "-trimpath", "-ldflags", "-s -w", `${module}@v${version}`], {
      env: { ...env, GOBIN: work, GOFLAGS: "", GOWORK: "off", CGO_ENABLED: "0" },
    });
    // Go names it as the module's last directory.
    await rename(join(work, basename(module)), join(work, name));
    // One rename: the cache holds a whole program or none. Whoever else built one was as good.
    await rename(work, home).catch(async (error) => {
      if (!(await isThere(program))) throw error;
    });
  } catch (error) {
    throw new Error(
      `the tests need ${name}: install it, or Go 1.21 or later (https://go.dev/doc/install)\n  ${error.message}`,
    );
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return program;
}

function isThere(program) {
  return access(program, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function install(log, names) {
  log(`apt-get install ${names.join(" ")}`);
  try {
    await apt("update");
    await apt("install", "--yes", "--no-install-recommends", ...names);
  } catch (error) {
    throw new Error(
      `the tests need ${names.join(", ")}: install your system's packages of these names\n  ${error.message}`,
    );
  }
}

async function apt(...args) {
  const become = process.getuid() === 0 ? [] : ["sudo", "--non-interactive"];
  const [command, ...rest] = [...become, "apt-get", "-o", "DPkg::Lock::Timeout=300", ...args];
  await run(command, rest, { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
}
