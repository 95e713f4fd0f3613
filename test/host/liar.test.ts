// A host that lies or is broken: every answer tampered with, on its way back. A bounded wait, bounded memory, a clear error, no
// write on a guess; nothing of it steers a terminal; and when it tells the truth again, the next operation works.
import { strict as assert } from "node:assert";
import { connect } from "../../provider/src/ssh/dial.js";
import type { Link } from "../../provider/src/ssh/link.js";
import { shellCommand } from "../../provider/src/ssh/become.js";
import { Session } from "../../provider/src/host/session.js";
import { hostText } from "../../provider/src/plan/text.js";
import { planMarkdown } from "../../provider/src/plan/markdown.js";
import { planHost } from "../../provider/src/preview/plan-host.js";
import { kindOf, operationOf } from "../../provider/src/runtime/operation.js";
import { createAll, removeAll, resources, same } from "../support/cuts.js";
import { startHost, type Host } from "../support/host.js";
import { unprintable } from "../support/hostile.js";
import { endless, fileCount, fileSize, Liar, lies, numbers, silent, type Program } from "../support/liar.js";
import { saying } from "../support/postfix.js";
import { create } from "../support/resources.js";
import { sampled, soaking } from "../support/sample.js";

/** `npm test` takes a sample, another one on each Debian; `npm run soak` takes all. */
const debians = sampled("bookworm");
const seconds = 30;
const mebibyte = 1024 * 1024;

type Lies = readonly (readonly [name: string, perl: string])[];

