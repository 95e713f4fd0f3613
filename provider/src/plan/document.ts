// One host's decision as data: what a reviewer sees. Pure; the same decision gives the same document.
import { createTwoFilesPatch } from "diff";
import { digest, footprint } from "../host/digest.js";
import type { Edit } from "../host/formats.js";
import type { DaemonPlan, FileChange } from "../host/plan.js";
import { type Decision, type Ready } from "../host/planning.js";
import { daemons, digestOf, sha256, type Daemon, type Snapshot } from "../host/snapshot.js";
import { parameter } from "../postfix/parameters.js";
import { everyText } from "../ssh/printable.js";
import { harmless, readable } from "./harmless.js";
import { maskSecrets } from "./mask.js";
import type { Effect, FilePlan, Finding, HostPlan, ResourcePlan, ValuePlan } from "./schema.js";

/** What one resource's own part adds to its host's plan. */
export interface Told {
  readonly owner: string;
  readonly effects: readonly Effect[];
  readonly findings: readonly Finding[];
}

export function hostPlan(
  { snapshot, ready, plans: planned }: Decision,
  resources: readonly ResourcePlan[],
  told: readonly Told[],
): HostPlan {
  const plans = planned.map(({ plan }) => plan);
  const warnings = ready.flatMap(({ operation: { owner }, warnings: texts }) =>
    texts.map((text) => ({ owner, severity: "warning" as const, ...toldApart(text) })),
  );
  const plan: HostPlan = {
    host: snapshot.host,
    digest: digest(snapshot.host, footprint(plans)),
    resources: [...resources],
    files: plans.flatMap(filesOf),
    values: valuesOf(ready),
    reloads: daemons.flatMap((daemon) => reloadOf(snapshot, plans, daemon)),
    effects: told.flatMap(({ owner, effects }) => effects.map((effect) => ({ owner, ...effect }))),
    findings: [
      ...told.flatMap(({ owner, findings }) => findings.map((finding) => ({ owner, ...finding }))),
      ...warnings,
      ...siteFindings(snapshot, plans, ready),
    ],
    notes: [...new Set([...plans.flatMap(({ notes }) => notes), ...plans.flatMap((one) => notesOf(snapshot, one))])],
  };
  return everyText(plan, legible);
}

/** More than anybody reads, and less than an unbroken line of a broken host. */
const longest = 200_000;

function legible(text: string): string {
  return text.length > longest ? `${harmless(text.slice(0, longest))} [...]` : harmless(text);
}

/** A host of which no plan could be made; failed: an `up` would meet the reason, too. */
export function unplanned(host: string, reason: string, resources: readonly ResourcePlan[], failed = false): HostPlan {
  const lists = { files: [], values: [], reloads: [], effects: [], findings: [], notes: [] };
  return everyText(
    { host, notPlanned: reason, ...(failed && { failed }), resources: [...resources], ...lists },
    legible,
  );
}

function filesOf({ daemon, changes }: DaemonPlan): FilePlan[] {
  return changes.flatMap((change) => {
    if (change.format === "ledger") return [];
    const secret = change.format === "secret-table";
    const [before, after] = [masked(change, change.before), masked(change, change.after)];
    const shown = (text: string | null) => readable(maskSecrets(text ?? "", daemon));
    const patch = createTwoFilesPatch(
      ...[before === null ? "/dev/null" : `a${change.path}`, after === null ? "/dev/null" : `b${change.path}`],
      ...[shown(before), shown(after)],
      ...[undefined, undefined],
      { context: 3 },
    );
    const diff = patch.replace(/^=+\n/, "").replace(/\t$/gm, "");
    const count = (sign: string) => diff.split("\n").filter((line) => line.startsWith(sign)).length - 1;
    return [
      {
        ...{ daemon, path: change.path, secret, diff },
        change: before === null ? "created" : after === null ? "removed" : "changed",
        before: before === null ? null : sha256(before),
        after: after === null ? null : sha256(after),
        added: count("+"),
        removed: count("-"),
      },
    ];
  });
}

/** Lines of a secret file show whose they are, and whether they change. */
function masked({ format, before }: FileChange, text: string | null): string | null {
  if (format !== "secret-table" || text === null) return text;
  const old = new Set((before ?? "").split("\n"));
  const isNew = (line: string) => before !== null && text !== before && !old.has(line);
  return text.replace(/^([^:\n]*):.*$/gm, (line, key: string) => `${key}:{...}${isNew(line) ? " (changed)" : ""}`);
}

function valuesOf(ready: readonly Ready[]): ValuePlan[] {
  const found = new Map<string, ValuePlan>();
  for (const { operation, wish, values } of ready) {
    operation.queries.forEach(({ program, name, selector, word }, n) => {
      const key = `${program} ${selector} ${name}`;
      const before = values[n] ?? "";
      const known = found.get(key) ?? { daemon: operation.daemon, name, where: place(selector), before, after: before };
      found.set(key, { ...known, after: afterwards(known.after, name, word, wish.contribution?.edits ?? []) });
    });
  }
  return [...found.values()].filter(({ before, after }) => before !== after);
}

