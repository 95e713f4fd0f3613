// Asks another SMTP server, from the mail host, whether it would take a message: greeting, EHLO, MAIL, one RCPT, no DATA.
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { connect as startTls } from "node:tls";
import { SshError } from "../ssh/errors.js";
import type { Link } from "../ssh/link.js";
import { HostError, printable } from "./errors.js";
import { runProgram, type Shell } from "./observe.js";

export interface Question {
  readonly server: string;
  readonly port: number;
  /** As the host's Postfix greets (smtp_helo_name). */
  readonly helo: string;
  readonly sender: string;
  readonly recipient: string;
  /** Whether the host's Postfix uses TLS where it is offered. */
  readonly tls: boolean;
}

export type Step = "connect" | "greeting" | "EHLO" | "STARTTLS" | "MAIL" | "RCPT";

export interface Reply {
  readonly step: Step;
  /** The reply code; 0 where there was no reply. */
  readonly code: number;
  readonly text: string;
}

const limitMs = 10_000;
const quitMs = 1_000;

/**
 * The replies as far as the dialogue went: the last one is the RCPT's, or the one at which it ended.
 * @throws SshError `disconnected` when it is the link to the host that ended
 */
export async function ask(link: Link, shell: Shell, question: Question): Promise<Reply[]> {
  let stream: Duplex;
  try {
    stream = await link.forward(question.server, question.port, limitMs);
  } catch (error) {
    if (!(error instanceof SshError)) throw error;
    if (error.kind === "forbidden") return askWithTools(link, shell, question);
    if (error.kind === "disconnected") throw error;
    return [{ step: "connect", code: 0, text: `no connection from the host to port ${question.port}` }];
  }
  // Refused recipients and strange commands are counted by the new server, so one dialogue, and a polite end.
  const timer = setTimeout(() => stream.destroy(), limitMs);
  try {
    const replies = await converse(stream, question);
    if (link.alive) return replies;
    throw new SshError("disconnected", link.label, "the connection ended while the host asked the new server");
  } finally {
    clearTimeout(timer);
    stream.destroy();
  }
}

async function converse(stream: Duplex, question: Question): Promise<Reply[]> {
  const replies: Reply[] = [];
  let channel = new Channel(stream);
  const turn = async (step: Step, command?: string): Promise<boolean> => {
    const text = await channel.say(command);
    replies.push(replyOf(step, text));
    return /^[23]/.test(text);
  };
  if (!(await turn("greeting")) || !(await turn("EHLO", `EHLO ${question.helo}`))) return replies;
  if (question.tls && offersTls(replies)) {
    if (!(await turn("STARTTLS", "STARTTLS"))) return replies;
    const secured = startTls({ socket: stream, rejectUnauthorized: false });
    await Promise.race([once(secured, "secureConnect"), once(secured, "close")]);
    channel = new Channel(secured);
    if (!(await turn("EHLO", `EHLO ${question.helo}`))) return replies;
  }
  if (await turn("MAIL", `MAIL FROM:<${question.sender}>`)) await turn("RCPT", `RCPT TO:<${question.recipient}>`);
  await channel.quit();
  return replies;
}

function replyOf(step: Step, text: string): Reply {
  const said = text.replaceAll("\r", "").trim();
  return { step, code: Number(/^\d{3}/.exec(said)?.[0] ?? 0), text: printable(said, 500) };
}

export function offersTls(replies: readonly Reply[]): boolean {
  return replies.some(({ step, text }) => step === "EHLO" && /^250[- ]STARTTLS/im.test(text));
}

/** One line dialogue; a reply is whole when a line has a blank behind its code. */
class Channel {
  private buffer = "";
  private ended = false;
  private wake: () => void = () => undefined;

  constructor(private readonly stream: Duplex) {
    const end = () => {
      this.ended = true;
      this.wake();
    };
    stream.on("data", (chunk: Buffer) => {
      this.buffer += chunk.toString("latin1");
      // A server that talks without end is not listened to without end.
      if (this.buffer.length > 65_536) stream.destroy();
      this.wake();
    });
    stream.on("close", end).on("end", end).on("error", end);
  }

  /** Sends a command (none: awaits the greeting) and returns the whole reply; "" where the connection ended. */
  async say(command?: string): Promise<string> {
    if (command !== undefined) this.stream.write(`${command}\r\n`);
    for (;;) {
      const whole = /^(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*|\r)?\n/.exec(this.buffer);
      if (whole) {
        this.buffer = this.buffer.slice(whole[0].length);
        return whole[0].trim();
      }
      if (this.ended) return "";
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  /** Awaits the reply for a moment: a stream that is destroyed at once takes the command with it, and a lost connection is logged. */
  async quit(): Promise<void> {
    if (this.ended) return;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, quitMs)));
    await Promise.race([this.say("QUIT"), patience]);
    clearTimeout(timer);
  }
}

/** What dialogue.sh has a frame for, also where there was no answer. */
const asked: readonly Step[] = ["greeting", "EHLO", "MAIL", "RCPT"];

async function askWithTools(
  link: Link,
  shell: Shell,
  { server, port, helo, sender, recipient }: Question,
): Promise<Reply[]> {
  const words = [server, String(port), helo, sender, recipient];
  const answer = await runProgram(link, shell, "dialogue.sh", (nonce) => [["main", nonce, ...words]]);
  const replies = answer.filter(({ name }) => name !== "begin" && name !== "end");
  if (replies.map(({ name }) => name).join() !== asked.join()) {
    throw new HostError(link.label, "what the new server answered is not told whole", {
      state: "Nothing was changed.",
    });
  }
  if (replies[0]?.body.trim() === "") {
    return [{ step: "connect", code: 0, text: `no connection from the host to port ${port}` }];
  }
  return replies.flatMap(({ name, body }) => {
    const reply = replyOf(name as Step, body);
    return reply.text === "" ? [] : [reply];
  });
}
