// A plan for a terminal and for the engine's log.
import type { FilePlan, HostPlan, Plan } from "./schema.js";

export type Paint = (text: string, colour: "red" | "green" | "yellow" | "bold" | "dim") => string;

const plain: Paint = (text) => text;

const codes = { red: 31, green: 32, yellow: 33, bold: 1, dim: 2 };
export const ansi: Paint = (text, colour) => `\x1b[${codes[colour]}m${text}\x1b[0m`;

/** The whole plan; `paint` is `ansi` on a terminal. */
export function planText({ hosts }: Plan, paint: Paint = plain): string {
  if (hosts.length === 0) return "No mail host is concerned.\n";
  return `${hosts.map((host) => `${hostText(host, paint)}${findingsText(host, paint)}`).join("\n\n")}\n`;
}

/** One host without its findings, which a preview logs with a severity of their own. */
export function hostText(plan: HostPlan, paint: Paint = plain): string {
  const { host, notPlanned, digest = "" } = plan;
  if (notPlanned !== undefined) return `${paint(`Plan for ${host}`, "bold")}: not made. ${notPlanned}`;
  if (changesNothing(plan)) return `${paint(`Plan for ${host}`, "bold")} (${digest}): nothing to change.`;
  const lines = [
    ...plan.resources.filter(({ state }) => state !== "planned").map(resourceText),
    ...plan.files.flatMap((file) => fileText(file, paint)),
    ...section(
      "Effective values",
      plan.values.map(({ name, where, before, after }) => {
        const of = where === "" ? name : `${name} (${where})`;
        return `${of}: ${before === "" ? "(empty)" : before} -> ${after === "" ? "(empty)" : after}`;
      }),
    ),
    ...section("Reloads", plan.reloads.map(reloadText)),
    ...section(
      "From then on",
      plan.effects.map(({ text, narrower }) => (narrower === undefined ? text : `${text} Narrower: ${narrower}`)),
    ),
    ...section("Also", plan.notes),
  ];
  const title = `${paint(`Plan for ${host}`, "bold")} (${digest}): ${summary(plan)}`;
  return `${title}\n\n${lines.join("\n").trim()}`;
}

function summary({ files, reloads }: HostPlan): string {
  const reloaded = reloads.filter(({ reload }) => reload).map(({ daemon }) => daemon);
  const count = files.length === 1 ? "1 file changes" : `${files.length} files change`;
  return `${count}, ${reloaded.length === 0 ? "no reload" : `reload of ${reloaded.join(" and ")}`}`;
}

export function changesNothing({ files, resources }: HostPlan): boolean {
  return files.length === 0 && resources.every(({ state }) => state === "planned");
}

/** `reload dovecot: ends 14 imap sessions, 2 managesieve sessions (they reconnect)` */
export function reloadText({ daemon, reload, ends }: HostPlan["reloads"][number]): string {
  if (!reload) return `no reload of ${daemon}`;
  const sessions = Object.entries(ends).map(([service, n]) => `${n} ${service} session${n === 1 ? "" : "s"}`);
  return `reload ${daemon}: ends ${sessions.length === 0 ? "none" : `${sessions.join(", ")} (they reconnect)`}`;
}

export function findingText({ text, cure }: HostPlan["findings"][number]): string {
  return cure === "" ? text : `${text}\nWhat to do: ${cure}`;
}

function findingsText({ findings, resources }: HostPlan, paint: Paint): string {
  const refused = resources.filter(({ state }) => state === "refused");
  return [
    ...refused.map(({ kind, name, reason = "" }) => `\n\n${paint("refused", "red")}: ${kind} ${name}: ${reason}`),
    ...findings.map(
      (one) => `\n\n${paint(one.severity, one.severity === "error" ? "red" : "yellow")}: ${findingText(one)}`,
    ),
  ].join("");
}

function resourceText({ kind, name, state, reason }: HostPlan["resources"][number]): string {
  if (state === "goes") return `${kind} ${name} goes: it is no longer declared, and what it changed is taken back.`;
  if (state === "unknown") return `${kind} ${name} is not known yet${reason === undefined ? "" : ` (${reason})`}.`;
  return `${kind} ${name} is refused: an \`up\` would fail.`;
}

function fileText({ diff }: FilePlan, paint: Paint): string[] {
  const painted = diff
    .trimEnd()
    .split("\n")
    .map((line) => {
      if (/^(---|\+\+\+) /.test(line)) return paint(line, "bold");
      if (line.startsWith("+")) return paint(line, "green");
      if (line.startsWith("-")) return paint(line, "red");
      return line.startsWith("@@") ? paint(line, "dim") : line;
    });
  return ["", ...painted];
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ["", `${title}:`, ...lines.map((line) => `  ${line}`)];
}
