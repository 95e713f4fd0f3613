// check: validates the arguments before anything else. Called in previews, too, where values may be unknown.
import { z } from "zod/v3";
import { contradictions, schemas } from "./schemas.js";
import type { Inputs } from "./kind.js";

/** How the engine writes a value that a preview does not know yet. */
const unknownValue = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

export interface Failure {
  readonly property: string;
  readonly reason: string;
}

/** `news` as the program gives them, so that a reason names an entry by its place there; `inputs`: the same in one form. */
export function checkInputs(news: Inputs, inputs: Inputs): { inputs: Inputs; failures: Failure[] } {
  const kind = news.identity.kind;
  const shape: z.ZodRawShape | undefined = Object.hasOwn(schemas, kind)
    ? schemas[kind as keyof typeof schemas]
    : undefined;
  if (!shape)
    return {
      inputs,
      failures: [{ property: "", reason: `${kind} is not a resource of this release: update the package` }],
    };
  const known = Object.fromEntries(Object.entries(shape).filter(([name]) => !holdsUnknown(news[name])));
  const parsed = z.object(known).passthrough().safeParse(news, { errorMap: whatToWrite });
  // The engine prints the value of a property that a failure names, secret or not: so the name goes into the reason.
  if (!parsed.success) return { inputs, failures: parsed.error.issues.map(reasonOf) };
  const contradiction = contradictions[kind]?.(parsed.data);
  if (contradiction !== undefined) return { inputs, failures: [{ property: "", reason: contradiction }] };
  return { inputs, failures: [] };
}

/** Where a schema has no words of its own. */
const whatToWrite: z.ZodErrorMap = (issue, { defaultError }) => ({ message: wordsFor(issue) ?? defaultError });

function wordsFor(issue: z.ZodIssueOptionalMessage): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      if (issue.received === "undefined") return "must be given";
      return issue.expected === "array" ? "must be a list" : `must be of type ${issue.expected}`;
    case "too_small":
      return `must be ${issue.minimum} or more`;
    case "too_big":
      return `must be ${issue.maximum} or less`;
    default:
      return undefined;
  }
}

function reasonOf(issue: { path: (string | number)[]; message: string }): Failure {
  const path = issue.path.map((part) => (typeof part === "number" ? `[${part}]` : `.${part}`)).join("");
  return { property: "", reason: `${path.replace(/^\./, "")} ${issue.message}` };
}

export function holdsUnknown(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return value === unknownValue;
  return Object.values(value).some(holdsUnknown);
}
