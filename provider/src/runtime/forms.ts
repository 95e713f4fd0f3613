// Arguments in one form, however they were written: so that order, case, duplicates and "/32" are no change. Total: what is not
// valid stays as it is and is refused by the schemas. Without zod, which takes longer to load than all else in an `up` of no change.
import { isIP } from "node:net";
import { canonicalNetworks, networkProblem } from "./networks.js";

type Inputs = Readonly<Record<string, unknown>>;

const forms: Readonly<Record<string, (texts: readonly string[]) => string[]>> = {
  proxies: networks,
  servers: networks,
  allowedNetworks: networks,
  services: (names) => [...new Set(names)].sort(),
};

/** What a program that is silent about it gets. */
const defaults: Readonly<Record<string, Inputs>> = {
  RelayAcceptance: { milters: "skip" },
  OutboundRelay: { port: 25, onRefusal: "fail" },
};

export function inOneForm<I extends Inputs>(kind: string, inputs: I): I {
  const given = Object.entries(inputs).filter(([, value]) => value !== undefined);
  return { ...defaults[kind], ...Object.fromEntries(given.map(([name, value]) => [name, formed(name, value)])) } as I;
}

function formed(name: string, value: unknown): unknown {
  const form = Object.hasOwn(forms, name) ? forms[name] : undefined;
  if (form && isTexts(value)) return form(value);
  return name === "server" && typeof value === "string" ? serverName(value) : value;
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === "string");
}

function networks(texts: readonly string[]): string[] {
  return texts.some((text) => networkProblem(text) !== undefined) ? [...texts] : canonicalNetworks(texts);
}

function serverName(text: string): string {
  return isIP(text) === 6 ? (canonicalNetworks([text])[0]?.split("/")[0] ?? text) : text.toLowerCase();
}
