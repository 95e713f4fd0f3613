// Every cut of every operation on both Debians. A lost host is named and replaced; the count goes on.
import { operations, Patient, type Cut, type Kind } from "../support/cuts.js";
import type { Debian, Host } from "../support/host.js";
import { linkTo } from "../support/link.js";
import { startVariant, variants } from "../support/variants.js";
import type { Section } from "./report.js";

/** What is cut: by `every` a kind's cuts are one in so many of an operation's steps, by `count` so many of an operation. */
interface Ways {
  readonly title: string;
  readonly what: string;
  readonly overLink: boolean;
  readonly kinds: readonly ({ kind: Kind } & ({ every: number } | { count: number }))[];
  /** Fewer than these are no soak. */
  readonly least: number;
}

const outcome =
  "A third each of hosts as the distribution has them, made by hand with hard links, and with links and sudo. " +
  "After each: a whole configuration, daemons that serve and start, and an `up` and a `destroy` that need no help and leave " +
  "every byte as it was. What did not come is not counted.";

/** Every step is cut by a kill of the program; the other ways take turns, each at steps spread over the whole operation. */
export const commits: Ways = {
  title: "Cut at any moment",
  what:
    "Commits of real hosts that were stopped: `program`: kill -9 of all its shells, `midway`: within a command, `side`: one " +
    "daemon's transaction only, `group`: and of its watchdog, `undoing`: while a failed proof is undone, with the watchdog or without, " +
    "`twice`: and again while the next operation mends that, " +
    "`session`: of sshd's child, `provider`: of the process on the client, `silence`: no packet leaves the host any more, " +
    "`reboot`: the host's plug, `edit`: an administrator edits main.cf before the kill, `editing`: and no kill. " +
    outcome,
  overLink: false,
  kinds: [
    { kind: "program", every: 1 },
    { kind: "midway", every: 12 },
    { kind: "side", every: 12 },
    { kind: "session", every: 24 },
    { kind: "group", every: 16 },
    { kind: "undoing", every: 3 },
    { kind: "twice", every: 16 },
    { kind: "edit", every: 16 },
    { kind: "editing", every: 24 },
    { kind: "provider", count: 4 },
    { kind: "reboot", count: 4 },
    { kind: "silence", count: 2 },
  ],
  least: 500,
};

/** Spread over an operation's steps, or over the bytes of its dialogue. */
export const links: Ways = {
  title: "The link is cut",
  what:
    "Between the client and a real host is toxiproxy: `reset` at a step of the commit, `hang`: silent from a step on until the " +
    "client gives up, `stall`: until the program has ended, `request`: closed after so many bytes to the host, `answer`: from " +
    "it, `slices`: no cut, but late and in slices of 1 to 100 bytes, with the same result. " +
    outcome,
  overLink: true,
  kinds: [
    { kind: "reset", count: 4 },
    { kind: "hang", count: 1 },
    { kind: "stall", count: 2 },
    { kind: "request", count: 12 },
    { kind: "answer", count: 5 },
    { kind: "slices", count: 1 },
  ],
  least: 60,
};

/** Of each Debian, at the same time: a cut is mostly waiting. One of each variant. */
const PATIENTS = variants.length;

/** `stride`: only every so many steps. */
export async function cuts(ways: Ways, debians: readonly Debian[], stride: number): Promise<Section> {
  const { title, what, kinds, least } = ways;
  const made: Cut[] = [];
  const lost = (
    await Promise.all(
      debians.flatMap((debian) =>
        Array.from({ length: PATIENTS }, (_, n) =>
          patient(ways, { debian, which: n, stride }, made).catch((error: unknown) => [
            `${debian}, with no cut: ${String(error)}`,
          ]),
        ),
      ),
    )
  ).flat();
  const rows = kinds.map(({ kind }) => {
    const each = operations.map(
      (operation) => made.filter((cut) => cut.kind === kind && cut.operation === operation).length,
    );
    return [kind, ...each, each.reduce((a, b) => a + b, 0)];
  });
  return {
    title,
    what: what + (stride === 1 ? "" : ` One step in ${stride} (SOAK_STRIDE).`),
    head: ["cut", ...operations, "all"],
    rows,
    count: made.length,
    failures: stride <= 2 && made.length < least ? [...lost, `fewer than ${least} were made`] : lost,
  };
}

/** The `which`th of a Debian's patients, which share its cuts. */
async function patient(
  ways: Ways,
  { debian, which, stride }: { debian: Debian; which: number; stride: number },
  made: Cut[],
): Promise<string[]> {
  let host = await startVariant(debian, which);
  let patient = await examined(ways, host);
  const all = operations
    .flatMap((operation) => cutsOf(ways, operation, patient, stride))
    .filter((_, n) => n % PATIENTS === which);
  const lost: string[] = [];
  for (const [n, cut] of all.entries()) {
    const name = `${patient.name(cut)}, host ${variants[which]?.what ?? ""}`;
    try {
      if (await patient.cut(cut, { restart: n % 3 === 0 })) made.push(cut);
    } catch (error) {
      made.push(cut);
      lost.push(name);
      console.error(`LOST ${name}: ${error instanceof Error ? error.message : String(error)}`);
      await host.stop();
      host = await startVariant(debian, which);
      patient = await examined(ways, host);
    }
    if (process.env["SOAK_VERBOSE"]) console.error(`${n + 1} ${name}`);
    if (n % 25 === 24) console.error(`${debian} ${which + 1}: ${n + 1} of ${all.length} cuts, ${lost.length} lost`);
  }
  await host.stop();
  return lost;
}

async function examined({ overLink }: Ways, host: Host): Promise<Patient> {
  const patient = new Patient(host, overLink ? await linkTo(host) : undefined);
  await patient.examine();
  return patient;
}

function cutsOf({ kinds }: Ways, operation: Cut["operation"], patient: Patient, stride: number): Cut[] {
  return kinds.flatMap((way) => {
    const { kind } = way;
    const places = patient.places({ operation, kind });
    if ("count" in way) {
      const each = Math.ceil(way.count / stride);
      return spread(each).map((share): Cut => ({ operation, kind, step: Math.ceil(share * places) }));
    }
    const steps = Array.from({ length: Math.floor(places / stride) }, (_, n) => (n + 1) * stride);
    return steps
      .filter((_, n) => n % way.every === Math.floor(way.every / 2))
      .map((step): Cut => ({ operation, kind, step }));
  });
}

/** So many places in the middles of equal parts of 0 to 1. */
function spread(count: number): number[] {
  return Array.from({ length: count }, (_, n) => (n + 0.5) / count);
}
