// `npm run bench`: what five resources on one host cost over five dynamic resources that do nothing, through the real engine.
// Pairs in turn, so that a machine that slows down slows both; the median of the differences is what to quote.
import { dynamic } from "@pulumi/pulumi";
import {
  DovecotProxyTrust,
  MasterUser,
  OutboundRelay,
  PostfixXclientTrust,
  RelayAcceptance,
} from "pulumi-dovecot-postfix";
import { startHost, stopAll, type Debian } from "../test/support/host.js";
import { createStack, type Program, type TestStack } from "../test/support/stack.js";

const rounds = Number(process.env["BENCH_ROUNDS"] ?? 7);
/** Seconds that ours may cost more, by operation. */
const limits = { up: 1.0, "up, nothing to change": 0.15, destroy: 1.0 } as const;
type Step = keyof typeof limits;

/** Five, each with a provider object of its own, as a user would write them. */
function noop(): dynamic.ResourceProvider {
  return {
    check: (_olds: unknown, inputs: object) => Promise.resolve({ inputs }),
    diff: () => Promise.resolve({ changes: false }),
    create: (inputs: object) => Promise.resolve({ id: "noop", outs: inputs }),
    update: (_id: string, _olds: object, news: object) => Promise.resolve({ outs: news }),
    delete: () => Promise.resolve(),
  };
}
const providers = [noop(), noop(), noop(), noop(), noop()];
class Noop extends dynamic.Resource {
  constructor(provider: dynamic.ResourceProvider, name: string) {
    super(provider, name, { text: name });
  }
}

async function bench(debian: Debian): Promise<boolean> {
  const [host, next] = await Promise.all([startHost(debian), startHost(debian)]);
  await next.run(
    `postconf -e "myhostname = new.example.net" "mynetworks = 127.0.0.0/8 ${host.address}/32" && postfix reload 2>/dev/null`,
  );
  const connection = host.connection;
  const proxies = ["203.0.113.10"];
  const ours: Program = () => {
    new DovecotProxyTrust("dovecot", { connection, proxies });
    new PostfixXclientTrust("xclient", { connection, proxies });
    new MasterUser("master", { connection, username: "vmadmin" });
    new RelayAcceptance("relay", { connection, servers: [next.address] });
    new OutboundRelay("outbound", { connection, server: next.address });
    return Promise.resolve();
  };
  const theirs: Program = () => {
    providers.forEach((provider, n) => new Noop(provider, `noop-${n}`));
    return Promise.resolve();
  };
  const measured: Record<Step, { ours: number[]; noop: number[] }> = {
    up: { ours: [], noop: [] },
    "up, nothing to change": { ours: [], noop: [] },
    destroy: { ours: [], noop: [] },
  };
  for (let round = 0; round <= rounds; round++) {
    const stacks = [await createStack(ours), await createStack(theirs)] as const;
    for (const step of Object.keys(limits) as Step[]) {
      const times = [await seconds(stacks[0], step), await seconds(stacks[1], step)] as const;
      // The first round warms up.
      if (round > 0) {
        measured[step].ours.push(times[0]);
        measured[step].noop.push(times[1]);
      }
    }
    for (const stack of stacks) stack.remove();
  }
  console.log(`${debian}, ${rounds} rounds, seconds: median (minimum to maximum)`);
  let within = true;
  for (const step of Object.keys(limits) as Step[]) {
    const { ours: a, noop: b } = measured[step];
    const more = median(a.map((time, n) => time - (b[n] ?? 0)));
    within &&= more <= limits[step];
    console.log(
      `  ${step.padEnd(22)} five resources ${range(a)}  five no-ops ${range(b)}  more ${more.toFixed(2)} (limit ${limits[step].toFixed(2)})`,
    );
  }
  return within;
}

async function seconds(stack: TestStack, step: Step): Promise<number> {
  const began = process.hrtime.bigint();
  await (step === "destroy" ? stack.destroy() : stack.up());
  return Number(process.hrtime.bigint() - began) / 1e9;
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

function range(numbers: readonly number[]): string {
  return `${median(numbers).toFixed(2)} (${Math.min(...numbers).toFixed(2)} to ${Math.max(...numbers).toFixed(2)})`;
}

async function main(): Promise<void> {
  const results = [await bench("bookworm"), await bench("trixie")];
  if (results.includes(false)) process.exitCode = 1;
}

main()
  .catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(stopAll);
