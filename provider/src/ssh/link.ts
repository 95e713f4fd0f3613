// An open connection: commands and streams over it, each with its limits, and its end.
import type { Duplex } from "node:stream";
import type { Client, ClientChannel } from "ssh2";
import { printable, reason, SshError } from "./errors.js";

/** A verified, authenticated SSH connection to one mail host. */
export interface Link {
  /** For messages: `user@host:port`. */
  readonly label: string;
  readonly alive: boolean;
  /**
   * Runs `command` (fixed text) with `input` on stdin (latin1: one character a byte) and returns what it printed (latin1) and how
   * it ended.
   * @throws SshError `timeout` when `timeoutMs` have passed (the channel is closed; the command may run on), `output` when stdout
   * and stderr together exceed `maxBytes`, `disconnected` when the link dies or sshd does not tell how the command ended,
   * `forbidden` when the server runs no commands
   */
  run(command: string, input: string, limits: Limits): Promise<Ran>;
  /**
   * A TCP stream that the host opens to host:port (direct-tcpip).
   * @throws SshError `forbidden` where its sshd allows none, `unreachable` where nothing answers there, `timeout`, `disconnected`
   */
  forward(host: string, port: number, timeoutMs: number): Promise<Duplex>;
  /** Ends the connection, and with it whatever runs on it. */
  close(): void;
}

export interface Limits {
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** Gets each piece of stdout as it arrives. */
  readonly heard?: (text: string) => void;
}

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  /** The exit status; null where a signal ended the command. */
  readonly code: number | null;
  readonly signal: string | null;
}

/** Takes over a client that has logged in. `end` closes what lies below it: its socket, the jump host's link. */
export function openLink(label: string, client: Client, end: () => void): Link {
  return new OpenLink(label, client, end);
}

/** The server is asked so often whether it is there; after so many questions without an answer it is not. */
export const KEEPALIVE = { everyMs: 15_000, missed: 3 };
const SILENCE_S = (KEEPALIVE.everyMs * (KEEPALIVE.missed + 1)) / 1000;

// sshd counts a session for a moment after it told us of its end: with MaxSessions 1, 10 of 30 commands in a row were refused.
const SESSION_RETRY_MS = 50;
const SESSION_RETRIES = 20;

class OpenLink implements Link {
  private death: SshError | undefined;
  private readonly mourners = new Set<(death: SshError) => void>();
  /** How many commands run: where sshd has MaxSessions 1, the next has to wait for them. */
  private sessions = 0;

  constructor(
    readonly label: string,
    private readonly client: Client,
    private readonly end: () => void,
  ) {
    client.on("error", (error: Error & { level?: string }) => {
      const silent = error.level === "client-timeout";
      this.die(
        silent
          ? `nothing has come over the connection for ${SILENCE_S} s, so it was given up`
          : `the connection broke: ${printable(error.message, 200)}`,
      );
    });
    client.on("close", () => {
      this.die("the connection ended");
    });
  }

  get alive(): boolean {
    return this.death === undefined;
  }

  close(): void {
    this.client.end();
    this.die("the connection was closed here");
  }

  async run(command: string, input: string, limits: Limits): Promise<Ran> {
    const deadline = Date.now() + limits.timeoutMs;
    const channel = await this.session(command, deadline, limits.timeoutMs);
    this.sessions++;
    try {
      return await this.converse(channel, input, { ...limits, deadline });
    } finally {
      this.sessions--;
    }
  }

  async forward(host: string, port: number, timeoutMs: number): Promise<Duplex> {
    try {
      return await this.open(`a connection to ${host}:${port} from the host`, timeoutMs, (done) => {
        this.client.forwardOut("127.0.0.1", 0, host, port, done);
      });
    } catch (thrown) {
      if (!isRefusedChannel(thrown)) throw thrown;
      if (thrown.reason === PROHIBITED) {
        throw new SshError("forbidden", this.label, `sshd forbids connections from the host to ${host}:${port}`, {
          said: thrown.message,
          cure: "Allow it in sshd_config: AllowTcpForwarding yes (or local), and PermitOpen, also in Match blocks and authorized_keys.",
        });
      }
      throw new SshError("unreachable", this.label, `the host cannot connect to ${host}:${port}`, {
        said: thrown.message,
      });
    }
  }