function afterwards(before: string, name: string, word: string, edits: readonly Edit[]): string {
  if (before.split(/[\s,]+/).includes(word)) return before;
  for (const { edit } of edits) {
    if ("separator" in edit && name === "auth_master_user_separator") return edit.separator;
    if ("trust" in edit && edit.trust === word) return word;
    if ("parameter" in edit && edit.parameter === name) {
      if ("set" in edit) return edit.set;
      if (edit.add.includes(word)) return `${before === "" && edit.seed ? edit.seed : before} ${word}`.trim();
    }
  }
  return before;
}

/** "protocol=imap remote=192.0.2.1" */
function place(selector: string): string {
  const remote = /remote=(\S+)/.exec(selector)?.[1];
  return remote === undefined ? selector : `connections from ${remote}`;
}

function reloadOf({ dovecot }: Snapshot, plans: readonly DaemonPlan[], daemon: Daemon): HostPlan["reloads"] {
  const plan = plans.find((one) => one.daemon === daemon);
  if (!plan) return [];
  // Postfix finishes its sessions; Dovecot ends them unless it is told otherwise.
  const spared = daemon === "postfix" || /^shutdown_clients = no$/m.test(dovecot?.settings.text ?? "");
  return [{ daemon, reload: plan.reload, ends: plan.reload && !spared ? { ...dovecot?.sessions } : {} }];
}

/** What a file alone does not tell. */
function notesOf(snapshot: Snapshot, { daemon, changes }: DaemonPlan): string[] {
  const records = Object.entries(snapshot.ledgers[daemon].files);
  const foreign = records.flatMap(([path, { after }]) => {
    const file = snapshot.files.get(path);
    const goes = changes.some((change) => change.path === (file?.real ?? path));
    return file && goes && digestOf(file) !== after
      ? [`${path} was edited by others since: what they wrote stays, only what is ours changes`]
      : [];
  });
  const unset = changes
    .filter(({ format }) => format === "main.cf")
    .flatMap(({ before, after }) =>
      ["mynetworks", "smtpd_authorized_xclient_hosts", "relayhost", "smtpd_milter_maps", "smtpd_helo_restrictions"]
        .filter((name) => parameter(before ?? "", name) && !parameter(after ?? "", name))
        .map((name) =>
          name === "mynetworks"
            ? "mynetworks is set no longer: Postfix computes it from the host's interfaces again"
            : `${name} is set no longer: Postfix's default is in force again`,
        ),
    );
  return [...foreign, ...unset, ...hiddenIn(snapshot, changes)];
}

/** What a key that may only look does not see of a file that changes. */
function hiddenIn({ files }: Snapshot, changes: readonly FileChange[]): string[] {
  const hidden = [...files.values()].filter(({ sha256: digest }) => digest !== undefined);
  return changes
    .filter(({ format, path }) => format !== "secret-table" && hidden.some(({ real }) => real === path))
    .map(
      ({ path }) => `${path} holds secrets that this key may not see ({...}), so the \`up\` will print another digest`,
    );
}

function siteFindings(snapshot: Snapshot, plans: readonly DaemonPlan[], ready: readonly Ready[]): Finding[] {
  const cutOff = snapshot.interrupted.map((daemon) => ({
    severity: "warning" as const,
    text: `An operation on ${daemon} was cut off: the next \`pulumi up\` puts it right before anything else, so this plan may change.`,
    cure: "Run `pulumi up`.",
  }));
  // Nothing in the program is new to the ledger, and yet files differ: somebody edited them.
  const drifted = plans.filter(
    ({ daemon, ledger, changes }) =>
      changes.some(({ format }) => format !== "ledger") &&
      ready.some(({ operation }) => operation.daemon === daemon) &&
      same(ledger.contributions, snapshot.ledgers[daemon].contributions),
  );
  return [
    ...cutOff,
    ...drifted.map(({ daemon }) => ({
      severity: "warning" as const,
      text: `${daemon}'s files on the host are not as the last \`pulumi up\` left them; the program asks for nothing new.`,
      cure: "`pulumi refresh` finds what differs, and the next `pulumi up` puts it back; `pulumi up` alone leaves it.",
    })),
  ];
}

function same(a: object, b: object): boolean {
  const sorted = (record: object) => JSON.stringify(Object.entries(record).sort(([x], [y]) => (x < y ? -1 : 1)));
  return sorted(a) === sorted(b);
}

/** A warning, and what to do about it where it says so. */
function toldApart(text: string): { text: string; cure: string } {
  const [what = "", ...lines] = text.split("\n");
  const cure = lines.find((line) => line.startsWith("What to do: "))?.slice("What to do: ".length);
  return { text: what, cure: cure ?? "" };
}
