// A link that can be cut: toxiproxy between this machine and a port, by its HTTP API.
import { spawn } from "node:child_process";
import { freePort } from "./host.js";

type Direction = "upstream" | "downstream";

/** What it does to the bytes of one direction: https://github.com/Shopify/toxiproxy#toxics. */
export interface Toxic {
  readonly type: "latency" | "limit_data" | "reset_peer" | "slicer" | "timeout";
  readonly stream: Direction;
  /** The share of connections that it is for; by default all. */
  readonly toxicity?: number;
  readonly attributes: Readonly<Record<string, number>>;
}

/** A server on loopback, for as long as this process runs. */
export class Toxiproxy {
  private proxies = 0;

  private constructor(private readonly api: string) {}

  static async start(): Promise<Toxiproxy> {
    const { ensureToxiproxy } = await import("./tools.mjs");
    const program = await ensureToxiproxy(console.error);
    const port = await freePort();
    const args = ["-host", "127.0.0.1", "-port", String(port), "-proxy-metrics"];
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"], env: { LOG_LEVEL: "error" } });
    child.unref();
    process.once("exit", () => child.kill());
    const ended = new Promise<never>((_, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => {
        reject(new Error(`${program} ended with status ${code ?? "none"}`));
      });
    });
    ended.catch(() => undefined);
    const server = new Toxiproxy(`http://127.0.0.1:${port}`);
    await Promise.race([server.answers(), ended]);
    return server;
  }

  /** A proxy on a port of loopback for the server at `upstream` ("host:port"). */
  async proxy(upstream: string): Promise<Proxy> {
    const name = `link-${++this.proxies}`;
    const made = await this.ask("POST", "/proxies", { name, upstream, listen: "127.0.0.1:0", enabled: true });
    const { listen } = JSON.parse(made) as { listen: string };
    return new Proxy(this, name, Number(listen.split(":").at(-1)));
  }

  /** @throws where it refuses */
  async ask(method: string, path: string, body?: object): Promise<string> {
    const answer = await fetch(this.api + path, { method, ...(body && { body: JSON.stringify(body) }) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`toxiproxy: ${method} ${path}: ${answer.status} ${text}`);
    return text;
  }

  private async answers(): Promise<void> {
    for (;;) {
      try {
        await this.ask("GET", "/version");
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}

export class Proxy {
  constructor(
    private readonly server: Toxiproxy,
    readonly name: string,
    readonly port: number,
  ) {}

  /** Open connections have it at once, except that `reset_peer` resets only those that it has seen begin. */
  async add(...toxics: readonly Toxic[]): Promise<void> {
    for (const toxic of toxics) await this.server.ask("POST", `/proxies/${this.name}/toxics`, toxic);
  }

  /** All toxics go; a connection that `timeout` has held is closed. */
  async clean(): Promise<void> {
    const toxics = JSON.parse(await this.server.ask("GET", `/proxies/${this.name}/toxics`)) as { name: string }[];
    for (const { name } of toxics) await this.server.ask("DELETE", `/proxies/${this.name}/toxics/${name}`);
  }

  /** Closes all connections, and takes new ones. */
  async disconnect(): Promise<void> {
    for (const enabled of [false, true]) await this.server.ask("POST", `/proxies/${this.name}`, { enabled });
  }

  /** What has come, over all connections that have ended. */
  async received(): Promise<Readonly<Record<Direction, number>>> {
    const metrics = await this.server.ask("GET", "/metrics");
    const bytes = (direction: Direction) =>
      metrics
        .split("\n")
        .filter((line) => line.startsWith("toxiproxy_proxy_received_bytes_total{"))
        .filter((line) => line.includes(`direction="${direction}"`) && line.includes(`proxy="${this.name}"`))
        .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
    return { upstream: bytes("upstream"), downstream: bytes("downstream") };
  }
}
