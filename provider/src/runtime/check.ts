// check: validates the arguments before anything else. Called in previews, too, where values may be unknown.
import { z } from "zod";
import { contradictions, schemas } from "./schemas.js";
import type { Inputs } from "./kind.js";

/** How the engine writes a value that a preview does not know yet. */
const unknownValue = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

export interface Failure {
  readonly property: string;
  readonly reason: string;
}

export function checkInputs(inputs: Inputs): { inputs: Inputs; failures: Failure[] } {
  const kind = inputs.identity.kind;
  const shape = schemas[kind as keyof typeof schemas] as z.ZodRawShape | undefined;
  if (!shape)
    return {
      inputs,
      failures: [{ property: "", reason: `${kind} is not a resource of this release: update the package` }],
    };
  const known = Object.fromEntries(Object.entries(shape).filter(([name]) => !holdsUnknown(inputs[name])));
  const parsed = z.looseObject(known).safeParse(inputs);
  // The engine prints the value of a property that a failure names, secret or not: so the name goes into the reason.
  if (!parsed.success) return { inputs, failures: parsed.error.issues.map(reasonOf) };
  const contradiction = contradictions[kind]?.(parsed.data);
  if (contradiction !== undefined) return { inputs, failures: [{ property: "", reason: contradiction }] };
  return { inputs, failures: [] };
}

function reasonOf(issue: { path: PropertyKey[]; message: string }): Failure {
  const path = issue.path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  return { property: "", reason: `${path.replace(/^\./, "")} ${issue.message}` };
}

export function holdsUnknown(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return value === unknownValue;
  return Object.values(value).some(holdsUnknown);
}
