// `npm run soak`: every cut of every operation on both Debians. Prints the counts; the first lost host ends it with status 1.
//   SOAK_STRIDE=7   only every 7th step     SOAK_ONLY=trixie   one Debian
import { describeCut, operations, Patient, type Cut, type Kind } from "../support/cuts.js";
import { startHost, stopAll, type Debian } from "../support/host.js";

const stride = Number(process.env["SOAK_STRIDE"] ?? "1");
const debians = (["bookworm", "trixie"] as const).filter((debian) => (process.env["SOAK_ONLY"] ?? debian) === debian);

/** Every step is cut by a kill of the program; the other ways take turns, each at steps spread over the whole operation. */
const others: readonly { kind: Kind; every: number }[] = [
  { kind: "midway", every: 3 },
  { kind: "side", every: 4 },
  { kind: "session", every: 8 },
  { kind: "group", every: 4 },
  { kind: "edit", every: 4 },
  { kind: "provider", every: 20 },
  { kind: "reboot", every: 10 },
  { kind: "silence", every: 100 },
];

function cutsOf(steps: ReadonlyMap<string, readonly unknown[]>): Cut[] {
  return operations.flatMap((operation) => {
    const all = (steps.get(operation) ?? []).map((_, n) => n + 1).filter((n) => n % stride === 0);
    return [
      ...all.map((step): Cut => ({ operation, kind: "program", step })),
      ...others.flatMap(({ kind, every }) =>
        all.filter((_, n) => n % every === Math.floor(every / 2)).map((step): Cut => ({ operation, kind, step })),
      ),
    ];
  });
}

async function soak(debian: Debian): Promise<string[]> {
  let host = await startHost(debian);
  let patient = new Patient(host);
  const steps = await patient.examine();
  const cuts = cutsOf(steps);
  const lost: string[] = [];
  const counts: Record<string, number> = {};
  for (const [n, cut] of cuts.entries()) {
    const name = `${describeCut(debian, cut)} (${steps.get(cut.operation)?.[cut.step - 1]?.command ?? ""})`;
    try {
      await patient.cut(cut, { restart: n % 3 === 0 });
    } catch (error) {
      lost.push(name);
      console.error(`LOST ${name}: ${error instanceof Error ? error.message : String(error)}`);
      await host.stop();
      host = await startHost(debian);
      patient = new Patient(host);
      await patient.examine();
    }
    const key = `${cut.operation}/${cut.kind}`;
    counts[key] = (counts[key] ?? 0) + 1;
    if (process.env["SOAK_VERBOSE"]) console.error(`${n + 1} ${name}`);
    if (n % 50 === 49) console.error(`${debian}: ${n + 1} of ${cuts.length} cuts, ${lost.length} lost`);
  }
  await host.stop();
  console.log(`${debian}: ${cuts.length} cuts, ${lost.length} lost`);
  for (const [key, count] of Object.entries(counts)) console.log(`  ${key}: ${count}`);
  return lost;
}

async function main(): Promise<void> {
  // What each operation reports would hide what the soak does.
  const { log } = console;
  console.log = (text: string) => {
    if (!/@\S+:\d+: /.test(text)) log(text);
  };
  const lost = (await Promise.all(debians.map(soak))).flat();
  await stopAll();
  process.exitCode = lost.length > 0 ? 1 : 0;
}

void main();
