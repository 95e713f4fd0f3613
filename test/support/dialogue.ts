// A line dialogue with a mail server, held by socat or openssl inside a host, so that it comes from that host's address.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";

export interface DialogueTarget {
  host: string;
  port: number;
  /** TLS from the first byte, or after the protocol's STARTTLS (which is done for you). No certificate is checked. */
  tls?: "implicit" | "starttls";
  /** The source address; default: the system's choice. */
  from?: string;
}

export interface Dialogue {
  /** Waits for a whole line that matches; resolves to everything received up to the end of that line. */
  expect(pattern: RegExp, options?: { seconds?: number }): Promise<string>;
  /** Sends one line; the end of line is added. */
  send(line: string): Promise<void>;
  /** Waits until the server closes the connection; resolves to what it still said. */
  closed(options?: { seconds?: number }): Promise<string>;
  /** Ends the connection. Done anyway after the last step. */
  close(): void;
}

const SECONDS = 10;
const STARTTLS: Readonly<Record<number, string>> = { 25: "smtp", 587: "smtp", 143: "imap", 110: "pop3", 4190: "sieve" };

/** `enter`: the command that runs a program inside the host. */
export async function converse<T>(
  enter: readonly string[],
  env: NodeJS.ProcessEnv,
  target: DialogueTarget,
  steps: (dialogue: Dialogue) => Promise<T>,
): Promise<T> {
  const [command = "", ...args] = [...enter, ...client(target)];
  const conversation = new Conversation(spawn(command, args, { env }), target);
  try {
    return await steps(conversation);
  } finally {
    conversation.close();
  }
}

function client({ host, port, tls, from }: DialogueTarget): string[] {
  const address = host.includes(":") ? `[${host}]` : host;
  if (tls === "starttls") {
    const protocol = STARTTLS[port];
    if (protocol === undefined) throw new Error(`no STARTTLS is known for port ${port}`);
    const bind = from === undefined ? [] : ["-bind", from];
    return ["openssl", "s_client", "-quiet", "-starttls", protocol, "-connect", `${address}:${port}`, ...bind];
  }
  const bind = from === undefined ? "" : `,bind=${from.includes(":") ? `[${from}]` : from}`;
  const peer = tls === "implicit" ? `OPENSSL:${address}:${port},verify=0` : `TCP:${address}:${port}`;
  return ["socat", "-t", "1", "-", `${peer},connect-timeout=${SECONDS}${bind}`];
}

class Conversation implements Dialogue {
  private transcript = "";
  private received = "";
  private complaint = "";
  private ended = false;
  private wake: () => void = () => undefined;

  constructor(
    private readonly child: ChildProcessWithoutNullStreams,
    private readonly target: DialogueTarget,
  ) {
    child.stdout.setEncoding("latin1").on("data", (text: string) => {
      this.received += text;
      this.transcript += text.replaceAll(/^/gm, "< ");
      this.wake();
    });
    child.stderr.setEncoding("latin1").on("data", (text: string) => (this.complaint += text));
    child.stdin.on("error", (error) => (this.complaint += `${error.message}\n`));
    child.on("error", (error) => (this.complaint += `${error.message}\n`));
    child.on("close", () => {
      this.ended = true;
      this.wake();
    });
  }

  async expect(pattern: RegExp, { seconds = SECONDS } = {}): Promise<string> {
    const found = await this.until(() => {
      const lines = this.received.slice(0, this.received.lastIndexOf("\n") + 1);
      const match = pattern.exec(lines);
      return match ? lines.indexOf("\n", Math.max(match.index + match[0].length - 1, 0)) + 1 : undefined;
    }, seconds);
    if (found === undefined) throw this.failure(`expected ${pattern}`);
    const text = this.received.slice(0, found);
    this.received = this.received.slice(found);
    return text;
  }

  send(line: string): Promise<void> {
    this.transcript += `> ${line}\n`;
    return new Promise((resolve, reject) => {
      this.child.stdin.write(Buffer.from(`${line}\r\n`, "latin1"), (error) => {
        if (error) reject(this.failure(`could not send: ${error.message}`));
        else resolve();
      });
    });
  }

  async closed({ seconds = SECONDS } = {}): Promise<string> {
    if ((await this.until(() => (this.ended ? 0 : undefined), seconds)) === undefined)
      throw this.failure("expected the end of the connection");
    return this.received;
  }

  close(): void {
    this.child.stdin.end();
    this.child.kill();
  }

  private async until(look: () => number | undefined, seconds: number): Promise<number | undefined> {
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      const left = deadline - Date.now();
      if (this.ended || left <= 0) return undefined;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  private failure(problem: string): Error {
    const { host, port, tls, from } = this.target;
    const how = `${tls ? ` (${tls} TLS)` : ""}${from === undefined ? "" : ` from ${from}`}`;
    const state = this.ended ? "the connection has ended" : "the connection is open";
    return new Error(`dialogue with ${host}:${port}${how}: ${problem}; ${state}\n${this.transcript}${this.complaint}`);
  }
}
