// `npx pulumi-dovecot-postfix plan`, as a user runs it in the directory of a program.
import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { planSchema } from "pulumi-dovecot-postfix/plan";
import { startHost, type Host } from "../support/host.js";
import { sampled } from "../support/sample.js";
import { planCommand, pulumi } from "../support/stack.js";

const root = resolve(__dirname, "../..");
const program = `
const { DovecotProxyTrust, RelayAcceptance } = require("pulumi-dovecot-postfix");
const { connection, what } = JSON.parse(process.env.TEST_HOST);
if (what === "broken") throw new Error("no such mail host");
if (what === "wide") new DovecotProxyTrust("trust", { connection, proxies: ["203.0.113.10", "203.0.113.11"] });
if (what === "all") new DovecotProxyTrust("trust", { connection, proxies: ["203.0.113.10"] });
if (what !== "none") new RelayAcceptance("relay", { connection, servers: ["203.0.113.20"] });
`;

for (const debian of sampled("bookworm")) {
  describe(`the plan command on ${debian}`, () => {
    let host: Host;
    let other: Host;
    /** Which of them the program names. */
    let named: Host;
    let directory: string;
    let pristine: Map<string, string>;

    before(async () => {
      [host, other] = await Promise.all([startHost(debian), startHost(debian)]);
      named = host;
      // Dovecot 2.4 writes one when it starts, and removes it.
      await host.run("while ls /run/dovecot/*.binary.* >/dev/null 2>&1; do sleep 0.05; done");
      pristine = await host.files();
      directory = mkdtempSync(join(tmpdir(), "plan-command-"));
      for (const one of ["program", "state", "elsewhere"]) mkdirSync(join(directory, one));
      symlinkSync(join(root, "node_modules"), join(directory, "program/node_modules"));
      writeFileSync(join(directory, "program/Pulumi.yaml"), "name: mail\nruntime: nodejs\n");
      writeFileSync(join(directory, "program/package.json"), `{ "main": "index.js" }`);
      writeFileSync(join(directory, "program/index.js"), program);
      assert.equal((await cli("all", ["stack", "init", "test"])).code, 0);
    });
    after(async () => {
      rmSync(directory, { recursive: true, force: true });
      await Promise.all([host.stop(), other.stop()]);
    });

    const environment = (what: string) => ({
      TEST_HOST: JSON.stringify({ connection: named.connection, what }),
      XDG_CACHE_HOME: join(directory, "cache"),
    });
    const cli = (what: string, args: string[]) =>
      pulumi(args, { cwd: join(directory, "program"), state: join(directory, "state"), env: environment(what) });
    const plan = (what: string, ...args: string[]) =>
      planCommand(args, { cwd: join(directory, "program"), state: join(directory, "state"), env: environment(what) });

    it("shows what an `up` will do, writes nothing, and tells by its exit code that something changes", async () => {
      const { stdout, stderr, code } = await plan("all", "--exit-code");
      assert.equal(code, 1, stderr);
      assert.match(stdout, /^Plan for root@/);
      assert.match(stdout, /^\+ {2}login_trusted_networks = 203\.0\.113\.10\/32$/m);
      assert.match(stdout, /^reload dovecot: ends none$|^ {2}reload dovecot: ends none$/m);
      assert.doesNotMatch(stdout, /\x1b/);
      assert.deepEqual(await host.files(), pristine);
      assert.equal((await plan("all")).code, 0);
    });

    it("tells an error from a change", async () => {
      const broken = await plan("broken", "--exit-code");
      assert.equal(broken.code, 2);
      assert.match(broken.stderr, /^error: .*no such mail host/s);
      const nowhere = await plan("all", "-C", join(directory, "elsewhere"));
      assert.equal(nowhere.code, 2);
      assert.match(nowhere.stderr, /^error: .*no Pulumi\.yaml/s);
      assert.doesNotMatch(nowhere.stderr, /\n +at /);
      const wrong = await plan("all", "--format", "pdf");
      assert.equal(wrong.code, 2);
      assert.match(wrong.stderr, /Allowed choices are text, json, markdown/);
      const short = await plan("all", "--format", "markdown", "--max-length", "100");
      assert.equal(short.code, 2);
      assert.match(
        short.stderr,
        /'--max-length <characters>' argument '100' is invalid\. It must be a whole number from/,
      );
      const text = await plan("all", "--max-length", "65536");
      assert.equal(text.code, 2);
      assert.match(text.stderr, /--max-length, --whole and --whole-at are for --format markdown/);
      await host.run("mv /etc/postfix/main.cf /etc/postfix/main.cf.away");
      const refused = await plan("all");
      await host.run("mv /etc/postfix/main.cf.away /etc/postfix/main.cf");
      assert.equal(refused.code, 2, JSON.stringify(refused));
      assert.match(refused.stdout, /RelayAcceptance relay is refused: an `up` would fail/);
      assert.match(refused.stderr, /error: .*(main\.cf|postfix)/);
    });

    it("after the `up` has nothing to tell but what is new", async () => {
      assert.equal((await cli("all", ["up", "--yes", "--skip-preview"])).code, 0);
      const same = await plan("all", "--exit-code");
      assert.equal(same.code, 0, same.stdout + same.stderr);
      assert.match(same.stdout, /nothing to change\.\n$/);
      const more = await plan("wide", "--format", "json");
      const { hosts } = planSchema.parse(JSON.parse(more.stdout));
      assert.equal(hosts[0]?.files.length, 1);
      assert.match(hosts[0].files[0]?.diff ?? "", /^\+ {2}login_trusted_networks = 203\.0\.113\.11\/32$/m);
    });

    it("where the program names another host, shows what comes there and what goes on the old one", async () => {
      named = other;
      const moved = await plan("all", "--exit-code");
      named = host;
      assert.equal(moved.code, 1, moved.stderr);
      const [there = "", here = ""] = [other, host].map(
        ({ address }) =>
          moved.stdout.split(/^(?=Plan for )/m).find((one) => one.startsWith(`Plan for root@${address}:`)) ?? "",
      );
      assert.match(there, /^\+mynetworks = .*203\.0\.113\.20\/32$/m);
      assert.match(here, /^-mynetworks = .*203\.0\.113\.20\/32$/m);
      assert.match(here, /RelayAcceptance relay goes/);
    });

    it("prints what goes with the last resource, and what a destroy takes back, as a pull request shows it", async () => {
      const last = await plan("none", "--exit-code");
      assert.equal(last.code, 1, last.stderr);
      assert.match(last.stdout, /DovecotProxyTrust trust goes/);
      assert.match(last.stdout, /RelayAcceptance relay goes/);
      const { stdout, code } = await plan("all", "--destroy", "--format", "markdown");
      assert.equal(code, 0);
      assert.match(stdout, /^### Mail hosts of `organization\/mail\/test`\n\n```mermaid\nflowchart LR\n/);
      assert.match(stdout, /proxy -\.->\|"no longer: DovecotProxyTrust trust"\| source1/);
      assert.match(stdout, /^\| `\/etc\/postfix\/main\.cf` \| changed, \+\d+ -\d+ \|$/m);
      assert.match(stdout, /<details><summary>\/etc\/postfix\/main\.cf, .*<\/summary>\n\n```diff\n/);
      assert.doesNotMatch(stdout + last.stdout, /PRIVATE KEY/);
    });

    it("is an error where the ledger cannot be read, as an `up` and a destroy are", async () => {
      const ledger = "/var/lib/pulumi-dovecot-postfix/postfix/ledger.json";
      await host.run(`cp -p ${ledger} /root/ledger; echo '{ "version": 2 }' >${ledger}`);
      const made = [await plan("all"), await plan("all", "--destroy")];
      await host.run(`cp -p /root/ledger ${ledger}; rm /root/ledger`);
      for (const { stdout, code } of made) {
        assert.equal(code, 2, stdout);
        assert.match(stdout, /^Plan for \S+: not made\. .*the ledger \S+ cannot be read/);
        assert.match(stdout, /It was written by a newer pulumi-dovecot-postfix/);
      }
    });

    it("and the destroy does just that", async () => {
      const [, digest = ""] =
        /plan ` ?([0-9a-f]{12})/.exec((await plan("all", "--destroy", "--format", "markdown")).stdout) ?? [];
      const { stdout, code } = await cli("all", ["destroy", "--yes", "--skip-preview"]);
      assert.equal(code, 0, stdout);
      assert.match(stdout, new RegExp(`plan ${digest}, as previewed`));
      assert.deepEqual(await host.files(), pristine);
      assert.match((await plan("none")).stdout, /No mail host is concerned/);
    });
  });
}