for (const [turn, debian] of debians.entries()) {
  describe(`a lying host (${debian})`, function () {
    this.timeout(soaking ? 900_000 : 180_000);
    let host: Host;
    let liar: Liar;
    let pristine: Map<string, string>;
    /** As an operation that is not lied to makes them. */
    let right: Map<string, string>;

    before(async () => {
      host = await startHost(debian);
      liar = new Liar(host);
      await liar.begin();
      pristine = await host.files();
      const all = await createAll(host);
      right = await host.files();
      await removeAll(all);
      same(await host.files(), pristine);
    });
    after(() => host.stop());
    afterEach(() => liar.repents());

    const sampled = (all: Lies, every: number, from = 0): Lies =>
      soaking ? all : all.filter((_, n) => n % every === (turn + from) % every);
    const common: Lies = Object.entries(lies);
    const numeric: Lies = numbers.flatMap((number) => [
      [`${number || "no number"} of files`, fileCount(number)],
      [`${number || "no number"} of bytes`, fileSize(number)],
    ]);

    /** What a user gets to see of some operations while the host lies; each ends in time. */
    async function lied<T>(program: Program, perl: string, work: () => Promise<PromiseSettledResult<T>[]>) {
      await liar.tells(program, perl);
      const began = Date.now();
      let results: PromiseSettledResult<T>[] = [];
      const printed = await saying(async () => (results = await work()));
      assert.ok(Date.now() - began < seconds * 1000, `took ${Date.now() - began} ms`);
      await liar.repents();
      const errors = results.flatMap((one) => (one.status === "rejected" ? [one.reason as Error] : []));
      for (const { message, name } of errors) {
        assert.match(name, /^(HostError|SshError|Refusal)$/, message);
        assert.match(message, /^\S+@\S+: |What to do: /, message);
        legible(message);
      }
      legible(printed.report);
      legible(printed.warnings);
      return { errors, done: results.flatMap((one) => (one.status === "fulfilled" ? [one.value] : [])) };
    }

    function legible(text: string): void {
      assert.doesNotMatch(text, unprintable);
      assert.ok(text.length < 40_000, `${text.length} characters`);
    }

    const creates = () => Promise.allSettled(resources("a").map(([kind, args]) => create(host, { kind }, args)));

    /** Whatever was believed: with the truth, the same operation leads to the right files, and a removal to the old ones. */
    async function mended(): Promise<void> {
      const all = await createAll(host);
      same(await host.files(), right);
      await removeAll(all);
      same(await host.files(), pristine);
    }

    it("lies about what is there: nothing is written, or what is right", async () => {
      for (const [name, perl] of [...sampled(common, 9), ...sampled(numeric, 16, 5)]) {
        const { errors, done } = await lied("observe", perl, creates);
        for (const { outs } of done) {
          assert.doesNotMatch(JSON.stringify({ ...outs, connection: {} }).replaceAll("\\n", " "), unprintable, name);
        }
        if (done.length === 0) same(await host.files(), pristine);
        // A flipped bit in a value is believed; what came of it goes all the same.
        else if (!name.startsWith("flipped") && errors.length === 0) same(await host.files(), right);
        await removeAll(done);
        same(await host.files(), pristine);
      }
      await mended();
    });

    it("lies while something of ours is there: it is not taken for gone, and goes when it should", async () => {
      for (const [name, perl] of sampled(common, 18, 2)) {
        const all = await createAll(host);
        const looked = await lied("observe", perl, () => Promise.allSettled(all.map((one) => one.drift())));
        for (const drift of looked.done.flat()) legible(drift);
        same(await host.files(), right);
        const { errors } = await lied("observe", perl, () => Promise.allSettled(all.map((one) => one.remove())));
        if (errors.length === all.length && !name.startsWith("flipped")) same(await host.files(), right);
        await removeAll(all);
        same(await host.files(), pristine);
      }
    });

    it("lies about what a commit came to: the host is as a right commit leaves it, and nothing else is claimed", async () => {
      for (const [, perl] of sampled(common, 18, 4)) {
        const { errors } = await lied("commit", perl, creates);
        same(await host.files(), right);
        for (const { message } of errors) assert.doesNotMatch(message, /Nothing was changed/);
        await mended();
      }
    });

    it("lies about what the new server answers: nothing is written", async () => {
      await host.run("echo 'AllowTcpForwarding no' >/etc/ssh/sshd_config.d/a.conf && kill -HUP $(cat /run/sshd.pid)");
      const before = await host.files();
      // Another connection than before, which may forward.
      const connection = { ...host.connection, perDialTimeout: 14 };
      const outbound = () =>
        Promise.allSettled([create(host, { kind: "OutboundRelay" }, { connection, server: "127.0.0.1" })]);
      for (const [name, perl] of sampled(
        common.filter(([one]) => !one.startsWith("flipped")),
        9,
        6,
      )) {
        const { errors } = await lied("dialogue", perl, outbound);
        assert.equal(errors.length, 1, name);
        same(await host.files(), before);
      }
      // A preview only warns.
      await liar.tells("dialogue", lies["nothing at all"] ?? assert.fail());
      const identity = { kind: "OutboundRelay", owner: "o/p/s/OutboundRelay/x" };
      const declared = [{ identity, connection, drift: [], server: "127.0.0.1", port: 25, onRefusal: "fail" }];
      const plan = await planHost({ stack: "o/p/s", connection, declared, unknown: [], goes: () => false });
      assert.deepEqual(
        [plan.resources.map(({ state }) => state), plan.findings.map(({ severity }) => severity), plan.failed],
        [["planned"], ["warning"], undefined],
      );
      assert.match(plan.findings[0]?.text ?? "", /is cut off or is not its answer/);
      await liar.repents();
      await host.run("rm /etc/ssh/sshd_config.d/a.conf && kill -HUP $(cat /run/sshd.pid)");
    });

    it("talks without end: so much is read and no more, and it is said", async () => {
      const before = process.memoryUsage().rss;
      const { errors } = await lied("observe", endless, creates);
      assert.equal(errors.length, 4);
      for (const { message } of errors) assert.match(message, /printed more than 16777216 bytes and was cut off/);
      const grown = (process.memoryUsage().rss - before) / mebibyte;
      assert.ok(grown < 300, `${Math.round(grown)} MiB more`);
      same(await host.files(), pristine);
      await mended();
    });

    it("never comes to an end: the wait does, and the connection goes on", async () => {
      const operations = (aim: "ensure" | "leave") =>
        resources("a").map(([kind, args]) => {
          const inputs = { ...args, identity: { kind, owner: `o/p/s/${kind}/x` }, connection: {}, drift: [] };
          return operationOf(kindOf(inputs), inputs, { aim, args, old: undefined });
        });
      const session = hurried(host, 5000);
      for (const program of ["observe", "commit"] as const) {
        const { errors } = await lied(program, silent, () =>
          Promise.allSettled(operations("ensure").map((operation) => session.run(operation))),
        );
        assert.equal(errors.length, 4);
        for (const { message } of errors) assert.match(message, /a command took longer than 5 s/);
      }
      // The commit itself did end, and the next operation finds that.
      const patient = hurried(host, 60_000);
      await Promise.all(operations("leave").map((operation) => patient.run(operation)));
      same(await host.files(), pristine);
    });

    it("has a ledger that is none of ours: it is named, and nothing is planned from it", async () => {
      const all = await createAll(host);
      const path = "/var/lib/pulumi-dovecot-postfix/postfix/ledger.json";
      const good = await host.read(path);
      for (const garbage of sampledOf(garbledLedgers(good), soaking ? 1 : 4, turn)) {
        await host.write(path, garbage);
        const before = await host.files();
        const other = () =>
          Promise.allSettled([
            create(host, { kind: "RelayAcceptance", stack: "other" }, { servers: ["203.0.113.99"] }),
          ]);
        const { errors } = await lied("dialogue", "", other);
        assert.equal(errors.length, 1, garbage.slice(-300));
        assert.match(errors[0]?.message ?? "", /the ledger \S+ cannot be read/);
        const of = { stack: "o/p/s", connection: host.connection, declared: [], unknown: [], goes: () => true };
        const { failed, notPlanned } = await planHost(of);
        assert.deepEqual([failed, notPlanned], [true, errors[0]?.message], "a preview fails, too");
        same(await host.files(), before);
      }
      await host.write(path, good);
      same(await host.files(), right);
      await removeAll(all);
      same(await host.files(), pristine);
    });

    it("puts escape sequences where people read: in errors of its daemons, in a preview and a pull request comment", async () => {
      const fatal = String.raw`fatal: \033]8;;http://evil.example\007\233\061m\342\200\256<{%%fg 1%%}>`;
      await host.write(
        "/usr/local/sbin/postfix",
        `#!/bin/sh\n[ "$1" != reload ] || { printf '${fatal}\n'; exit 1; }\nexec /usr/sbin/postfix "$@"\n`,
        "755",
      );
      const { errors } = await lied("dialogue", "", creates);
      assert.match(errors.map(({ message }) => message).join("\n"), /fatal: \\x1b\]8;;/);
      await host.run("rm /usr/local/sbin/postfix");
      await removeAll(await createAll(host));

      const [kind = "", args = {}] = resources("a")[3] ?? [];
      const inputs = { ...args, identity: { kind, owner: `o/p/s/${kind}/x` }, connection: {}, drift: [] };
      for (const [, perl] of [...sampled(common, 9, 1), ...common.slice(-1)]) {
        await liar.tells("observe", perl);
        const stack = "o/p/s";
        const of = { stack, connection: host.connection, declared: [inputs], unknown: [], goes: () => true };
        const plan = await planHost(of);
        legible(hostText(plan));
        legible(planMarkdown({ version: 1, stack, hosts: [plan] }));
      }
      await liar.repents();
      same(await host.files(), pristine);
    });
  });
}

