// Executes plans on a host: one round trip for all its daemons (commit.sh), and what came of it.
import type { Link } from "../ssh/link.js";
import { HostError, printable } from "./errors.js";
import { isEmpty } from "./ledger.js";
import { notKnown, runProgram, type Shell } from "./observe.js";
import type { DaemonPlan } from "./plan.js";
import { sha256, stateDirectory, type Daemon } from "./snapshot.js";
import { firstLine, keepsake } from "./undo.js";
import { printfBytes, type Frame } from "./wire.js";

/** A service that must still greet and answer after the change, if it did before. */
export interface Probe {
  readonly service: string;
  readonly kind: "smtp" | "imap" | "pop3" | "sieve" | "auth";
  readonly host: string;
  readonly port: number;
  readonly mode: "plain" | "implicit-tls" | "postscreen";
}

export interface Outcome {
  readonly daemon: Daemon;
  readonly result: "committed" | "changed-meanwhile" | "failed";
  readonly reloaded: boolean;
  readonly stopped: boolean;
  /** Effective values after the change, by id. */
  readonly values: Readonly<Record<string, string>>;
  /** Services that did not answer before us either. */
  readonly brokenBefore: readonly string[];
  readonly error?: HostError;
}

/** `readme`: the first line of the ledger's README, as it was observed. */
export async function commit(
  link: Link,
  shell: Shell,
  plans: readonly { plan: DaemonPlan; probes: readonly Probe[] }[],
  readme: string | undefined,
): Promise<Outcome[]> {
  const kept = plans.some(({ plan }) => !isEmpty(plan.ledger)) ? keepsake() : undefined;
  const answer = await run(link, shell, [
    ...(kept && readme !== firstLine(kept) ? [["keep", stateDirectory, kept.readme, kept.program]] : []),
    ["transactions", ...plans.flatMap(({ plan, probes }) => records(plan, probes))],
  ]);
  return plans.map(({ plan }) => outcome(link.label, plan.daemon, answer));
}

/** Puts back what a killed operation left half done; the next observation then sees a whole host. Fails where it cannot. */
export async function recover(link: Link, shell: Shell, daemons: readonly Daemon[]): Promise<void> {
  const calls = daemons.map((daemon) => ["recover", daemon, `${stateDirectory}/${daemon}`]);
  const answer = await run(link, shell, calls);
  const lost: HostError[] = [];
  for (const daemon of daemons) {
    const of = framesOf(answer, daemon);
    const paths = of("lost")[0]?.body.trim();
    if (paths) lost.push(notUndone(link.label, daemon, `these files could not be put back: ${paths}`));
    if (of("recovered").length === 0) continue;
    const left = of("left")[0]?.body.trim();
    console.log(
      printable(
        `${link.label}: ${daemon}: an operation before this one was cut off; its old files are back` +
          (left ? `.${leftAlone(left)}` : ""),
      ),
    );
  }
  // A plan made from what is still there would say that all is well.
  if (lost[0]) throw lost[0];
}

const notUndone = (host: string, daemon: Daemon, said: string) =>
  new HostError(host, `${daemon}: ${steps["recover"] ?? ""}`, {
    said,
    state: `What that operation has changed is still there; the old bytes are in ${journalOf(daemon)}, and the next operation tries again.`,
    cure: correct,
  });

const journalOf = (daemon: Daemon) => `${stateDirectory}/${daemon}/journal`;

const correct = "Correct what the daemon complains of, then run the same command again.";

/** The frames of a name that are one daemon's. */
const framesOf = (answer: readonly Frame[], daemon: Daemon) => (name: string) =>
  answer.filter((frame) => frame.name === name && frame.words[0] === daemon);

const leftAlone = (paths: string) => ` Somebody changed these files meanwhile, so they were left as they are: ${paths}`;

async function run(link: Link, shell: Shell, calls: readonly (readonly string[])[]): Promise<Frame[]> {
  const waiting = (): void => {
    console.log(`${printable(link.label)}: another operation holds the lock on /var/lib; it is waited for, up to 60 s`);
  };
  const program = (nonce: string) => [["main", nonce], ...calls, ["finish", stateDirectory]];
  const answer = await runProgram(link, shell, "commit.sh", program, { waiting });
  if (!answer.some(({ name }) => name === "locked")) return answer;
  throw new HostError(link.label, "another operation has held the lock on /var/lib for 60 s", {
    state: "Nothing was changed.",
    cure: "Wait for it to end, then try again. `fuser -v /var/lib` on the host shows who holds it.",
  });
}

