// `npm run demo`: the main job on throwaway hosts. Preview, up, proof, destroy, and proof that nothing is left.
import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startHost, stopAll, type Host } from "../../test/support/host.js";
import { pulumi } from "../../test/support/stack.js";

const root = join(__dirname, "../..");
const state = mkdtempSync(join(tmpdir(), "pulumi-dovecot-postfix-demo-"));
const began = Date.now();

async function demo(): Promise<void> {
  say("Three throwaway Debian 12 hosts: the mail host, the migration proxy, the new server");
  const [source, proxy, next] = await Promise.all([
    startHost("bookworm"),
    startHost("bookworm"),
    startHost("bookworm"),
  ]);
  tell(`mail host ${source.address}, proxy ${proxy.address}, new server ${next.address}`);
  // What the new server's administrator has to allow before outbound mail can go through it.
  await next.run(
    `postconf -e "myhostname = new.example.net" "mynetworks = 127.0.0.0/8 ${source.address}/32" && postfix reload 2>/dev/null`,
  );
  const pristine = await source.files();
  const cli = await project(source, proxy, next);

  say("pulumi preview");
  print(await cli("preview"));

  say("pulumi up");
  print(await cli("up", "--yes", "--skip-preview"));

  say("Proof");
  await logsInThroughTheProxy(source, proxy);
  await readsAsMasterUser(source, await cli("stack", "output", "masterPassword", "--show-secrets"));
  await takesRelayedMail(source, next);
  await refusesStrangers(source, proxy);

  say("pulumi destroy");
  print(await cli("destroy", "--yes", "--skip-preview"));

  say("Proof that nothing is left");
  assert.deepEqual(await source.files(), pristine);
  tell(`${pristine.size} files, directories and links compared: not a byte, owner or mode is different`);
  await source.run("doveadm who && postfix status");
  tell("Dovecot and Postfix run");
}

/** The repository's own Pulumi.yaml, as a user without TypeScript runs it: with configuration alone. */
async function project(source: Host, proxy: Host, next: Host): Promise<(...args: string[]) => Promise<string>> {
  const { host, port, hostKey, privateKey } = source.connection;
  const key = join(state, "id");
  writeFileSync(key, privateKey, { mode: 0o600 });
  // Linked, not run in place: the stack's settings file would be written into the clone.
  const cwd = join(state, "project");
  mkdirSync(cwd);
  for (const name of ["Pulumi.yaml", "examples", "node_modules"]) symlinkSync(join(root, name), join(cwd, name));
  const settings = { host, port, hostKey, outboundServer: next.address };
  const lists = { proxies: [proxy.address], servers: [next.address] };
  const lines = Object.entries({ ...settings, ...lists }).map(
    ([name, value]) => `  mail-source:${name}: ${JSON.stringify(value)}`,
  );
  writeFileSync(join(cwd, "Pulumi.demo.yaml"), ["config:", ...lines].join("\n"));
  const cli = async (...args: string[]) => {
    const env = { PULUMI_DOVECOT_POSTFIX_SSH_IDENTITY_FILE: key };
    const { stdout, stderr, code } = await pulumi(args, { cwd, state, env });
    if (code !== 0) throw new Error(`pulumi ${args.join(" ")}\n${stdout}${stderr}`);
    return stdout;
  };
  await cli("stack", "init", "demo");
  return cli;
}

async function logsInThroughTheProxy(source: Host, proxy: Host): Promise<void> {
  await proxy.dialogue({ host: source.address, port: 143, tls: "starttls" }, async (imap) => {
    await imap.send('a ID ("x-originating-ip" "198.51.100.7" "x-originating-port" "50000")');
    await imap.expect(/^a OK/m);
    await imap.send("b LOGIN alice@example.com alicepassword");
    await imap.expect(/^b OK/m);
  });
  const login = () => source.mailLog().then((log) => /imap-login: Login: (user=.*rip=198\.51\.100\.7)/.exec(log)?.[1]);
  tell(`a login through the proxy shows the client's address: ${await soon(login)}`);
}

async function readsAsMasterUser(source: Host, password: string): Promise<void> {
  await source.dialogue({ host: source.address, port: 993, tls: "implicit" }, async (imap) => {
    await imap.send(`a LOGIN alice@example.com%vmadmin ${password.trim()}`);
    await imap.expect(/^a OK/m);
    await imap.send("b EXAMINE INBOX");
    const answer = await imap.expect(/^b OK/m);
    tell(`the master user reads alice's mailbox: ${/\d+ EXISTS/.exec(answer)?.[0] ?? ""}`);
  });
}

async function takesRelayedMail(source: Host, next: Host): Promise<void> {
  await next.dialogue({ host: source.address, port: 25 }, async (smtp) => {
    await smtp.expect(/^220 /m);
    for (const line of ["EHLO new.example.net", "MAIL FROM:<friend@example.org>", "RCPT TO:<bob@example.com>"]) {
      await smtp.send(line);
      await smtp.expect(/^250 /m);
    }
    await smtp.send("DATA");
    await smtp.expect(/^354 /m);
    await smtp.send("Subject: relayed\r\n\r\nHello Bob\r\n.");
    const answer = await smtp.expect(/^250 /m);
    tell(`a message relayed by the new server is accepted: ${answer.trim().split("\n").at(-1) ?? ""}`);
  });
}

async function refusesStrangers(source: Host, proxy: Host): Promise<void> {
  await proxy.dialogue({ host: source.address, port: 25 }, async (smtp) => {
    await smtp.expect(/^220 /m);
    for (const line of ["EHLO proxy.example.net", "MAIL FROM:<friend@example.org>"]) {
      await smtp.send(line);
      await smtp.expect(/^250 /m);
    }
    await smtp.send("RCPT TO:<someone@example.org>");
    const answer = await smtp.expect(/^\d{3} /m);
    assert.match(answer, /^[45]54 /m);
    tell(`nobody else may relay: ${answer.trim()}`);
  });
}

/** The log is written a moment after the answer. */
async function soon(look: () => Promise<string | undefined>): Promise<string> {
  for (let tries = 50; tries > 0; tries--) {
    const seen = await look();
    if (seen !== undefined) return seen;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("not in the log after 5 s");
}

function say(title: string): void {
  const bold = (text: string) => (process.stdout.isTTY && !process.env["NO_COLOR"] ? `\x1b[1m${text}\x1b[0m` : text);
  console.log(`\n${bold(`== ${title}`)}  (${((Date.now() - began) / 1000).toFixed(1)} s)`);
}

function tell(line: string): void {
  console.log(`   ${line}`);
}

function print(output: string): void {
  console.log(output.trim().replace(/^/gm, "   "));
}

demo()
  .then(() => {
    say("Done. Next");
    tell('Your own host:  pulumi stack init && pulumi config set host ... (README.md, "Without writing a program")');
    tell("In a program:   npm install pulumi-dovecot-postfix, then copy from examples/");
    tell("Everything:     npm test");
  })
  .catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  })
  .finally(async () => {
    await stopAll();
    rmSync(state, { recursive: true, force: true });
  });
