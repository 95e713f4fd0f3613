// The throwaway mail hosts themselves: every other host test rests on what is promised here.
import { strict as assert } from "node:assert";
import { Client } from "ssh2";
import { type Connection, type Debian, type Dialogue, type Host, startHost, stopAll } from "../support/host.js";
import { logged } from "../support/mail-client.js";
import { sampled } from "../support/sample.js";

after(stopAll);

for (const users of ["passwd-file", "pam"] as const) {
  for (const debian of sampled(users === "pam" ? "bookworm" : "trixie"))
    describe(`${debian} with users in ${users}`, () => {
      promises(debian, users);
    });
}

function promises(debian: Debian, users: "passwd-file" | "pam"): void {
  const login = users === "pam" ? "alice" : "alice@example.com";
  const plain = Buffer.from(`\0${login}\0alicepassword`).toString("base64");
  let host: Host;

  before(async () => {
    host = await startHost(debian, { users });
  });
  after(() => host.stop());

  it("logs alice in over IMAP, where one message waits", async () => {
    for (const target of [
      { port: 993, tls: "implicit" },
      { port: 143, tls: "starttls" },
    ] as const) {
      const found = await host.dialogue({ host: host.address, ...target }, async (imap) => {
        await logIn(imap, login, "alicepassword");
        await imap.send("b STATUS INBOX (MESSAGES)");
        return imap.expect(/^b OK/m);
      });
      assert.match(found, /^\* STATUS INBOX \(MESSAGES [1-9]/m);
    }
  });

  it("logs alice in over POP3", async () => {
    await host.dialogue({ host: host.address, port: 995, tls: "implicit" }, async (pop3) => {
      await pop3.expect(/^\+OK/);
      await pop3.send(`USER ${login}`);
      await pop3.expect(/^\+OK/);
      await pop3.send("PASS alicepassword");
      await pop3.expect(/^\+OK Logged in/);
    });
  });

  it("shows alice's script over ManageSieve", async () => {
    const scripts = await host.dialogue({ host: host.address, port: 4190, tls: "starttls" }, async (sieve) => {
      await sieve.expect(/^OK/m);
      await sieve.send(`AUTHENTICATE "PLAIN" "${plain}"`);
      await sieve.expect(/^OK "Logged in/m);
      await sieve.send("LISTSCRIPTS");
      return sieve.expect(/^OK/m);
    });
    assert.match(scripts, /^"lists" ACTIVE\r$/m);
  });

  it("greets on port 25 as mail.example.com and relays for no stranger", async () => {
    const answer = await host.dialogue({ host: host.address, port: 25 }, async (smtp) => {
      await smtp.expect(/^220 mail\.example\.com /);
      await smtp.send("EHLO client.example.net");
      await smtp.expect(/^250 /m);
      await smtp.send("MAIL FROM:<carol@example.net>");
      await smtp.expect(/^250 /m);
      await smtp.send("RCPT TO:<someone@example.org>");
      return smtp.expect(/^\d/);
    });
    assert.match(answer, /^[45]\d\d .*Relay access denied/);
  });

  it("takes alice's mail on 587 and 465 and delivers it to bob", async () => {
    for (const target of [
      { port: 587, tls: "starttls" },
      { port: 465, tls: "implicit" },
    ] as const)
      await host.dialogue({ host: host.address, ...target }, (smtp) => submit(smtp, plain));
    await host.dialogue({ host: host.address, port: 993, tls: "implicit" }, async (imap) => {
      await logIn(imap, login.replace("alice", "bob"), "bobpassword");
      for (let messages = 0; messages < 2;) {
        await imap.send("b STATUS INBOX (MESSAGES)");
        messages = Number(/MESSAGES (\d+)/.exec(await imap.expect(/^b OK/m))?.[1]);
      }
    });
    await logged(host, /sasl_method=PLAIN, sasl_username=alice/);
  });

  it("takes root's key over SSH and shows the host key that the connection names", async () => {
    assert.equal(await overSsh(host.connection, "id -un"), "root\n");
    assert.match(await host.authLog(), /Accepted publickey for root/);
  });

  it("has the same files after reloads, logins and deliveries", async () => {
    const before = await host.files();
    await host.run("doveadm reload && postfix reload");
    await host.dialogue({ host: host.address, port: 993, tls: "implicit" }, (d) => logIn(d, login, "alicepassword"));
    await host.dialogue({ host: host.address, port: 465, tls: "implicit" }, (d) => submit(d, plain));
    await overSsh(host.connection, "true");
    await host.run("doveadm reload && postfix reload");
    assert.deepEqual(await host.files(), before);
  });

  it("sees a changed byte, a changed mode, a new file, a new link", async () => {
    const before = await host.files();
    await host.run(
      "printf '\\351' >>/etc/postfix/main.cf; chmod 600 /etc/dovecot/local.conf; ln -s x /var/lib/y; echo >'/root/a b'",
    );
    const now = await host.files();
    const changed = [...now].filter(([path, state]) => before.get(path) !== state).map(([path]) => path);
    assert.deepEqual(changed.sort(), ["/etc/dovecot/local.conf", "/etc/postfix/main.cf", "/root/a b", "/var/lib/y"]);
    await host.run("sed -i '$ s/.$//' /etc/postfix/main.cf; rm /var/lib/y '/root/a b'");
  });

  it("comes up again after the plug was pulled, with the same key, address and files", async () => {
    const { connection, address } = host;
    const before = await host.files();
    await host.reboot();
    assert.equal((await host.read("/etc/ssh/ssh_host_ed25519_key.pub")).trim(), connection.hostKey);
    assert.match(
      await host.run("ip -4 -oneline address show eth0"),
      new RegExp(`inet ${address.replaceAll(".", "\\.")}/`),
    );
    await host.dialogue({ host: address, port: 993, tls: "implicit" }, (d) => logIn(d, login, "alicepassword"));
    await host.dialogue({ host: address, port: 25 }, (d) => d.expect(/^220 /));
    assert.equal(await overSsh(connection, "id -un"), "root\n");
    assert.deepEqual(await host.files(), before);
  });
}

describe("a host", () => {
  let host: Host;
  let stranger: Host;
  before(async () => {
    [host, stranger] = await Promise.all([startHost("bookworm"), startHost("trixie")]);
  });

  it("is reached from another host, under that host's address", async () => {
    await stranger.dialogue({ host: host.address, port: 25 }, (smtp) => smtp.expect(/^220 /));
    await logged(host, new RegExp(`connect from \\S+\\[${stranger.address.replaceAll(".", "\\.")}\\]`));
  });

  it("talks from the source address that the dialogue names", async () => {
    await host.dialogue({ host: "127.0.0.1", port: 25, from: "127.0.0.9" }, (smtp) => smtp.expect(/^220 /));
    await logged(host, /connect from \S+\[127\.0\.0\.9\]/);
  });

  it("keeps any byte in a file that is written and read", async () => {
    const bytes = String.fromCharCode(...Array(256).keys());
    await host.write("/root/it's all bytes", bytes, "0640");
    assert.equal(await host.read("/root/it's all bytes"), bytes);
    assert.equal(await host.run("stat -c %a /root/it*"), "640\n");
  });

  it("tells a script's exit code and both outputs, and takes its input", async () => {
    const output = await host.exec("cat; echo wrong >&2; exit 3", { input: "right" });
    assert.deepEqual(output, { stdout: "right", stderr: "wrong\n", code: 3 });
    await assert.rejects(host.run("echo wrong >&2; exit 3"), /exit code 3.*\nwrong/s);
  });

  it("shows what was said when a dialogue goes another way", async () => {
    const late = host.dialogue({ host: "127.0.0.1", port: 25 }, async (smtp) => {
      await smtp.expect(/^220 /);
      await smtp.send("NOOP");
      await smtp.expect(/^354 /, { seconds: 0.2 });
    });
    await assert.rejects(late, /127\.0\.0\.1:25: expected .*354.*\n< 220 [^]*> NOOP\n< 250 /);
    const closed = host.dialogue({ host: "127.0.0.1", port: 26 }, (smtp) => smtp.expect(/^220 /));
    await assert.rejects(closed, /has ended[^]*refused/);
  });

  it("does not wait for a name server that is not there", async () => {
    const started = Date.now();
    await host.exec("getent hosts nowhere.example.org");
    assert.ok(Date.now() - started < 1000);
  });
});

async function logIn(imap: Dialogue, user: string, password: string): Promise<void> {
  await imap.send(`a LOGIN ${user} ${password}`);
  await imap.expect(/^a OK/m);
}

async function submit(smtp: Dialogue, plain: string): Promise<void> {
  await smtp.send("EHLO client.example.net");
  await smtp.expect(/^250 /m);
  await smtp.send(`AUTH PLAIN ${plain}`);
  await smtp.expect(/^235 /m);
  await smtp.send("MAIL FROM:<alice@example.com>");
  await smtp.expect(/^250 /m);
  await smtp.send("RCPT TO:<bob@example.com>");
  await smtp.expect(/^250 /m);
  await smtp.send("DATA");
  await smtp.expect(/^354 /m);
  await smtp.send("Subject: hello\r\n\r\nhello\r\n.");
  await smtp.expect(/^250 .*queued/m);
}

function overSsh(connection: Connection, command: string): Promise<string> {
  const { host, port, user, privateKey, hostKey } = connection;
  return new Promise((resolve, reject) => {
    const client = new Client();
    let stdout = "";
    client
      .on("ready", () => {
        client.exec(command, (error, channel) => {
          if (error) {
            reject(error);
            return;
          }
          channel.on("data", (data: Buffer) => (stdout += data.toString("latin1")));
          channel.on("close", () => client.end());
        });
      })
      .on("close", () => {
        resolve(stdout);
      })
      .on("error", reject)
      .connect({
        host,
        port,
        username: user,
        privateKey,
        hostVerifier: (key: Buffer) => key.toString("base64") === hostKey.split(" ")[1],
      });
  });
}
