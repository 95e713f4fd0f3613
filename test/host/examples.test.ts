// The programs that a user copies do what they say on real hosts, and leave nothing behind.
import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runMocked } from "../support/mocked.js";
import { startHost, type Debian, type Host } from "../support/host.js";
import { pulumi } from "../support/stack.js";

const root = join(__dirname, "../..");
const examples = readdirSync(join(root, "examples")).filter((name) =>
  existsSync(join(root, "examples", name, "Pulumi.yaml")),
);

/** By `npm run lint`; to do it again in every run takes seconds. */
const typesAreChecked = { PULUMI_NODEJS_TRANSPILE_ONLY: "true" };

describe("examples", () => {
  const directories: string[] = [];
  after(() => {
    for (const directory of directories) rmSync(directory, { recursive: true, force: true });
  });

  it("are each run here", () => {
    assert.deepEqual(examples, ["component", "plain-debian", "with-command"]);
  });

  const run: readonly (readonly [name: string, debian: Debian, resources: number])[] = [
    ["plain-debian", "bookworm", 6],
    ["component", "trixie", 6],
  ];
  for (const [name, debian, resources] of run) {
    describe(`${name} on ${debian}`, () => {
      let source: Host;
      let next: Host;
      let pristine: Map<string, string>;
      let cli: Cli;

      before(async () => {
        [source, next] = await Promise.all([startHost(debian), startHost(debian)]);
        await next.run(
          `postconf -e myhostname=new.example.net "mynetworks = 127.0.0.0/8 ${source.address}/32" && postfix reload`,
        );
        pristine = await source.files();
        cli = await copy(name, source, next);
      });
      after(() => Promise.all([source.stop(), next.stop()]));

      it("previews its resources and writes nothing", async () => {
        assert.match(await cli(["preview"]), new RegExp(`\\+ ${resources} to create`));
        assert.deepEqual(await source.files(), pristine);
      });

      it("brings the host to what its outputs say", async () => {
        assert.match(await cli(["up", "--yes", "--skip-preview"]), new RegExp(`\\+ ${resources} created`));
        const outputs = JSON.parse(await cli(["stack", "output", "--json"])) as Record<string, unknown>;
        assert.equal(outputs["loginFormat"], "{user}%vmadmin");
        assert.deepEqual(outputs["mynetworks"], (await source.run("postconf -xh mynetworks")).trim().split(/[\s,]+/));
        assert.ok(outputs["mynetworks"].includes(`${next.address}/32`));
        assert.equal(outputs[name === "component" ? "masterPassword" : "password"], "[secret]");
      });

      it("has nothing to change in a second up, for which neither zod nor ssh2 is loaded", async () => {
        const loaded = join(directories.at(-1) ?? assert.fail(), "loaded");
        const hook = join(root, "test/support/loaded.cjs");
        const printed = await cli(["up", "--yes", "--skip-preview"], {
          LOADED: loaded,
          NODE_OPTIONS: `--require ${hook}`,
        });
        assert.match(printed, new RegExp(`${resources} unchanged`));
        const packages = new Set(readFileSync(loaded, "utf8").split("\n"));
        assert.ok(packages.has("pulumi-dovecot-postfix/runtime"));
        assert.deepEqual(
          ["zod", "ssh2"].filter((one) => packages.has(one)),
          [],
        );
      });

      it("gives the host back to the byte", async () => {
        assert.match(await cli(["destroy", "--yes", "--skip-preview"]), new RegExp(`- ${resources} deleted`));
        assert.deepEqual(await source.files(), pristine);
        await source.run("doveadm who && postfix status");
      });
    });
  }

  /** The example as its user has it: in a directory of its own, with the packages installed, and a configured stack. */
  async function copy(name: string, source: Host, next: Host): Promise<Cli> {
    const cwd = mkdtempSync(join(tmpdir(), `example-${name}-`));
    directories.push(cwd);
    for (const file of ["Pulumi.yaml", "package.json", "index.ts"]) {
      copyFileSync(join(root, "examples", name, file), join(cwd, file));
    }
    symlinkSync(join(root, "node_modules"), join(cwd, "node_modules"));
    const { host, ...ssh } = source.connection;
    const config = { host, proxy: next.address, newServer: next.address, ssh };
    const lines = Object.entries(config).map(([key, value]) => `  ${name}:${key}: ${JSON.stringify(value)}`);
    writeFileSync(join(cwd, "Pulumi.test.yaml"), ["config:", ...lines].join("\n"));
    const cli: Cli = async (args, env = {}) => {
      const { stdout, stderr, code } = await pulumi([...args], { cwd, env: { ...typesAreChecked, ...env } });
      assert.equal(code, 0, `pulumi ${args.join(" ")}\n${stdout}${stderr}`);
      return stdout;
    };
    await cli(["stack", "init", "test"]);
    return cli;
  }
});

