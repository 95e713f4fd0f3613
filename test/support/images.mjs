// Builds the images of the throwaway mail hosts. Only Node itself: this runs before `npm ci`.
import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./command.mjs";
import { engine, ensureContainers } from "./containers.mjs";

const REPOSITORY = "localhost/pulumi-dovecot-postfix";
const PULL_SECONDS = 20;
const context = fileURLToPath(new URL("./images", import.meta.url));

/** Makes the images of these Debian releases, unless they are there already; resolves to their names by release. */
export async function ensureImages(log, names = ["bookworm", "trixie"]) {
  const containers = await ensureContainers(log);
  const digest = await digestOf(context);
  const images = await Promise.all(
    names.map(async (name) => {
      const image = `${REPOSITORY}:${name}-${digest}`;
      if (!(await exists(containers, image))) {
        const base = await ensureBase(containers, log, name);
        log(`building the ${name} mail host`);
        await runEngine(containers, [
          "build",
          ...["--network", "host", "--build-arg", `BASE=${base}`, "--tag", image, context],
        ]);
      }
      return [name, image];
    }),
  );
  return Object.fromEntries(images);
}

async function ensureBase(containers, log, name) {
  const base = `${REPOSITORY}-base:${name}`;
  if (await exists(containers, base)) return base;
  const published = `docker.io/library/debian:${name}-slim`;
  try {
    await engine(containers, ["pull", "--quiet", published], { seconds: PULL_SECONDS });
    await engine(containers, ["tag", published, base]);
  } catch {
    log(`${published} cannot be pulled: making it from Debian's packages`);
    await bootstrap(containers, log, name, base);
  }
  return base;
}

async function bootstrap(containers, log, name, base) {
  await ensureMmdebstrap(log);
  const work = await mkdtemp(join(tmpdir(), "mmdebstrap-"));
  try {
    const tar = join(work, `${name}.tar`);
    await run("mmdebstrap", ["--quiet", "--variant=minbase", name, tar]);
    await runEngine(containers, ["import", tar, base]);
  } finally {
    await rm(work, { recursive: true });
  }
}

let installation;
async function ensureMmdebstrap(log) {
  const found = await run("mmdebstrap", ["--version"]).then(
    () => true,
    () => false,
  );
  if (found) return;
  if (process.getuid?.() !== 0)
    throw new Error("no registry of images can be reached; run:  sudo apt-get install mmdebstrap");
  log("installing mmdebstrap");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  // Both releases are made at the same time, but apt runs once.
  installation ??= run("apt-get", ["update", "-qq"], { env }).then(() =>
    run("apt-get", ["install", "-qq", "--no-install-recommends", "mmdebstrap", "debian-archive-keyring"], { env }),
  );
  await installation;
}

/** Like `engine`, for what takes long: it ends with this process. */
function runEngine(containers, args) {
  return run(containers.command, args, { env: { ...process.env, ...containers.env } });
}

function exists(containers, image) {
  return engine(containers, ["image", "inspect", image]).then(
    () => true,
    () => false,
  );
}

/** A few characters that change with any file of the image. */
async function digestOf(directory) {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  const hash = createHash("sha256");
  for (const file of files.sort())
    hash
      .update(`${relative(directory, file)}\0`)
      .update(await readFile(file))
      .update("\0");
  return hash.digest("hex").slice(0, 12);
}
