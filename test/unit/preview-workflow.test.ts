// The workflow that a user copies: what it may do, and that its scripts do what they should.
import { strict as assert } from "node:assert";
import { execFile, execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { runStep, workflow, workflowText, type Ran } from "../support/workflow.js";

const root = resolve(__dirname, "../..");
const { check, plan, comment } = workflow.jobs;
const jobs = Object.values(workflow.jobs);
const steps = jobs.flatMap((job) => job.steps);
const sameRepository = "github.event.pull_request.head.repo.full_name == github.repository";

describe("the pull request workflow", () => {
  it("has no finding of actionlint and shellcheck, which do find", async () => {
    const { ensureActionlint } = await import("../support/tools.mjs");
    const actionlint = await ensureActionlint(console.error);
    const lint = (text: string) =>
      new Promise<string>((done) => {
        const args = ["-no-color", "-shellcheck", "shellcheck", "-stdin-filename", "preview.yml", "-"];
        execFile(actionlint, args, { cwd: tmpdir() }, (_, stdout, stderr) => {
          done(stdout + stderr);
        }).stdin?.end(text);
      });
    assert.equal(await lint(workflowText), "");
    assert.match(await lint(workflowText.replace("head.repo.full_name !=", "head.repo.full-name ===")), /expression/);
    assert.match(await lint(workflowText.replace('cat "$out/$shown"', "cat $out/$shown")), /SC2086/);
  });

  it("runs for pull requests only, never with the rights of the repository they go to", () => {
    assert.equal(workflow.on, "pull_request");
    assert.doesNotMatch(workflowText, /pull_request_target|workflow_run/);
  });

  it("takes every action by commit, and says its version", () => {
    const used = workflowText.match(/uses: .*/g) ?? [];
    assert.equal(used.length, steps.filter(({ uses }) => uses !== undefined).length);
    for (const line of used) assert.match(line, /^uses: [a-z]+\/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+(: .*)?$/);
  });

  it("has the least rights: whoever runs the pull request's code may write nothing, who comments has none of its code", () => {
    assert.deepEqual(workflow.permissions, {});
    assert.deepEqual(
      Object.fromEntries(Object.entries(workflow.jobs).map(([name, { permissions }]) => [name, permissions])),
      { check: { contents: "read" }, plan: { contents: "read" }, comment: { "pull-requests": "write" } },
    );
    for (const { uses, with: inputs } of steps)
      if (uses?.startsWith("actions/checkout@")) assert.equal(inputs?.["persist-credentials"], false);
    assert.doesNotMatch(JSON.stringify(comment), /checkout|npm|npx/);
  });

  it("has secrets in one step of one job, which a fork does not reach and a reviewer lets through", () => {
    const secret = /\$\{\{[^}]*secrets/;
    assert.doesNotMatch(JSON.stringify([workflow.env, check, comment]), secret);
    const holders = plan?.steps.filter((step) => secret.test(JSON.stringify(step)));
    assert.deepEqual(
      holders?.map(({ id }) => id),
      ["plan"],
    );
    assert.equal(plan?.environment, "mail-preview");
    assert.equal(plan.if, sameRepository);
    assert.equal(check?.steps[0]?.if, sameRepository.replace("==", "!="));
    assert.deepEqual(
      [check.if, check.environment, plan.needs, comment?.needs],
      [undefined, undefined, "check", "plan"],
    );
  });

  it("puts no text of a pull request into a script", () => {
    for (const { run = "" } of steps) assert.doesNotMatch(run, /\$\{\{/);
  });

  it("ends: one run a pull request, the newest, and no job without a limit", () => {
    assert.match(workflow.concurrency.group, /github\.workflow .*github\.event\.pull_request\.number/);
    assert.equal(workflow.concurrency["cancel-in-progress"], true);
    for (const job of jobs) assert.ok((job["timeout-minutes"] ?? Infinity) <= 15);
  });

  it("checks offline what a fork sends", () => {
    assert.deepEqual(
      check?.steps.map(({ run }) => run).filter((run) => run?.startsWith("np")),
      ["npm ci", "npx --no -- tsc --noEmit", "npm test --if-present"],
    );
  });

  it("is run by the shell that these tests use", () => {
    assert.deepEqual(workflow.defaults, { run: { shell: "bash" } });
  });
});

describe("the scripts of the pull request workflow", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "workflow-"));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it("say in the summary that a fork gets no plan", async () => {
    const { code, summary } = await runStep("fork", directory, {}, {});
    assert.equal(code, 0);
    assert.match(summary, /^No plan of the mail hosts: .*fork.*Offline checks only\..*\n$/);
  });

  it("say in the summary that there are no secrets, and make no plan", async () => {
    const { code, summary, outputs } = await runStep("plan", directory, {}, {});
    assert.equal(code, 0);
    assert.match(summary, /^No plan of the mail hosts: .*no secrets.*Offline checks only\.\n$/);
    assert.equal(outputs, "");
  });

  describe("that comment", () => {
    interface Comment {
      id: number;
      user: { login: string };
      body: string;
    }
    const store = () => join(directory, "comments.json");
    const stored = () => JSON.parse(readFileSync(store(), "utf8")) as Comment[];
    const bot = "github-actions[bot]";
    const marker = "<!-- pulumi-dovecot-postfix plan prod -->";
    const values = {
      "github.token": "token",
      "github.event.pull_request.number": "12",
      "github.event.pull_request.head.sha": "c0ffee",
    };

    /** GitHub's API of one pull request, two comments a page. */
    const gh = `#!/usr/bin/env node
      const { readFileSync, writeFileSync } = require("node:fs");
      const args = process.argv.slice(2);
      const option = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined);
      const all = JSON.parse(readFileSync(${JSON.stringify("STORE")}, "utf8"));
      const path = args.find((arg) => arg.startsWith("repos/"));
      const method = option("--method") ?? "GET";
      const field = option("--field");
      const body = field && readFileSync(field.replace("body=@", ""), "utf8");
      if (process.env.GH_TOKEN !== "token" || args[0] !== "api") process.exit(4);
      if (method === "GET" && path === "repos/example/mail/issues/12/comments?per_page=100" && args.includes("--paginate"))
        for (let n = 0; n === 0 || n < all.length; n += 2) process.stdout.write(JSON.stringify(all.slice(n, n + 2)));
      else if (method === "POST" && path === "repos/example/mail/issues/12/comments")
        all.push({ id: 100 + all.length, user: { login: "${bot}" }, body });
      else if (method === "PATCH") all.find(({ id }) => path === "repos/example/mail/issues/comments/" + id).body = body;
      else process.exit(5);
      writeFileSync(${JSON.stringify("STORE")}, JSON.stringify(all));
    `;

    async function run(text: string): Promise<Ran> {
      writeFileSync(join(directory, "comment.md"), text);
      mkdirSync(join(directory, "bin"), { recursive: true });
      writeFileSync(join(directory, "bin/gh"), gh.replaceAll('"STORE"', JSON.stringify(store())), { mode: 0o755 });
      const path = [join(directory, "bin"), process.env["PATH"]].join(delimiter);
      return runStep("comment", directory, values, { PATH: path });
    }

    const foreign: Comment[] = [
      { id: 1, user: { login: "mallory" }, body: `${marker}\nnot ours` },
      { id: 2, user: { login: bot }, body: `Another workflow's, which quotes ${marker}` },
      { id: 3, user: { login: bot }, body: `${marker.replace("prod", "production")}\nanother stack's` },
    ];
    for (const [what, before] of [
      ["a pull request without comments", []],
      ["one with comments of others", foreign],
    ] as const) {
      it(`make one comment in ${what}, and update that one from then on`, async () => {
        writeFileSync(store(), JSON.stringify(before));
        const first = await run("### the first $(id) `id`\n");
        assert.equal(first.code, 0, first.log);
        const footer = "\n[The run](https://github.example/example/mail/actions/runs/7) for c0ffee\n";
        const made = { id: 100 + before.length, user: { login: bot } };
        const expected = { ...made, body: `${marker}\n### the first $(id) \`id\`\n${footer}` };
        assert.deepEqual(stored(), [...before, expected]);

        const second = await run("### the second\n");
        assert.equal(second.code, 0, second.log);
        assert.deepEqual(stored(), [...before, { ...made, body: `${marker}\n### the second\n${footer}` }]);
      });
    }

    it("leave room for what they add: the longest plan with it is below GitHub's limit", async () => {
      const [, limit = ""] = /--max-length (\d+)/.exec(workflowText) ?? [];
      writeFileSync(store(), "[]");
      assert.equal((await run("x".repeat(Number(limit)))).code, 0);
      // The names of repository and stack can be longer than here.
      assert.ok((stored()[0]?.body.length ?? Infinity) < 65_536 - 300);
    });

    it("fail where GitHub does not answer", async () => {
      writeFileSync(store(), "no JSON");
      assert.notEqual((await run("text")).code, 0);
      assert.equal(readFileSync(store(), "utf8"), "no JSON");
    });
  });

  describe("that plan, with Pulumi", () => {
    let bin: string;
    const program = `
      const { execFileSync } = require("node:child_process");
      const { writeFileSync } = require("node:fs");
      const { DovecotProxyTrust } = require("pulumi-dovecot-postfix");
      const agent = execFileSync("ssh-add", ["-l"], { encoding: "utf8" });
      writeFileSync("seen.json", JSON.stringify({ agent, key: process.env.SSH_KEY ?? null }));
      if (process.env.WHAT === "long") throw new Error("no such mail host ".repeat(6000));
      if (process.env.WHAT === "broken") throw new Error("no such mail host");
      // Nobody listens there.
      new DovecotProxyTrust("trust", { connection: { host: "127.0.0.1", port: 1 }, proxies: ["203.0.113.10"] });
    `;

    beforeEach(async () => {
      const { ensureEngine } = await import("../support/engine.mjs");
      ({ bin } = await ensureEngine(console.error));
      writeFileSync(join(directory, "Pulumi.yaml"), "name: mail\nruntime: nodejs\n");
      writeFileSync(join(directory, "package.json"), `{ "main": "index.js" }`);
      writeFileSync(join(directory, "index.js"), program);
      for (const one of ["node_modules/.bin", "home", "state"]) mkdirSync(join(directory, one), { recursive: true });
      symlinkSync(join(root, "node_modules/@pulumi"), join(directory, "node_modules/@pulumi"));
      symlinkSync(join(root, "provider"), join(directory, "node_modules/pulumi-dovecot-postfix"));
      const command = join(directory, "node_modules/.bin/pulumi-dovecot-postfix");
      writeFileSync(command, `#!/bin/sh\nexec node ${join(root, "provider/dist/cli/index.js")} "$@"\n`);
      chmodSync(command, 0o755);
      const made = await runPulumi(["stack", "init", "prod"]);
      assert.equal(made.code, 0, made.log);
    });

    const environment = () => ({
      HOME: join(directory, "home"),
      PATH: [bin, process.env["PATH"]].filter(Boolean).join(delimiter),
      PULUMI_HOME: join(directory, "home/pulumi"),
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      SSH_AUTH_SOCK: "",
      NODE_OPTIONS: "",
    });
    const backend = () => `file://${join(directory, "state")}`;

    function runPulumi(args: string[]): Promise<{ code: number; log: string }> {
      const env = { ...process.env, ...environment(), PULUMI_BACKEND_URL: backend(), PULUMI_CONFIG_PASSPHRASE: "test" };
      return new Promise((done) => {
        const child = execFile("pulumi", args, { cwd: directory, env }, (_, stdout, stderr) => {
          done({ code: child.exitCode ?? 255, log: stdout + stderr });
        });
      });
    }

    function run(what: string): Promise<Ran> {
      const file = join(directory, "key");
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "observer", "-f", file]);
      const values = {
        "secrets.PULUMI_CONFIG_PASSPHRASE": "test",
        "vars.PULUMI_BACKEND_URL": backend(),
        "secrets.MAIL_HOST_SSH_KEY": readFileSync(file, "utf8"),
        "vars.MAIL_HOST_KNOWN_HOSTS": "mail.example.com ssh-ed25519 AAAA",
      };
      return runStep("plan", directory, values, { ...environment(), WHAT: what });
    }
    const result = (name: string) => readFileSync(join(directory, "runner/plan", name), "utf8");

    it("keep the whole plan and what fits a comment, and give the program the agent but not the key", async () => {
      const { code, log, summary, outputs } = await run("");
      assert.equal(code, 0, log);
      assert.equal(outputs, "made=true\n");
      assert.match(result("comment.md"), /^### Mail hosts of `organization\/mail\/prod`\n.*No plan was made: /s);
      assert.equal(result("plan.md"), result("comment.md"));
      assert.equal(summary, result("plan.md"));
      const seen = JSON.parse(readFileSync(join(directory, "seen.json"), "utf8")) as {
        agent: string;
        key: string | null;
      };
      assert.match(seen.agent, /observer \(ED25519\)/);
      assert.equal(seen.key, null);
      assert.match(
        readFileSync(join(directory, "home/.ssh/known_hosts"), "utf8"),
        /^mail\.example\.com ssh-ed25519 AAAA$/m,
      );
      assert.doesNotMatch(log + summary, /PRIVATE KEY/);
    });

    it("fail where the preview fails, and still tell why in the comment", async () => {
      const { code, outputs } = await run("broken");
      assert.equal(code, 2);
      assert.equal(outputs, "made=true\n");
      assert.match(result("comment.md"), /\*\*The preview failed:\*\*\n\n```text\n.*no such mail host/s);
    });

    it("cut the comment where it would be too long, not the summary", async () => {
      const { summary } = await run("long");
      assert.ok(result("comment.md").length < 65_000);
      assert.match(result("comment.md"), /\.\.\. \(\d+ characters more\)\n```/);
      assert.ok(result("plan.md").length > 65_536);
      assert.equal(summary, result("plan.md"));
    });

    it("say in the comment that there is no plan where not even a preview began", async () => {
      rmSync(join(directory, "Pulumi.yaml"));
      const { code, outputs, log } = await run("");
      assert.equal(code, 2);
      assert.equal(outputs, "made=true\n");
      assert.match(log, /error: .*Pulumi\.yaml/);
      const run7 = "https://github.example/example/mail/actions/runs/7";
      assert.equal(result("comment.md"), `### Mail hosts of prod\n\nNo plan was made. Why is in the log: ${run7}\n`);
    });
  });
});