/** The plan within what the demo prints: addresses, digest and the order of what runs side by side are another each time. */
function planLines(text: string): string[] {
  const [, plan = ""] = /\n *Diagnostics:\n([^]*?)\n *Outputs:/.exec(text) ?? [];
  const lines = plan.replace(/10\.77\.\d+\./g, "10.77.0.").replace(/[0-9a-f]{12}/g, "(digest)");
  return lines
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .sort();
}

type Cli = (args: readonly string[], env?: Record<string, string>) => Promise<string>;

describe("example with-command", () => {
  // Its plugin is not on npm, so the engine cannot run it here.
  it("gives one connection to both packages, whole and secret", async () => {
    const { resources } = await runMocked(join(root, "examples/with-command/index.ts"), {
      project: "with-command",
      config: {
        "with-command:host": "mail.example.org",
        "with-command:privateKey": "the key",
        "with-command:hostKey": "ssh-ed25519 AAAA",
        "with-command:newServer": "new.example.net",
      },
      state: { "pulumi-nodejs:dynamic/dovecot-postfix:OutboundRelay": { relayhost: "[new.example.net]:25" } },
    });
    const connection = {
      ...{ host: "mail.example.org", user: "root", privateKey: "the key", hostKey: "ssh-ed25519 AAAA" },
    };
    const only = (wanted: string) => resources.find(({ type }) => type === wanted) ?? assert.fail(`no ${wanted}`);
    const ours = only("pulumi-nodejs:dynamic/dovecot-postfix:OutboundRelay");
    const theirs = only("command:remote:Command");
    assert.deepEqual(ours.inputs["connection"], connection);
    assert.ok(ours.secretInputs.includes("connection"));
    // @pulumi/command fills in its own defaults.
    assert.deepEqual({ ...(theirs.inputs["connection"] as object), ...connection }, theirs.inputs["connection"]);
    assert.ok(theirs.secretInputs.includes("connection"));
    assert.deepEqual(theirs.inputs["triggers"], ["[new.example.net]:25"]);
  });
});

describe("the demo", () => {
  it("ends well and prints the preview, the up, every proof, the destroy, and what to do next", async () => {
    const args = ["--import", "tsx", join(root, "examples/demo/demo.ts")];
    const { code, printed } = await new Promise<{ code: number; printed: string }>((resolve) => {
      const child = execFile(process.execPath, args, { cwd: root }, (_, stdout, stderr) => {
        resolve({ code: child.exitCode ?? 1, printed: stdout + stderr });
      });
    });
    assert.equal(code, 0, printed);
    const inOrder = [
      /== Three throwaway Debian 12 hosts/,
      /== pulumi preview/,
      /\+ 7 to create/,
      /== pulumi up/,
      /dovecot: wrote .*1 reload/,
      /\+ 7 created/,
      /== Proof/,
      /a login through the proxy shows the client's address: user=<alice@example\.com>.*rip=198\.51\.100\.7/,
      /the master user reads alice's mailbox: \d+ EXISTS/,
      /a message relayed by the new server is accepted: 250 .*queued as/,
      /nobody else may relay: [45]54 /,
      /== pulumi destroy/,
      /- 7 deleted/,
      /== Proof that nothing is left/,
      /\d+ files, directories and links compared: not a byte, owner or mode is different/,
      /== Done\. Next/,
      /npm test/,
    ];
    let from = 0;
    for (const expected of inOrder) {
      const found = expected.exec(printed.slice(from));
      assert.ok(found, `${expected.source} is missing, or not in its place, in\n${printed}`);
      from += found.index + found[0].length;
    }
    assert.doesNotMatch(printed, /\x1b\[/, "no colours where nobody looks");
    assert.deepEqual(planLines(printed), planLines(readFileSync(join(root, "README.md"), "utf8")), "README's capture");
  });
});
