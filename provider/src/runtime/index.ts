// What the engine calls, by way of the shim: check, diff, create, read, update, delete. Results are plain JSON, always.
import { isDeepStrictEqual } from "node:util";
import type { Operation } from "../host/planning.js";
import type { Result } from "../host/session.js";
import { everyText, printable } from "../ssh/printable.js";
import type { Failure } from "./check.js";
import { inOneForm } from "./forms.js";
import { leaveGone } from "./gone.js";
import type { Inputs, Kind, Outputs } from "./kind.js";
import { kindOf, nameOf, operationOf } from "./operation.js";
import { sessionOf } from "./sessions.js";

type Args = Readonly<Record<string, unknown>>;

export async function check(olds: Inputs, news: Inputs): Promise<{ inputs: Inputs; failures: Failure[] }> {
  const inputs = inOneForm(news.identity.kind, news);
  // Checked before and unchanged: zod need not be loaded.
  if (isDeepStrictEqual(olds, inputs)) return { inputs, failures: [] };
  const { checkInputs } = await import("./check.js");
  return checkInputs(news, inputs);
}

export function diff(_id: string, olds: Outputs, news: Inputs): Promise<object> {
  const kind = kindOf(news);
  const names = changed(kind, olds, news);
  const other = host(olds) !== host(news);
  const replaces = [...kind.replaces.filter((name) => names.includes(name)), ...(other ? ["connection"] : [])];
  return Promise.resolve({ changes: names.length > 0, replaces, deleteBeforeReplace: true });
}

export async function create(inputs: Inputs): Promise<{ id: string; outs: Outputs }> {
  const outs = await ensure(inputs, undefined);
  return { id: inputs.identity.owner, outs };
}

export async function update(_id: string, olds: Outputs, news: Inputs): Promise<{ outs: Outputs }> {
  // How to reach the host is our own affair: recorded, and the host is left alone.
  const names = changed(kindOf(news), olds, news).filter((name) => name !== "connection");
  if (names.length === 0) return { outs: { ...olds, ...news } };
  return { outs: await ensure(news, olds) };
}

export async function read(id: string, props: Outputs): Promise<{ id: string; props: Outputs; inputs: Inputs }> {
  const kind = kindOf(props);
  const args = { ...props };
  const result = await run(kind, props, { aim: "look", args, old: props });
  const drift = result.drift.map((line) => printable(line, longest));
  const outs = json({ ...props, ...outputs(kind, args, result), drift });
  const declared = ["identity", "connection", "__provider", ...props.given];
  const undeclared = Object.fromEntries(
    Object.keys(props).flatMap((name) => (declared.includes(name) ? [] : [[name, undefined]])),
  );
  return { id, props: outs, inputs: json({ ...props, ...undeclared, drift }) };
}

export async function remove(_id: string, props: Outputs): Promise<void> {
  try {
    await run(kindOf(props), props, { aim: "leave", args: props, old: props });
  } catch (error) {
    leaveGone(props, error);
  }
}

async function ensure(inputs: Inputs, old: Outputs | undefined): Promise<Outputs> {
  const kind = kindOf(inputs);
  const args = kind.prepare?.(inputs, old) ?? inputs;
  const result = await run(kind, inputs, { aim: "ensure", args, old });
  for (const warning of result.warnings) console.error(printable(`warning: ${nameOf(inputs)}: ${warning}`, 4000));
  return json({ ...inputs, ...args, ...outputs(kind, args, result), given: givenBy(inputs), drift: [] });
}

/** What the host told, as it goes into the state: `pulumi stack output` prints a text as it is. */
function outputs(kind: Kind, args: Args, result: Result): Readonly<Record<string, unknown>> {
  return everyText(kind.outputs(args, result), (text) => printable(text, longest));
}

const longest = 10_000;

function run(
  kind: Kind,
  inputs: Inputs,
  how: { aim: Operation["aim"]; args: Args; old: Outputs | undefined },
): Promise<Result> {
  return sessionOf(inputs.connection).run(operationOf(kind, inputs, how));
}

/** Arguments whose values differ. What the program does not give and the resource keeps, and what it never gave, does not. */
function changed(kind: Kind, olds: Outputs, news: Inputs): string[] {
  const now = givenBy(news);
  const gone = ((olds.given as readonly string[] | undefined) ?? []).filter(
    (name) => !now.includes(name) && !kind.keeps.includes(name),
  );
  const differing = [...now, "identity", "connection", "drift"].filter(
    (name) => !isDeepStrictEqual(olds[name], news[name]),
  );
  return [...gone, ...differing];
}

/** The arguments that the program gave: what is not ours or the engine's. */
function givenBy(inputs: Inputs): string[] {
  const others = ["identity", "connection", "drift", "given"];
  return Object.keys(inputs).filter(
    (name) => !name.startsWith("__") && !others.includes(name) && inputs[name] !== undefined,
  );
}

function host(inputs: Inputs): unknown {
  return (inputs.connection as { host?: unknown } | undefined)?.host;
}

/** The engine takes plain JSON only, and one undefined value would lose the resource after the work was done. */
function json<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
