// Pulumi's own release, checked against the SHA-256 sums Pulumi publishes before anything of it is unpacked.
import { createHash } from "node:crypto";
import { createWriteStream, existsSync } from "node:fs";
import { mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { run } from "../command.mjs";

const CONNECT_SECONDS = 10;
const STALL_SECONDS = 30;
const SYSTEMS = { linux: "linux", darwin: "darwin" };
const MACHINES = { x64: "x64", arm64: "arm64" };

/** Puts the programs into `work`/whole/bin. PULUMI_ENGINE_MIRROR is a URL that holds both the tarball and the sums. */
export async function downloadRelease({ version, programs, work, log, env }) {
  const [system, machine] = [SYSTEMS[process.platform], MACHINES[process.arch]];
  if (!system || !machine) throw new Error(`no Pulumi release is known for ${process.platform} ${process.arch}`);
  const mirror = env.PULUMI_ENGINE_MIRROR?.replace(/\/$/, "");
  const tarball = `pulumi-v${version}-${system}-${machine}.tar.gz`;
  const tarballUrl = `${mirror ?? "https://get.pulumi.com/releases/sdk"}/${tarball}`;
  const sumsUrl = `${mirror ?? `https://github.com/pulumi/pulumi/releases/download/v${version}`}/pulumi-${version}-checksums.txt`;

  log(`downloading Pulumi ${version} from ${new URL(tarballUrl).host}`);
  const [sumsFile, file] = [join(work, "checksums.txt"), join(work, tarball)];
  await save(sumsUrl, sumsFile);
  const expected = sumOf(tarball, await readFile(sumsFile, "utf8"));
  if (!expected) throw new Error(`${sumsUrl} has no SHA-256 sum of ${tarball}`);
  const actual = await save(tarballUrl, file);
  if (actual !== expected)
    throw new Error(`${tarballUrl} is not what Pulumi published: SHA-256 ${actual}, published ${expected}`);

  const unpacked = join(work, "unpacked");
  const bin = join(work, "whole", "bin");
  await Promise.all([mkdir(unpacked), mkdir(bin, { recursive: true })]);
  await run("tar", ["-xzf", file, "-C", unpacked], { env });
  const inside = join(unpacked, "pulumi", "bin");
  const from = existsSync(inside) ? inside : join(unpacked, "pulumi");
  for (const name of programs) await rename(join(from, name), join(bin, name));
}

function sumOf(name, sums) {
  const lines = sums.split("\n").map((line) => /^([0-9a-f]{64})\s+\*?(.+?)\s*$/i.exec(line));
  return lines.find((match) => match?.[2] === name)?.[1]?.toLowerCase();
}

/** Writes what the URL holds to the file; the SHA-256 of what came. */
async function save(url, file) {
  const stopped = new AbortController();
  const stopIn = (seconds, reason) =>
    setTimeout(() => stopped.abort(new Error(`${reason} in ${seconds} s`)), seconds * 1000);
  let timer = stopIn(CONNECT_SECONDS, "no answer");
  const hash = createHash("sha256");
  try {
    const response = await fetch(url, { signal: stopped.signal });
    if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
    const measured = async function* (chunks) {
      for await (const chunk of chunks) {
        clearTimeout(timer);
        timer = stopIn(STALL_SECONDS, "nothing more came");
        hash.update(chunk);
        yield chunk;
      }
    };
    await pipeline(Readable.fromWeb(response.body), measured, createWriteStream(file));
    return hash.digest("hex");
  } catch (error) {
    // fetch itself only says "fetch failed"; why is in the cause.
    const why = stopped.signal.aborted ? stopped.signal.reason : (error.cause ?? error);
    throw new Error(`${url} cannot be downloaded: ${why.message || why.code}`);
  } finally {
    clearTimeout(timer);
  }
}
