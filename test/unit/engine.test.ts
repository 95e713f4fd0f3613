// Which Pulumi engine the set-up takes, and that nothing runs of a download that is not what Pulumi published.
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const VERSION = "3.259.0";
const TARBALL = `pulumi-v${VERSION}-${process.platform}-${process.arch}.tar.gz`;
const SUMS = `pulumi-${VERSION}-checksums.txt`;
const PROGRAMS = ["pulumi", "pulumi-language-nodejs", "pulumi-resource-pulumi-nodejs"];

describe("the Pulumi engine of the set-up", () => {
  let directory: string;
  let server: Server;
  let port: number;
  /** What the release host serves, by file name. */
  let files: Map<string, Buffer>;
  let log: string[];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "engine-"));
    mkdirSync(join(directory, "path"));
    for (const name of ["tar", "gzip"]) {
      symlinkSync(
        execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim(),
        join(directory, "path", name),
      );
    }
    files = new Map();
    log = [];
    server = createServer((request, response) => {
      const file = files.get(request.url?.slice(1) ?? "");
      response.writeHead(file ? 200 : 404).end(file);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const cache = () => join(directory, "pulumi-dovecot-postfix", "engine");
  /** Was any `pulumi` of this test started? */
  const ran = () => existsSync(join(directory, "ran"));

  async function ensure(...path: string[]) {
    const { ensureEngine } = await import("../support/engine.mjs");
    return ensureEngine((line) => log.push(line), {
      PATH: [...path, join(directory, "path")].join(":"),
      XDG_CACHE_HOME: directory,
      PULUMI_ENGINE_MIRROR: `http://127.0.0.1:${port}`,
    });
  }

  function install(into: string, programs: string[], version: string) {
    mkdirSync(into, { recursive: true });
    for (const name of programs) {
      const script = `#!/bin/sh\n: > ${join(directory, "ran")}\necho v${version}\n`;
      writeFileSync(join(into, name), script, { mode: 0o755 });
    }
    return into;
  }

  function publish(layout: "pulumi" | "pulumi/bin") {
    const unpacked = join(directory, "release");
    install(join(unpacked, layout), [...PROGRAMS, "pulumi-language-go"], VERSION);
    execFileSync("tar", ["-czf", join(directory, TARBALL), "-C", unpacked, "pulumi"]);
    const tarball = readFileSync(join(directory, TARBALL));
    files.set(TARBALL, tarball);
    const sum = createHash("sha256").update(tarball).digest("hex");
    files.set(SUMS, Buffer.from(`${"0".repeat(64)}  ${TARBALL}.sig\n${sum}  ${TARBALL}\n`));
  }

  for (const layout of ["pulumi", "pulumi/bin"] as const) {
    it(`installs a release laid out as ${layout}, once`, async () => {
      publish(layout);
      const engine = await ensure();
      assert.deepEqual(engine, { bin: join(cache(), VERSION, "bin"), version: VERSION });
      assert.deepEqual(readdirSync(engine.bin).sort(), PROGRAMS);

      files.clear();
      log = [];
      assert.deepEqual(await ensure(), engine);
      assert.deepEqual(log, []);
    });
  }

  it("leaves one whole engine and nothing else when two set-ups install at the same time, one having been killed before", async () => {
    publish("pulumi");
    // No process has a number as high as this: Linux ends at 2^22.
    mkdirSync(join(cache(), ".99999999-killed"), { recursive: true });
    mkdirSync(join(cache(), VERSION, "bin"), { recursive: true });
    await Promise.all([ensure(), ensure()]);
    assert.deepEqual(readdirSync(cache()), [VERSION]);
    assert.deepEqual(readdirSync(join(cache(), VERSION, "bin")).sort(), PROGRAMS);
  });

  const rejected: [what: string, change: () => void, reason: RegExp][] = [
    [
      "a tarball that differs in one byte",
      () => {
        const tarball = Buffer.from(files.get(TARBALL) ?? assert.fail());
        tarball.writeUInt8(tarball.readUInt8(20) ^ 1, 20);
        files.set(TARBALL, tarball);
      },
      /is not what Pulumi published: SHA-256 [0-9a-f]{64}, published [0-9a-f]{64}/,
    ],
    [
      "a tarball that was cut short",
      () => files.set(TARBALL, (files.get(TARBALL) ?? assert.fail()).subarray(0, 100)),
      /is not what Pulumi published/,
    ],
    [
      "a tarball the published sums do not name",
      () => files.set(SUMS, Buffer.from(`${"0".repeat(64)}  pulumi-v${VERSION}-windows-x64.zip\n`)),
      /has no SHA-256 sum of pulumi-v/,
    ],
    ["a tarball without published sums", () => files.delete(SUMS), /checksums\.txt cannot be downloaded: HTTP 404/],
    ["a release host that cannot be reached", () => server.close(), /cannot be downloaded: .*ECONNREFUSED/],
  ];
  for (const [what, change, reason] of rejected) {
    it(`runs and keeps nothing of ${what}, and says how to install Pulumi`, async () => {
      publish("pulumi");
      change();
      await assert.rejects(ensure(), (error: Error) => {
        assert.match(error.message, reason);
        assert.match(
          error.message,
          /^no Pulumi engine; install it with: {2}curl -fsSL https:\/\/get\.pulumi\.com \| sh$/m,
        );
        assert.match(error.message, /cannot be built from source: go: spawn go ENOENT/);
        return true;
      });
      assert.equal(ran(), false);
      assert.deepEqual(readdirSync(cache()), []);
    });
  }

  it("builds from source where the release cannot be had, and shows why a build fails", async () => {
    const go = join(directory, "path", "go");
    writeFileSync(go, `#!/bin/sh\n[ "$1" = version ] || { echo "go: no space left"; exit 1; }\n`, { mode: 0o755 });
    await assert.rejects(ensure(), /go build ended with exit code 1\n {2}go: no space left/);
    assert.deepEqual(readdirSync(cache()), []);
  });

  it("takes the user's own engine from PATH", async () => {
    const own = install(join(directory, "own"), PROGRAMS, "3.300.1");
    assert.deepEqual(await ensure(own), { bin: "", version: "3.300.1" });
    assert.equal(existsSync(cache()), false);
  });

  it("takes the user's own engine whose other programs are beside the file that a link on PATH names", async () => {
    const own = install(join(directory, "own"), PROGRAMS, "3.300.1");
    mkdirSync(join(directory, "links"));
    symlinkSync(join(own, "pulumi"), join(directory, "links", "pulumi"));
    assert.deepEqual(await ensure(join(directory, "links")), { bin: "", version: "3.300.1" });
  });

  const unusable: [what: string, directory: string, programs: string[], version: string, said: RegExp | undefined][] = [
    ["is older than the SDK", "own", PROGRAMS, "3.99.0", /its version 3\.99\.0 is older/],
    [
      "has no host for Node programs",
      "own",
      ["pulumi"],
      VERSION,
      /pulumi-language-nodejs is neither beside it nor on PATH/,
    ],
    ["does not run", "own", PROGRAMS, "(none)", /"pulumi version" fails/],
    ["is the npm package's downloader", "node_modules/.bin", PROGRAMS, VERSION, undefined],
  ];
  for (const [what, where, programs, version, said] of unusable) {
    it(`does not take an engine on PATH that ${what}`, async () => {
      publish("pulumi");
      const engine = await ensure(install(join(directory, where), programs, version));
      assert.equal(engine.bin, join(cache(), VERSION, "bin"));
      if (said) assert.match(log[0] ?? "", said);
    });
  }
});
