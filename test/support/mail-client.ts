// Logins and greetings as a mail client, a proxy or an import tool has them with a host: real dialogues, from a chosen address.
import { strict as assert } from "node:assert";
import type { Dialogue, Host } from "./host.js";
import { smtp } from "./postfix.js";

export type Service = "imap" | "pop3" | "sieve" | "submission";

export interface Visit {
  /** Where the client runs. */
  client: Host;
  /** The server's address. */
  to: string;
  /** The client's address, where it has several. */
  from?: string;
}

interface Protocol {
  port: number;
  tls: "implicit" | "starttls";
  /** The last line of the greeting. */
  greeting: RegExp;
  plain: (response: string) => string;
  answer: RegExp;
  accepted: RegExp;
}

const protocols: Record<Service, Protocol> = {
  imap: {
    ...{ port: 993, tls: "implicit", greeting: /^\* OK.*/m },
    ...{ plain: (response) => `a AUTHENTICATE PLAIN ${response}`, answer: /^a \S+.*/m, accepted: /^a OK/m },
  },
  pop3: {
    ...{ port: 995, tls: "implicit", greeting: /^\+OK.*/m },
    ...{ plain: (response) => `AUTH PLAIN ${response}`, answer: /^(\+OK|-ERR).*/m, accepted: /^\+OK/m },
  },
  sieve: {
    ...{ port: 4190, tls: "starttls", greeting: /^OK.*/m },
    ...{ plain: (response) => `AUTHENTICATE "PLAIN" "${response}"`, answer: /^(OK|NO|BYE).*/m, accepted: /^OK/m },
  },
  submission: {
    ...{ port: 587, tls: "starttls", greeting: /^250 .*/m },
    ...{ plain: (response) => `AUTH PLAIN ${response}`, answer: /^\d{3} .*/m, accepted: /^235/m },
  },
};

/**
 * Logs in with SASL PLAIN over TLS and, where it is accepted, takes the steps. Resolves to whether it was.
 * `first`: lines sent before, each with what answers it. `as`: whose mailbox, where it is not in the login (RFC 4616's authzid).
 */
export async function login(
  { client, to, from }: Visit,
  service: Service,
  [user, password]: readonly [string, string],
  {
    first = [],
    as = "",
    then,
  }: {
    first?: readonly (readonly [string, RegExp])[];
    as?: string;
    then?: (dialogue: Dialogue) => Promise<void>;
  } = {},
): Promise<boolean> {
  const { port, tls, greeting, plain, answer, accepted } = protocols[service];
  const target = { host: to, port, tls, ...(from !== undefined && { from }) };
  return client.dialogue(target, async (dialogue) => {
    if (service === "submission") await dialogue.send("EHLO client.example");
    await dialogue.expect(greeting);
    for (const [line, reply] of first) {
      await dialogue.send(line);
      await dialogue.expect(reply);
    }
    await dialogue.send(plain(Buffer.from(`${as}\0${user}\0${password}`).toString("base64")));
    const ok = accepted.test(await dialogue.expect(answer));
    if (ok) await then?.(dialogue);
    return ok;
  });
}

/** After a login over IMAP. */
export async function select(dialogue: Dialogue): Promise<void> {
  await dialogue.send("b SELECT INBOX");
  await dialogue.expect(/^b OK/m);
}

/** After a login over IMAP: alice's one message. */
export async function readMessage(dialogue: Dialogue): Promise<void> {
  await select(dialogue);
  await dialogue.send("c FETCH 1 BODY.PEEK[]");
  assert.match(await dialogue.expect(/^c OK/m), /^Subject: Minutes of the meeting\r\n[^]*Here they are\./m);
}

/** After a login over ManageSieve: alice's active script. */
export async function readScript(dialogue: Dialogue): Promise<void> {
  await dialogue.send("LISTSCRIPTS");
  assert.match(await dialogue.expect(/^OK/m), /^"lists" ACTIVE/m);
  await dialogue.send('GETSCRIPT "lists"');
  assert.match(await dialogue.expect(/^OK/m), /fileinto :create "Lists"/);
}

/** Mail works, as far as the host itself can see: alice logs in over IMAP, the ports greet and answer EHLO, and port 25 takes her mail. */
export async function serves(host: Host, ports: readonly number[] = [25, 587]): Promise<void> {
  assert.ok(await login({ client: host, to: "127.0.0.1" }, "imap", ["alice@example.com", "alicepassword"]));
  for (const port of ports) {
    const commands = [
      "EHLO client.example.net",
      ...(port === 25 ? ["MAIL FROM:<>", "RCPT TO:<alice@example.com>"] : []),
    ];
    const replies = await smtp({ at: host }, "127.0.0.1", commands, { port });
    assert.match(replies.at(-1) ?? "", /^250 /m);
  }
}

/** What a service says first, on its plain port. */
export function greeting({ client, to, from }: Visit, service: "pop3" | "sieve"): Promise<string> {
  const port = service === "pop3" ? 110 : 4190;
  return client.dialogue({ host: to, port, ...(from !== undefined && { from }) }, (dialogue) =>
    dialogue.expect(protocols[service].greeting),
  );
}

/** Waits until the host's mail log holds a line that matches; resolves to it. */
export async function logged(host: Host, pattern: RegExp): Promise<string> {
  for (const until = Date.now() + 10_000; Date.now() < until;) {
    const line = (await host.mailLog()).split("\n").find((one) => pattern.test(one));
    if (line !== undefined) return line;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${host.name}: no line of the mail log matches ${String(pattern)}`);
}

/** How often Dovecot has been reloaded, by its own log. */
export async function dovecotReloads(host: Host): Promise<number> {
  return (await host.mailLog()).split("SIGHUP received - reloading").length - 1;
}
