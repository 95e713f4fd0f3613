// A plan for a pull request: who may reach what, what changes, and folded below it the lines.
import { joined, shortened, type Part, type Room } from "./cut.js";
import { codeBlock, codeSpan, harmless, markdown, mermaid } from "./harmless.js";
import type { HostPlan, Plan } from "./schema.js";
import { changesNothing, reloadText } from "./text.js";

export interface Markdown {
  /** Why an `up` would fail, in the engine's words. */
  readonly errors?: readonly string[] | undefined;
  /** Where the text has to fit in. */
  readonly room?: Room | undefined;
}

export function planMarkdown(plan: Plan, { errors = [], room }: Markdown = {}): string {
  const { hosts, stack } = plan;
  const failures = failed(plan, errors, room);
  const parts: Part[] = [
    { kind: "title", of: stack, text: `### Mail hosts of ${codeSpan(stack)}` },
    { kind: "error text", of: stack, text: failures },
    { kind: "picture", of: stack, text: picture(plan) },
    ...hosts.flatMap(hostMarkdown),
  ];
  if (hosts.length === 0 && failures === "")
    parts.push({ kind: "host", of: stack, text: "No mail host is concerned." });
  return joined(
    parts.filter(({ text }) => text !== ""),
    room,
  );
}

/** What the plan itself does not tell as a refusal. */
function failed({ hosts }: Plan, errors: readonly string[], room: Room | undefined): string {
  const told = hosts.flatMap(({ resources }) =>
    resources.flatMap(({ reason = "" }) => (reason === "" ? [] : [reason])),
  );
  const untold = errors.map(harmless).filter((error) => !told.some((reason) => error.includes(reason)));
  if (untold.length === 0) return "";
  // A stack trace is not worth the picture.
  const text = room ? shortened(untold.join("\n"), Math.floor(room.length / 8)) : untold.join("\n");
  return `**The preview failed:**\n\n${codeBlock("text", text)}`;
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

function hostMarkdown(plan: HostPlan): Part[] {
  const { host, digest = "", notPlanned } = plan;
  const part = (kind: Part["kind"], text: string, of = host): Part => ({ kind, of, text });
  if (notPlanned !== undefined)
    return [part("host", `#### ${codeSpan(host)}\n\nNo plan was made: ${markdown(notPlanned)}`)];
  return [
    part("host", `#### ${codeSpan(host)}, plan ${codeSpan(digest)}`),
    part("table", changesNothing(plan) ? "Nothing to change." : changes(plan)),
    part(
      "list of refusals",
      list("**Refused:**", plan.resources.filter(({ state }) => state === "refused").map(refused)),
    ),
    part("list of findings", list("**Before this is applied:**", plan.findings.map(finding))),
    part("list of effects", list("**From then on:**", plan.effects.map(effect))),
    part("list of notes", list("**Also:**", plan.notes.map(markdown))),
    ...plan.files.map((file) => part("diff", folded(file), `${file.path} of ${host}`)),
  ];
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
