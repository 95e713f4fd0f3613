// One line a host and operation: what was written, what was reloaded and ended, what was proved, and how long it took.
import type { Outcome } from "./commit.js";
import { printable } from "./errors.js";
import type { Plans } from "./planning.js";
import type { Snapshot } from "./snapshot.js";

export function report(
  snapshot: Snapshot,
  plans: readonly Plans[],
  outcomes: readonly Outcome[],
  compared: string,
  milliseconds: number,
  attempt: number,
): void {
  if (plans.length === 0) return;
  const parts = plans.map(({ plan, probes }) => {
    const outcome = outcomes.find(({ daemon }) => daemon === plan.daemon);
    if (!outcome) return `${plan.daemon}: already so, nothing written`;
    if (outcome.result === "failed") return `${plan.daemon}: failed, nothing of it stays`;
    if (outcome.result === "changed-meanwhile")
      return `${plan.daemon}: its files changed meanwhile, reading them again`;
    const written = plan.changes
      .filter(({ format }) => format !== "ledger")
      .map(({ path, after }) => (after === null ? `-${path}` : path));
    return [
      `${plan.daemon}: wrote ${written.length > 0 ? written.join(" ") : "the ledger only"}`,
      reloadOf(outcome, snapshot.dovecot?.sessions ?? {}),
      outcome.reloaded ? `${probes.length - outcome.brokenBefore.length} services asked, none got worse` : "",
      outcome.brokenBefore.length > 0 ? `did not answer before either: ${outcome.brokenBefore.join("; ")}` : "",
    ]
      .filter((part) => part !== "")
      .join(", ");
  });
  const notes = plans.flatMap(({ plan }) => plan.notes);
  const line = `${snapshot.host}: ${[...parts, ...notes, compared].filter((part) => part !== "").join("; ")} (${milliseconds} ms${attempt > 1 ? `, attempt ${attempt}` : ""})`;
  console.log(printable(line.replaceAll("\n", " "), 4000));
}

/** `sessions`: of Dovecot, as observed just before. */
function reloadOf(outcome: Outcome, sessions: Readonly<Record<string, number>>): string {
  if (outcome.stopped) return "not reloaded (it does not run)";
  if (!outcome.reloaded) return "no reload";
  const ended = Object.entries(sessions).map(([service, count]) => `${count} ${service}`);
  if (outcome.daemon === "postfix") return "1 reload (ends no session)";
  return `1 reload (${ended.length === 0 ? "no session was open" : `met ${ended.join(", ")} sessions, which reconnect`})`;
}