  private async session(command: string, deadline: number, timeoutMs: number): Promise<ClientChannel> {
    for (let left = SESSION_RETRIES; ;) {
      try {
        return await this.open("the start of a command", Math.max(1, deadline - Date.now()), (done) => {
          this.client.exec(command, done);
        });
      } catch (thrown) {
        if (thrown instanceof SshError) throw thrown;
        if (this.sessions === 0) left--;
        if (!isRefusedChannel(thrown) || left < 0) {
          throw new SshError("forbidden", this.label, "sshd does not run commands for this user", {
            said: reason(thrown),
            cure:
              "Check MaxSessions in its sshd_config, ForceCommand and ChrootDirectory; a command that was given up holds its " +
              "session until it ends.",
          });
        }
        if (Date.now() + SESSION_RETRY_MS >= deadline) throw this.timedOut("the start of a command", timeoutMs);
        await sleep(SESSION_RETRY_MS);
      }
    }
  }

  private converse(
    channel: ClientChannel,
    input: string,
    limits: Limits & { readonly deadline: number },
  ): Promise<Ran> {
    return this.mortal((resolve, reject) => {
      const stdout: Buffer[] = [];
      const stderr: Buffer[] = [];
      let bytes = 0;
      const give = (error: SshError): void => {
        clearTimeout(timer);
        // What still arrives is thrown away: a closed channel goes on delivering until the server has agreed.
        stdout.length = stderr.length = 0;
        bytes = -Infinity;
        channel.close();
        reject(error);
      };
      const timer = setTimeout(() => {
        give(this.timedOut("a command", limits.timeoutMs));
      }, limits.deadline - Date.now());
      const collect = (into: Buffer[]) => (chunk: Buffer) => {
        if (bytes < 0) return;
        bytes += chunk.length;
        if (bytes <= limits.maxBytes) into.push(chunk);
        else
          give(
            new SshError("output", this.label, `a command printed more than ${limits.maxBytes} bytes and was cut off`),
          );
      };
      channel.on("data", collect(stdout));
      const { heard } = limits;
      if (heard) {
        channel.on("data", (chunk: Buffer) => {
          heard(chunk.toString("latin1"));
        });
      }
      channel.stderr.on("data", collect(stderr));
      // Not "exit": that comes before we can listen where the whole answer arrives in one piece.
      channel.on("close", (code?: number | null, signal?: string) => {
        clearTimeout(timer);
        if (code === undefined) {
          give(new SshError("disconnected", this.label, "sshd ended a command without telling how it went"));
          return;
        }
        resolve({
          stdout: Buffer.concat(stdout).toString("latin1"),
          stderr: Buffer.concat(stderr).toString("latin1"),
          code,
          signal: signal ?? null,
        });
      });
      channel.end(Buffer.from(input, "latin1"));
      return () => {
        clearTimeout(timer);
      };
    });
  }

  /** A channel, or the error that the server gave; a server that does not answer at all is a dead one. */
  private open<C extends Duplex>(
    what: string,
    timeoutMs: number,
    start: (done: (error: Error | undefined, channel: C) => void) => void,
  ): Promise<C> {
    return this.mortal((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(this.timedOut(what, timeoutMs));
        late = true;
      }, timeoutMs);
      let late = false;
      start((error, channel) => {
        clearTimeout(timer);
        if (late) channel.destroy();
        else if (error) reject(error);
        else resolve(channel);
      });
      return () => {
        clearTimeout(timer);
      };
    });
  }

  /** A promise that is also rejected when the link dies. `begin` returns what to do in that case. */
  private mortal<T>(begin: (resolve: (value: T) => void, reject: (error: Error) => void) => () => void): Promise<T> {
    let mourn: (death: SshError) => void = noop;
    return new Promise<T>((resolve, reject) => {
      if (this.death) {
        reject(this.death);
        return;
      }
      const stop = begin(resolve, reject);
      mourn = (death) => {
        stop();
        reject(death);
      };
      this.mourners.add(mourn);
    }).finally(() => {
      this.mourners.delete(mourn);
    });
  }

  private die(why: string): void {
    if (this.death) return;
    this.death = new SshError("disconnected", this.label, why);
    // Before the socket goes: ssh2 then ends each channel as if its command had ended.
    for (const mourn of this.mourners) mourn(this.death);
    this.end();
  }

  private timedOut(what: string, timeoutMs: number): SshError {
    return new SshError("timeout", this.label, `${what} took longer than ${Math.round(timeoutMs / 100) / 10} s`);
  }
}

const PROHIBITED = 1; // SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254 section 5.1

function isRefusedChannel(thrown: unknown): thrown is Error & { reason: unknown } {
  return thrown instanceof Error && "reason" in thrown;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function noop(): void {
  // Nothing to do.
}
