// What `npm run demo`, `npm test` and `npm run bench` need, made ready in a fresh clone that has only Node:
//
//   node test/support/setup.mjs [--no-hosts | --hosts bookworm,trixie] [--tools]
import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { run } from "./command.mjs";

const HEARTBEAT_SECONDS = 15;
const root = fileURLToPath(new URL("../../", import.meta.url));
const started = Date.now();
/** What each part is at, for the heartbeat. */
const doing = new Map();

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
setInterval(() => doing.forEach((what, part) => say(part, `still ${what}`)), HEARTBEAT_SECONDS * 1000);

try {
  if (Number(process.versions.node.split(".")[0]) < 20)
    throw new Error(`Node ${process.version} is too old: install 20`);
  const { values: options } = parseArgs({
    options: {
      "no-hosts": { type: "boolean" },
      hosts: { type: "string", default: "bookworm,trixie" },
      tools: { type: "boolean" },
    },
  });
  await Promise.all([
    part("packages", packages),
    part("engine", async (log) => (await import("./engine.mjs")).ensureEngine(log)),
    system(options),
  ]);
  process.stderr.write(`set-up: ready in ${seconds()} s\n`);
  process.exit(0);
} catch (error) {
  process.stderr.write(`set-up failed: ${error.message}\n`);
  process.exit(1); // also ends what the other parts have running
}

async function packages(log) {
  if (changed("package-lock.json") > changed("node_modules/.package-lock.json")) {
    log("npm ci");
    // NODE_ENV=production would leave out the compiler and the test runner.
    await run("npm", ["ci", "--include=dev", "--no-audit", "--no-fund"], { cwd: root });
  }
  doing.set("packages", "npm run build");
  await run("npm", ["run", "--silent", "build"], { cwd: root });
}

/** One after the other: both may install packages of the operating system, which locks out whoever comes second. */
async function system({ tools, "no-hosts": noHosts, hosts: names }) {
  if (tools) await part("tools", async (log) => (await import("./tools.mjs")).ensureTools(log));
  if (!noHosts) await part("hosts", (log) => hosts(log, names.split(",")));
}

async function hosts(log, names) {
  const { ensureContainers } = await import("./containers.mjs");
  const { ensureImages } = await import("./images.mjs");
  await ensureContainers(log);
  await ensureImages(log, names);
}

async function part(name, work) {
  doing.set(name, "checking");
  try {
    await work((line) => {
      doing.set(name, line);
      say(name, line);
    });
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
  doing.delete(name);
}

function say(name, line) {
  process.stderr.write(`[${seconds().padStart(5)} s] ${name}: ${line}\n`);
}

function seconds() {
  return ((Date.now() - started) / 1000).toFixed(1);
}

function changed(file) {
  return statSync(`${root}${file}`, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
