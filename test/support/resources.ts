// Resources without an engine: what the engine would call, called directly, against a real host. The engine itself runs in
// the stack tests; here a test wants one resource, one host and an answer in a second.
import * as runtime from "pulumi-dovecot-postfix/runtime";
import type { Host } from "./host.js";

type Args = Record<string, unknown>;
type Inputs = Parameters<typeof runtime.create>[0];
type Outputs = Awaited<ReturnType<typeof runtime.create>>["outs"];

export interface Resource {
  readonly outs: Outputs;
  /** Arguments as checked; rejects with the reasons where check refuses. */
  update(args: Args): Promise<void>;
  /** What a refresh finds. */
  drift(): Promise<readonly string[]>;
  remove(): Promise<void>;
}

export interface Owner {
  readonly kind: string;
  readonly name?: string;
  /** Default: "test". */
  readonly stack?: string;
}

/** @throws what check, or create, says */
export async function create(host: Host, { kind, name = kind, stack = "test" }: Owner, args: Args): Promise<Resource> {
  const inputs = (given: Args): Inputs => ({
    ...given,
    identity: { kind, owner: `organization/mail/${stack}/${kind}/${name}` },
    connection: given["connection"] ?? host.connection,
    drift: [],
  });
  const checked = async (olds: object, given: Args): Promise<Inputs> => {
    const { inputs: news, failures } = await runtime.check(olds as Inputs, inputs(given));
    if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join("\n"));
    return news;
  };
  const { id, outs } = await runtime.create(await checked({}, args));
  let current = outs;
  return {
    get outs() {
      return current;
    },
    update: async (given) => {
      current = (await runtime.update(id, current, await checked(current, given))).outs;
    },
    drift: async () => {
      const { props } = await runtime.read(id, current);
      current = props;
      return props.drift;
    },
    remove: () => runtime.remove(id, current),
  };
}

/** What the provider prints for the user meanwhile. */
export async function listening<T>(act: () => Promise<T>): Promise<{ told: string; result: T }> {
  const { log, error } = console;
  let told = "";
  console.log = console.error = (...words: unknown[]): void => {
    told += `${words.map(String).join(" ")}\n`;
  };
  try {
    const result = await act();
    return { told, result };
  } finally {
    Object.assign(console, { log, error });
  }
}
