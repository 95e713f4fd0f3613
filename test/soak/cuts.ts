// Every cut of every operation on both Debians. A lost host is named and replaced; the count goes on.
import { operations, Patient, type Cut, type Kind } from "../support/cuts.js";
import { startHost, type Debian, type Host } from "../support/host.js";
import { linkTo } from "../support/link.js";
import type { Section } from "./report.js";

/**
 * Every step is cut by a kill of the program; the other ways take turns, each at steps spread over the whole operation, one
 * in so many.
 */
const others: readonly { kind: Kind; every: number }[] = [
  { kind: "midway", every: 12 },
  { kind: "side", every: 12 },
  { kind: "session", every: 24 },
  { kind: "group", every: 16 },
  { kind: "twice", every: 16 },
  { kind: "edit", every: 16 },
  { kind: "editing", every: 24 },
  { kind: "provider", every: 40 },
  { kind: "reboot", every: 40 },
  { kind: "silence", every: 120 },
];

/** The ways to cut the link: so many of each for an operation, spread over its steps or over the bytes of its dialogue. */
const links: readonly { kind: Kind; count: number }[] = [
  { kind: "reset", count: 4 },
  { kind: "hang", count: 1 },
  { kind: "stall", count: 2 },
  { kind: "request", count: 12 },
  { kind: "answer", count: 5 },
  { kind: "slices", count: 1 },
];

const kinds: readonly Kind[] = ["program", ...[...others, ...links].map(({ kind }) => kind)];

/** Of each Debian, at the same time: a cut is mostly waiting. */
const PATIENTS = 3;

const LEAST = 500;

/** `stride`: only every so many steps. */
export async function cuts(debians: readonly Debian[], stride: number): Promise<Section> {
  const made: Cut[] = [];
  const lost = (
    await Promise.all(
      debians.flatMap((debian) =>
        Array.from({ length: PATIENTS }, (_, n) =>
          patient(debian, n, stride, made).catch((error: unknown) => [`${debian}, with no cut: ${String(error)}`]),
        ),
      ),
    )
  ).flat();
  const cutsMade = made.filter(({ kind }) => kind !== "slices").length;
  const count = (kind: Kind, operation: Cut["operation"]) =>
    made.filter((cut) => cut.kind === kind && cut.operation === operation).length;
  return {
    title: "Cut at any moment",
    what:
      `Commits of real hosts that were stopped: \`program\`: kill -9 of all its shells, \`midway\`: within a command, \`side\`: ` +
      "one daemon's transaction only, `group`: and of its watchdog, `twice`: and again while the next operation mends that, `session`: of sshd's child, `provider`: of the process on " +
      "the client, `silence`: no packet leaves the host any more, `reboot`: the host's plug, `edit`: an administrator edits " +
      "main.cf before the kill, `editing`: and no kill. Of the link, which toxiproxy cuts: `reset` at a step, `hang`: silent from " +
      "a step on until the client gives up, `stall`: until the program has ended, `request`: closed after so many bytes to the " +
      "host, `answer`: from it, `slices`: no cut, but late and in slices of 1 to 100 bytes, with the same result. After each: a whole configuration, daemons that serve and start, and an " +
      "`up` and a `destroy` that need no help and leave every byte as it was. A step that did not come is not counted." +
      (stride === 1 ? "" : ` Every ${stride}th step (SOAK_STRIDE).`),
    head: ["cut", ...operations, "all"],
    rows: kinds.map((kind) => {
      const each = operations.map((operation) => count(kind, operation));
      return [kind, ...each, each.reduce((a, b) => a + b, 0)];
    }),
    count: cutsMade,
    failures: stride <= 2 && cutsMade < LEAST ? [...lost, `fewer than ${LEAST} cuts were made`] : lost,
  };
}

/** The `which`th of a Debian's patients, which share its cuts. */
async function patient(debian: Debian, which: number, stride: number, made: Cut[]): Promise<string[]> {
  let host = await startHost(debian);
  let patient = await examined(host);
  const all = operations
    .flatMap((operation) => cutsOf(operation, patient, stride))
    .filter((_, n) => n % PATIENTS === which);
  const lost: string[] = [];
  for (const [n, cut] of all.entries()) {
    const name = patient.name(cut);
    try {
      if (await patient.cut(cut, { restart: n % 3 === 0 })) made.push(cut);
    } catch (error) {
      made.push(cut);
      lost.push(name);
      console.error(`LOST ${name}: ${error instanceof Error ? error.message : String(error)}`);
      await host.stop();
      host = await startHost(debian);
      patient = await examined(host);
    }
    if (process.env["SOAK_VERBOSE"]) console.error(`${n + 1} ${name}`);
    if (n % 25 === 24) console.error(`${debian} ${which + 1}: ${n + 1} of ${all.length} cuts, ${lost.length} lost`);
  }
  await host.stop();
  return lost;
}

async function examined(host: Host): Promise<Patient> {
  const patient = new Patient(host, await linkTo(host));
  await patient.examine();
  return patient;
}

function cutsOf(operation: Cut["operation"], patient: Patient, stride: number): Cut[] {
  const steps = patient.places({ operation, kind: "program" });
  const all = Array.from({ length: steps }, (_, n) => n + 1).filter((n) => n % stride === 0);
  return [
    ...all.map((step): Cut => ({ operation, kind: "program", step })),
    ...others.flatMap(({ kind, every }) =>
      all.filter((_, n) => n % every === Math.floor(every / 2)).map((step): Cut => ({ operation, kind, step })),
    ),
    ...links.flatMap(({ kind, count }) => {
      const places = patient.places({ operation, kind });
      const each = Math.ceil(count / stride);
      return Array.from({ length: each }, (_, n): Cut => {
        return { operation, kind, step: Math.ceil(((n + 0.5) * places) / each) };
      });
    }),
  ];
}
