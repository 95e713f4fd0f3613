// What the runtime must know of a resource class: a few pure functions beside its schema. A new resource is a new entry.
import type { Operation, Proposal, Query, Site } from "../host/planning.js";
import type { Result } from "../host/session.js";
import type { Daemon } from "../host/snapshot.js";

/** Checked inputs as the engine passes them; outputs echo them. */
export interface Inputs {
  readonly identity: { readonly kind: string; readonly owner: string };
  readonly connection: unknown;
  readonly drift: readonly string[];
  readonly [argument: string]: unknown;
}

/** Outputs in the state: the inputs, which of them the program gave, and what came of them. */
export interface Outputs extends Inputs {
  readonly given: readonly string[];
}

export interface Kind<A = Readonly<Record<string, unknown>>> {
  readonly daemon: Daemon;
  /** Arguments whose change makes another thing of it: replaced, the old one deleted first. */
  readonly replaces: readonly string[];
  /** Arguments that stay as they were made when the program no longer gives them. */
  readonly keeps: readonly string[];
  /** What a create or update has to decide before the host is asked, such as a password. */
  prepare?(args: A, old: Change<A>["old"]): A;
  records?(args: A, id: (name: string) => string): readonly (readonly string[])[];
  queries(args: A): readonly Query[];
  /** Pure: what it wants on this host. @throws Refusal */
  contribute(args: A, site: Site, change: Change<A>): Proposal;
  inquire?(args: A, ...more: Parameters<NonNullable<Operation["inquire"]>>): Promise<readonly string[]>;
  outputs(args: A, result: Result): Readonly<Record<string, unknown>>;
}

export interface Change<A> {
  readonly owner: string;
  /** Its outputs so far; undefined in a create. */
  readonly old: (Partial<A> & { readonly given: readonly string[] }) | undefined;
}
