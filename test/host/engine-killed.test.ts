// The engine itself is killed while a commit is under way: what is left of it, and what a user has to do then.
import { strict as assert } from "node:assert";
import { DovecotProxyTrust, RelayAcceptance } from "pulumi-dovecot-postfix";
import {
  cutMade,
  goOn,
  instrumented,
  operations,
  order,
  random,
  reachedStep,
  same,
  seed,
  settled,
} from "../support/cuts.js";
import { startHost, type Host } from "../support/host.js";
import { serves } from "../support/mail-client.js";
import { ofAllProcesses } from "../support/processes.js";
import { sampled, soaking } from "../support/sample.js";
import { createStack, type Program } from "../support/stack.js";

const draw = random(seed);
/** Any step that each operation has for sure. */
const steps = { first: 8, last: 45 };
const drawn = operations[Math.floor(draw() * operations.length)];

for (const debian of sampled("bookworm")) {
  describe(`kill -9 of pulumi on ${debian}, CUTS_SEED=${seed}`, () => {
    let host: Host;
    before(async () => {
      host = await startHost(debian);
      await instrumented(host);
    });
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
        await order(host, daemon, steps.first + Math.floor(draw() * (steps.last - steps.first)), "provider");
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
