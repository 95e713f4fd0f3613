// The cuts of the link: between the client and the host is toxiproxy, which does them.
import { strict as assert } from "node:assert";
import {
  atByte,
  cutMade,
  goOn,
  reachedStep,
  settled,
  type Cut,
  type Lengths,
  type Link,
  type LinkKind,
} from "./cuts.js";
import type { Connection, Host } from "./host.js";
import { Toxiproxy, type Proxy, type Toxic } from "./toxiproxy.js";

/** The client asks every 15 s, and gives up when three times no answer came. */
const PATIENCE_MS = 60_000;

/** As the network lies between the two, a moment on one machine: then the client knows that its connection has ended. */
const TOLD_MS = 100;

let server: Promise<Toxiproxy> | undefined;

/** A link of its own to this host, for as long as the process runs. */
export async function linkTo(host: Host): Promise<CutLink> {
  server ??= Toxiproxy.start();
  const { connection } = host;
  const proxy = await (await server).proxy(`${connection.host}:${connection.port}`);
  // One try: else it dials for a minute where each connection is cut while it begins.
  return new CutLink(host, proxy, { ...connection, host: "127.0.0.1", port: proxy.port, dialErrorLimit: 1 });
}

export class CutLink implements Link {
  constructor(
    private readonly host: Host,
    private readonly proxy: Proxy,
    readonly connection: Connection & { dialErrorLimit: number },
  ) {}

  async cut({ kind, step }: Cut, run: () => Promise<unknown>): Promise<boolean> {
    const cut = kind as LinkKind;
    await this.anew(...fromItsBegin(cut, step));
    const began = Date.now();
    const failed = run().then(
      () => undefined,
      (error: unknown) => error as Error & { kind?: string },
    );
    const atStep = cut === "reset" || cut === "hang" || cut === "stall";
    if (atStep) await this.atStep(cut, failed);
    const error = await failed;
    const took = Date.now() - began;
    await this.proxy.clean();
    if (cut === "slices") {
      assert.equal(error, undefined);
      return true;
    }
    const made = atStep ? await cutMade(this.host) : error !== undefined;
    if (made) clear(cut, error, took);
    return made;
  }

  async measure(run: () => Promise<unknown>): Promise<Lengths> {
    await this.anew();
    const before = await this.proxy.received();
    await run();
    await this.anew();
    const after = await this.proxy.received();
    return { request: after.upstream - before.upstream, answer: after.downstream - before.downstream };
  }

  /** The program stands still at its step while the link is cut, and then goes on. */
  private async atStep(kind: "reset" | "hang" | "stall", failed: Promise<unknown>): Promise<void> {
    await Promise.race([reachedStep(this.host), failed]);
    if (kind === "reset") await this.proxy.disconnect();
    else await this.proxy.add(...both({ type: "timeout", attributes: { timeout: 0 } }));
    await goOn(this.host);
    if (kind !== "stall") return;
    await settled(this.host);
    await this.proxy.clean();
  }

  /** The next operation dials, and what it has then is all that is counted, or reset. */
  private async anew(...toxics: readonly Toxic[]): Promise<void> {
    await this.proxy.add(...toxics);
    await this.proxy.disconnect();
    await new Promise((resolve) => setTimeout(resolve, TOLD_MS));
  }
}

const both = (toxic: Omit<Toxic, "stream">): Toxic[] => [
  { ...toxic, stream: "upstream" },
  { ...toxic, stream: "downstream" },
];

/** What the connection must have from its begin. */
function fromItsBegin(kind: LinkKind, byte: number): Toxic[] {
  switch (kind) {
    case "reset":
      // It does nothing for now, but lets whatever ends the connection be a reset.
      return both({ type: "reset_peer", toxicity: 0, attributes: { timeout: 0 } });
    case "request":
      return [{ type: "limit_data", stream: "upstream", attributes: { bytes: byte } }];
    case "answer":
      return [{ type: "limit_data", stream: "downstream", attributes: { bytes: byte } }];
    case "slices":
      return [
        // Microseconds after each slice.
        ...both({ type: "slicer", attributes: { average_size: 50, size_variation: 49, delay: 200 } }),
        ...both({ type: "latency", attributes: { latency: 5, jitter: 5 } }),
      ];
    default:
      return [];
  }
}

/** The client has noticed, in time, and says what happened. */
function clear(kind: LinkKind, error: (Error & { kind?: string }) | undefined, took: number): void {
  assert.ok(error, "the link was cut, and the client has not noticed");
  const kinds = atByte(kind) ? ["disconnected", "unreachable"] : ["disconnected"];
  assert.ok(error.kind !== undefined && kinds.includes(error.kind), `${error.kind ?? error.name}: ${error.message}`);
  if (kind === "reset") assert.match(error.message, /ECONNRESET/);
  // Where the program may be at work there: else the client has had no connection yet.
  if (error.kind === "disconnected" && !/during the login/.test(error.message)) {
    assert.match(error.message, /\nState of the host: /);
  }
  if (kind === "hang") assert.match(error.message, /nothing has come over the connection for 60 s/);
  if (kind === "hang") assert.ok(took < PATIENCE_MS + 15_000, `the client has waited for ${took} ms`);
}
