// What the Postfix tests share: a host whose settings an operator changed, SMTP dialogues with it, and its way back.
import { strict as assert } from "node:assert";
import type { Host } from "./host.js";
import { create, type Owner, type Resource } from "./resources.js";

export const mainCf = "/etc/postfix/main.cf";
export const masterCf = "/etc/postfix/master.cf";
const pristine = "/opt/mailhost/postfix-at-first";

/** Keeps what the host has now, for `reset`. */
export async function keep(host: Host): Promise<void> {
  await host.run(`cp -a /etc/postfix ${pristine}`);
}

/** Takes away what a case left, its failure included. */
export async function reset(host: Host): Promise<void> {
  await host.run(
    `rm -rf /var/lib/pulumi-dovecot-postfix /usr/local/sbin/postfix
     diff -r /etc/postfix ${pristine} >/dev/null && exit
     rm -rf /etc/postfix && cp -a ${pristine} /etc/postfix && postfix reload 2>/dev/null`,
  );
}

/** Changes settings as an operator would; a file of this very second would make each of Postfix's programs wait. */
export async function configure(host: Host, script: string): Promise<void> {
  await write(host, script);
  await host.run("postfix reload 2>/dev/null; sleep 0.1");
}

/** Like configure, but Postfix is not told. */
export async function write(host: Host, script: string): Promise<void> {
  await host.run(
    `set -e\n${script}\nfind /etc/postfix -type f -mmin -1 ! -name '*db' -exec touch -d '1 minute ago' {} +`,
  );
}

/** Its smtpd dies while main.cf holds the word; resolves to what makes it whole again, and starts Postfix anew. */
export async function mortalSmtpd(host: Host, word: string): Promise<() => Promise<string>> {
  const smtpd = (await host.run("echo $(postconf -h daemon_directory)/smtpd")).trim();
  await host.run(`mv ${smtpd} ${smtpd}.real`);
  await host.write(smtpd, `#!/bin/sh\ngrep -q ${word} ${mainCf} && exit 1\nexec ${smtpd}.real "$@"\n`, "755");
  return () => host.run(`mv ${smtpd}.real ${smtpd}; (postfix stop; postfix start) 2>/dev/null`);
}

/** All that Postfix reads, and the ledger. */
export async function postfixFiles(host: Host): Promise<Map<string, string>> {
  const files = await host.files(["/etc/postfix"]);
  const ledger = await host.run("find /var/lib/pulumi-dovecot-postfix 2>/dev/null || true");
  return files.set("ledger", ledger);
}

/** Holds a resource while `then` looks at it; afterwards the host's files are byte for byte as before. */
export async function holding(
  host: Host,
  owner: Owner,
  args: Record<string, unknown>,
  then: (resource: Resource) => Promise<void>,
): Promise<void> {
  const before = await postfixFiles(host);
  const resource = await create(host, owner, args);
  await then(resource);
  await resource.remove();
  assert.deepEqual(await postfixFiles(host), before);
}

/** The create is refused, and no byte on the host has changed. */
export async function refused(
  host: Host,
  owner: Owner,
  args: Record<string, unknown>,
  ...reasons: readonly RegExp[]
): Promise<string> {
  const before = await postfixFiles(host);
  let message = "";
  await assert.rejects(create(host, owner, args), (error: Error) => {
    message = error.message;
    return true;
  });
  for (const reason of reasons) assert.match(message, reason);
  assert.deepEqual(await postfixFiles(host), before);
  return message;
}

/** What the user reads while `task` runs: warnings (stderr), and the line a host and operation (stdout). */
export async function saying(task: () => Promise<unknown>): Promise<{ warnings: string; report: string }> {
  const { error, log } = console;
  const said = { warnings: "", report: "" };
  console.error = (text: unknown) => void (said.warnings += `${String(text)}\n`);
  console.log = (text: unknown) => void (said.report += `${String(text)}\n`);
  try {
    await task();
  } finally {
    Object.assign(console, { error, log });
  }
  return said;
}

/** An SMTP client: where it runs, and its address where it has several. */
export interface Client {
  readonly at: Host;
  readonly from?: string;
}

/** Sends the commands one after the other; resolves to the replies, the greeting first. Ends early where one refuses. */
export async function smtp(
  { at, from }: Client,
  host: string,
  commands: readonly string[],
  { port = 25 } = {},
): Promise<string[]> {
  const target = { host, port, ...(port === 465 && { tls: "implicit" as const }), ...(from !== undefined && { from }) };
  return at.dialogue(target, async (dialogue) => {
    const replies: string[] = [];
    replies.push(await dialogue.expect(/^\d{3} .*/m));
    for (const command of commands) {
      await dialogue.send(command);
      const reply = await dialogue.expect(/^\d{3} .*/m);
      replies.push(reply.trim());
      if (/^[45]/.test(reply)) break;
    }
    return replies;
  });
}

export async function ehlo(client: Client, host: string, port = 25): Promise<string> {
  return (await smtp(client, host, ["EHLO client.example.net"], { port })).at(-1) ?? "";
}

/** Resolves to the reply at which a message ended: "250 2.0.0 Ok: queued as ..." for one that was taken. */
export async function send(
  client: Client,
  host: string,
  message: { helo?: string; to?: string; subject?: string },
): Promise<string> {
  const { helo = "new.example.net", to = "alice@example.com", subject = "Relayed" } = message;
  const commands = [`EHLO ${helo}`, "MAIL FROM:<carol@example.net>", `RCPT TO:<${to}>`, "DATA"];
  const text = `From: carol@example.net\r\nTo: ${to}\r\nSubject: ${subject}\r\n\r\nHello.\r\n.`;
  return (
    (await smtp(client, host, [...commands, text, "QUIT"])).filter((reply) => !reply.startsWith("221")).at(-1) ?? ""
  );
}

/** Resolves when a virtual user's mailbox holds a message with this subject. */
export async function arrives(host: Host, user: string, subject: string): Promise<void> {
  await host.run(
    `for i in $(seq 100); do grep -rqsF 'Subject: ${subject}' /var/vmail/example.com/${user} && exit; sleep 0.05; done
     tail -n 20 /var/log/mail.log; exit 1`,
  );
}
