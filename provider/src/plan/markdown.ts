// A plan for a pull request: who may reach what, what changes, and folded below it the lines.
import { codeBlock, codeSpan, markdown, mermaid } from "./harmless.js";
import type { HostPlan, Plan } from "./schema.js";
import { changesNothing, reloadText } from "./text.js";

export function planMarkdown(plan: Plan): string {
  const { hosts, stack } = plan;
  const title = `### Mail hosts of ${codeSpan(stack)}`;
  if (hosts.length === 0) return `${title}\n\nNo mail host is concerned.\n`;
  return `${[title, picture(plan), ...hosts.map(hostMarkdown)].filter((part) => part !== "").join("\n\n")}\n`;
}

type Party = HostPlan["effects"][number]["from"];

const labels: Readonly<Record<Party, string>> = {
  proxy: "migration proxy",
  "new server": "new server",
  "migration tool": "migration tool",
  internet: "internet",
  source: "source",
};

/** Whose way a resource that goes had opened. */
const ways: Readonly<Record<string, readonly [Party, Party]>> = {
  DovecotProxyTrust: ["proxy", "source"],
  PostfixXclientTrust: ["proxy", "source"],
  MasterUser: ["migration tool", "source"],
  RelayAcceptance: ["new server", "source"],
  OutboundRelay: ["source", "new server"],
};

/** Solid: may from then on. Dotted: may no longer. */
export function picture({ hosts }: Plan): string {
  const planned = hosts.filter(({ notPlanned }) => notPlanned === undefined);
  const nodes = new Map<string, string>();
  const arrows = planned.flatMap((host, index) => {
    const node = (party: Party) => {
      const id = party === "source" ? `source${index + 1}` : party.replace(" ", "");
      nodes.set(id, party === "source" ? `source ${host.host}` : labels[party]);
      return id;
    };
    const opened = host.effects.map(({ from, to, label }) => [node(from), "-->", node(to), label] as const);
    const closed = host.resources.flatMap(({ kind, name, state }) => {
      const way = state === "goes" ? ways[kind] : undefined;
      return way ? [[node(way[0]), "-.->", node(way[1]), `no longer: ${kind} ${name}`] as const] : [];
    });
    return [...opened, ...closed].map(([from, line, to, label]) => `  ${from} ${line}|"${mermaid(label)}"| ${to}`);
  });
  if (arrows.length === 0) return "";
  const boxes = [...nodes].map(([id, label]) => `  ${id}["${mermaid(label)}"]`);
  return ["```mermaid", "flowchart LR", ...boxes, ...new Set(arrows), "```"].join("\n");
}

function hostMarkdown(plan: HostPlan): string {
  const { host, digest = "", notPlanned } = plan;
  if (notPlanned !== undefined) return `#### ${codeSpan(host)}\n\nNo plan was made: ${markdown(notPlanned)}`;
  const parts = [
    `#### ${codeSpan(host)}, plan ${codeSpan(digest)}`,
    changesNothing(plan) ? "Nothing to change." : changes(plan),
    list("**Refused:**", plan.resources.filter(({ state }) => state === "refused").map(refused)),
    list("**Before this is applied:**", plan.findings.map(finding)),
    list("**From then on:**", plan.effects.map(effect)),
    list("**Also:**", plan.notes.map(markdown)),
    ...plan.files.map(folded),
  ];
  return parts.filter((part) => part !== "").join("\n\n");
}

function changes({ resources, files, values, reloads }: HostPlan): string {
  const rows = [
    ...resources
      .filter(({ state }) => state !== "planned")
      .map(({ kind, name, state }) => [codeSpan(`${kind} ${name}`), state === "unknown" ? "not known yet" : state]),
    ...files.map(({ path, change, added, removed }) => [codeSpan(path), `${change}, +${added} -${removed}`]),
    ...values.map(({ name, where, before, after }) => [
      codeSpan(where === "" ? name : `${name} (${where})`),
      `${before === "" ? "(empty)" : codeSpan(before)} → ${after === "" ? "(empty)" : codeSpan(after)}`,
    ]),
    ...reloads.map((reload) => [
      `reload ${reload.daemon}`,
      markdown(reloadText(reload).replace(/^.*: |^(no) .*/, "$1")),
    ]),
  ];
  return ["| what | change |", "| --- | --- |", ...rows.map((cells) => `| ${cells.join(" | ")} |`)].join("\n");
}

function refused({ kind, name, reason = "" }: HostPlan["resources"][number]): string {
  return `${markdown(`${kind} ${name}`)}: ${markdown(reason)}`;
}

function finding({ severity, text, cure }: HostPlan["findings"][number]): string {
  return `**${severity}**: ${markdown(text)}${cure === "" ? "" : ` *What to do:* ${markdown(cure)}`}`;
}

function effect({ text, narrower }: HostPlan["effects"][number]): string {
  return `${markdown(text)}${narrower === undefined ? "" : ` *Narrower:* ${codeSpan(narrower)}`}`;
}

function list(title: string, items: readonly string[]): string {
  return items.length === 0 ? "" : `${title}\n\n${items.map((item) => `- ${item}`).join("\n")}`;
}

function folded({ path, diff, added, removed }: HostPlan["files"][number]): string {
  // A summary is HTML, where Markdown's code span means nothing: entities alone.
  return `<details><summary>${markdown(path)}, +${added} -${removed}</summary>\n\n${codeBlock("diff", diff)}\n\n</details>`;
}
