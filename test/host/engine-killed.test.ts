// The engine itself is killed while a commit is under way: what is left of it, and what a user has to do then.
import { strict as assert } from "node:assert";
import { DovecotProxyTrust, RelayAcceptance } from "pulumi-dovecot-postfix";
import {
  cutMade,
  goOn,
  instrumented,
  operations,
  order,
  reachedStep,
  removeAll,
  same,
  settled,
  stepsMade,
  type Operation,
  type Step,
} from "../support/cuts.js";
import { startHost, type Host } from "../support/host.js";
import { serves } from "../support/mail-client.js";
import { ofAllProcesses } from "../support/processes.js";
import { create, type Resource } from "../support/resources.js";
import { random, sampled, seed, soaking } from "../support/sample.js";
import { createStack, type Program } from "../support/stack.js";

const draw = random(seed);
const drawn = operations[Math.floor(draw() * operations.length)];

for (const debian of sampled("bookworm")) {
  describe(`kill -9 of pulumi on ${debian}, CUTS_SEED=${seed}`, () => {
    let host: Host;
    const counted = new Map<Operation, readonly Step[]>();
    before(async () => {
      host = await startHost(debian);
      await instrumented(host);
      // Without the engine, and with nobody who ends them.
      const kinds = { DovecotProxyTrust: "proxies", RelayAcceptance: "servers" };
      const all = Object.entries(kinds);
      let made: Resource[] = [];
      const runs = {
        create: async () => {
          made = await Promise.all(all.map(([kind, name]) => create(host, { kind }, { [name]: ["203.0.113.20"] })));
        },
        update: () => Promise.all(made.map((one, n) => one.update({ [all[n]?.[1] ?? ""]: ["203.0.113.21"] }))),
        remove: () => removeAll(made),
      };
      for (const operation of operations) {
        await order(host, "main", 0, "none");
        await runs[operation]();
        counted.set(operation, await stepsMade(host));
      }
    });
    /** A step that comes for sure: after the files are in place, how often something is asked is not the same each time. */
    const anyStep = (operation: Operation, daemon: string) => {
      const all = (counted.get(operation) ?? []).filter(({ where }) => where === daemon);
      const last = all.findLastIndex(({ command }) => / (put|place_gone) /.test(command));
      assert.ok(last > 0, `${operation} of ${daemon} puts nothing in place in ${all.length} steps`);
      const sure = [...all.slice(0, last + 2).map(({ at }) => at), "proved", "clear_journal"];
      return sure[Math.floor(draw() * sure.length)] ?? 0;
    };
    after(() => host.stop());

    for (const operation of soaking ? operations : operations.filter((one) => one === drawn)) {
      it(`within a ${operation}: \`pulumi cancel\` frees the stack, and the next operations need no other help`, async () => {
        const pristine = await host.files();
        const program =
          (server: string): Program =>
          () => {
            const { connection } = host;
            new DovecotProxyTrust("trust", { connection, proxies: [server] });
            new RelayAcceptance("relay", { connection, servers: [server] });
            return Promise.resolve();
          };
        const old = program("203.0.113.20");
        const wanted = operation === "update" ? program("203.0.113.21") : old;
        const stack = await createStack(old);
        if (operation !== "create") await stack.up();
        const daemon = draw() < 0.5 ? "dovecot" : "postfix";
        await order(host, daemon, anyStep(operation, daemon), "provider");
        const run = (operation === "remove" ? stack.destroy() : stack.up(wanted)).then(
          () => assert.fail("ended as if nothing were"),
          String,
        );
        await Promise.race([reachedStep(host), run]);
        assert.ok(await cutMade(host));
        const mine = children();
        const [engine, ...others] = mine.filter(({ name }) => name === "pulumi");
        assert.ok(engine && others.length === 0, JSON.stringify(mine));
        const orphans = descendants(engine.pid);
        process.kill(engine.pid, "SIGKILL");
        await run;
        await goOn(host);
        await settled(host);
        await serves(host);

        await assert.rejects(stack.up(wanted), /currently locked[^]*pulumi cancel/);
        await stack.cancel();
        // What a destroy has taken out and the state still has, an `up` does not miss: it does not ask the host.
        if (operation !== "remove") {
          await stack.up(wanted);
          assert.match(await host.run("postconf -h mynetworks"), /203\.0\.113\.2\d\/32/);
        }
        await stack.destroy();
        same(await host.files(), pristine);
        stack.remove();
        for (const pid of orphans) end(pid);
      });
    }
  });
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
}

function processes(): Process[] {
  return ofAllProcesses("stat").map((stat) => {
    const [, pid, name = "", parent] = /^(\d+) \((.*)\) \S (\d+)/.exec(stat) ?? [];
    return { pid: Number(pid), parent: Number(parent), name };
  });
}

const children = (of = process.pid) => processes().filter(({ parent }) => parent === of);

function descendants(of: number): number[] {
  return children(of).flatMap(({ pid }) => [pid, ...descendants(pid)]);
}

function end(pid: number): void {
  try {
    process.kill(pid);
  } catch {
    // It has ended by itself.
  }
}