function records(plan: DaemonPlan, probes: readonly Probe[]): string[] {
  const files = plan.changes.flatMap(({ path, before, after, mode, owner }) => {
    const expected = before === null ? "absent" : sha256(before);
    return after === null
      ? ["gone", path, expected]
      : ["file", path, expected, sha256(after), mode, owner, printfBytes(after)];
  });
  const fragments = plan.changes.filter(({ format, after }) => format === "dovecot-fragment" && after !== null);
  return [
    ...["transaction", plan.daemon, `${stateDirectory}/${plan.daemon}`],
    ...files,
    ...fragments.flatMap(({ path }) => ["check", plan.configFile, path]),
    ...plan.effective.flatMap(({ id, program, selector, name, word }) => [
      "effective",
      id,
      program,
      selector,
      name,
      word,
    ]),
    ...(plan.reload
      ? probes.flatMap(({ service, kind, host, port, mode }) => ["probe", service, kind, host, String(port), mode])
      : []),
    ...(plan.reload ? ["reload"] : []),
    // A resource that only leaves goes from a broken host, too.
    ...(plan.effective.length > 0 ? ["living"] : []),
    ...(plan.daemon === "dovecot" ? ["flush"] : []),
  ];
}

/** What each step of commit.sh means to an administrator. */
const steps: Readonly<Record<string, string>> = {
  recover: "an operation before this one was cut off, and could not be undone",
  running: "it could not be asked whether it runs",
  save: "the copy of the old files could not be made",
  stage: "the new files could not be written",
  check: "the daemon's own check refused the new settings",
  living: "its services do not answer, so a change could not be proved",
  place: "a new file could not be put in place",
  reload: "the daemon could not be reloaded",
  effective: "the new value did not take effect",
  prove: "a service that answered before does not answer after the reload",
  disarm: "the change could not be declared done",
  protocol: "the programs on the two sides do not match",
  // Those that do not say `failed`.
  changed: "its files changed meanwhile",
  ended: "the commit ended without a result",
};

/** When one of these fails, new files are in place; until the undo has told its end, nobody knows what is there. */
const live: ReadonlySet<string> = new Set(["place", "reload", "effective", "prove", "disarm"]);

function outcome(host: string, daemon: Daemon, answer: readonly Frame[]): Outcome {
  const of = framesOf(answer, daemon);
  const values = Object.fromEntries(
    answer.flatMap(({ name, words, body }) => (name === "value" ? [[words[0] ?? "", body.trim()]] : [])),
  );
  const committed = of("committed")[0];
  const common = {
    ...{ daemon, values },
    reloaded: committed?.words[1] === "yes",
    stopped: committed?.words[1] === "stopped",
    brokenBefore: of("broken-before").map(({ words, body }) => `${words[1] ?? ""}: ${body.trim()}`),
  };
  if (committed) return { ...common, result: "committed" };
  const lost = of("lost")[0]?.body.trim();
  const changed = of("changed").length > 0;
  if (changed && !lost) return { ...common, result: "changed-meanwhile" };

  const failed = of("failed")[0];
  const step = failed?.words[1] ?? (changed ? "changed" : "ended");
  const undone = of("undone")[0];
  const said = [failed?.body.trim(), of("words")[0]?.body.trim()].filter((text) => text).join("\n");
  if (step === "recover") return { ...common, result: "failed", error: notUndone(host, daemon, said) };
  const silent = undone?.body.trim() ?? "";
  const foreign = of("left")[0]?.body.trim();
  const back = lost
    ? `The old bytes of ${lost} could not be put back; they are in ${journalOf(daemon)}, and the next operation tries again`
    : "The old files are back";
  const answers =
    undone?.words[1] === "unasked"
      ? `; whether ${daemon} answers could not be asked: there is no room in ${stateDirectory}.`
      : silent === ""
        ? `${lost ? ";" : " and"} ${daemon} answers again.`
        : `, but this still fails, so it was not our change alone: ${silent}`;
  const state = undone
    ? back + answers + (foreign ? leftAlone(foreign) : "")
    : failed && !live.has(step)
      ? "Nothing was changed."
      : notKnown;
  const error = new HostError(host, `${daemon}: ${steps[step] ?? steps["ended"] ?? ""}`, {
    said,
    state,
    cure: failed ? correct : "Run the same command again: it puts right first what this one has left.",
  });
  return { ...common, result: "failed", error };
}