/** A session whose patience is as long as a test's. */
function hurried({ connection }: Host, timeoutMs: number): Session {
  const dial = async (): Promise<Link> => {
    const link = await connect(connection);
    return {
      label: link.label,
      get alive() {
        return link.alive;
      },
      run: (command, input, limits) => link.run(command, input, { ...limits, timeoutMs }),
      forward: (...to) => link.forward(...to),
      close: () => {
        link.close();
      },
    };
  };
  return new Session(dial, shellCommand(connection));
}

function sampledOf<T>(all: readonly T[], every: number, turn: number): T[] {
  return all.filter((_, n) => n % every === turn % every);
}

/** Texts in place of a good ledger. */
function garbledLedgers(good: string): string[] {
  const other = (change: (ledger: Record<string, unknown>) => void): string => {
    const ledger = JSON.parse(good) as Record<string, unknown>;
    change(ledger);
    return JSON.stringify(ledger);
  };
  const touched = (value: unknown) =>
    other((ledger) => {
      const files = ledger["files"] as Record<string, object>;
      for (const path of Object.keys(files)) files[path] = { ...files[path], after: "x", ...(value as object) };
    });
  const contribution = (value: unknown) => other((ledger) => (ledger["contributions"] = { x: value }));
  const edit = (value: object) => contribution({ kind: "x", edits: [{ format: "main.cf", path: "/x", edit: value }] });
  return [
    ...[
      "",
      "null",
      "[]",
      "1",
      '"x"',
      "{}",
      "{",
      "\0",
      '{"version":1}',
      '{"version":"1"}',
      '{"version":0}',
      '{"version":2}',
    ],
    ...['{"version":1,"contributions":[],"files":[]}', '{"version":1,"contributions":{"__proto__":1},"files":{}}'],
    ...['{"version":1,"contributions":{},"files":{"__proto__":{}}}', '{"__proto__":{"version":1}}'],
    "[".repeat(100_000),
    "x".repeat(8 * mebibyte),
    good.slice(0, good.length / 2),
    ...[null, 1, "x", [], {}, { kind: 1, edits: [] }, { kind: "x", edits: {} }, { kind: "x", edits: [null] }].map(
      contribution,
    ),
    contribution({ kind: "x", edits: [{ format: "constructor", path: "/x", edit: { key: "x" } }] }),
    contribution({ kind: "x", edits: [{ format: "table", path: "../x", edit: { key: "x" } }] }),
    ...[
      {},
      { parameter: "x" },
      { parameter: 1, set: "x" },
      { parameter: "x", add: "x" },
      { parameter: "x", add: [1] },
    ].map(edit),
    ...[
      { format: "toString" },
      { before: 1 },
      { after: null },
      { applied: null },
      { applied: [null] },
      { applied: [1] },
    ].map(touched),
  ];
}
