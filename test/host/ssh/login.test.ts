// Who is let in by a real sshd, with which key, agent or password, and what is told where it lets nobody in.
import { strict as assert } from "node:assert";
import type { Connection } from "../../../provider/src/ssh/connection.js";
import type { Host } from "../../support/host.js";
import { sampled } from "../../support/sample.js";
import { afterSuite, SshClient, whoami } from "../../support/ssh-client.js";
import { type Sshd, startSshd, startSshHost, TESTER, TESTER_PASSWORD } from "../../support/sshd.js";

const PASSPHRASE = "Correct battery 7";
const types = ["ed25519", "ecdsa", "rsa"];

for (const debian of sampled("trixie")) {
  describe(`ssh login on ${debian}`, () => {
    const client = new SshClient();
    let host: Host;
    let sshd: Sshd;

    before(async () => {
      const plain = client.newKeys(Object.fromEntries(types.map((type) => [type, type])));
      const encrypted = client.newKeys(
        Object.fromEntries(types.map((type) => [`${type}-passphrase`, type])),
        PASSPHRASE,
      );
      client.newKeys({ stranger: "ed25519" });
      host = await startSshHost(debian, [...plain, ...encrypted]);
      sshd = await startSshd(host);
    });
    afterSuite(client, () => host);

    const { open, refused, to } = client;

    describe("with a key", () => {
      for (const type of types) {
        it(`of type ${type}, with and without passphrase`, async () => {
          await whoami(await open(to(sshd, { privateKey: client.key(type) })));
          const privateKey = client.key(`${type}-passphrase`);
          await whoami(await open(to(sshd, { privateKey, privateKeyPassword: PASSPHRASE })));
        });
      }

      it("whose last newline was lost", async () => {
        await whoami(await open(to(sshd, { privateKey: client.key("ed25519").trim() })));
      });

      it("that cannot be used: told before anything is sent, without a word of it", async () => {
        const before = await sshd.log();
        const wrong: [change: Partial<Connection>, said: RegExp][] = [
          [{ privateKey: client.key("ed25519-passphrase") }, /it is encrypted and no passphrase is given/],
          [{ privateKey: client.key("rsa-passphrase"), privateKeyPassword: "Secret guess" }, /its passphrase is wrong/],
          [{ privateKey: client.key("ed25519.pub") }, /public key, not a private one/],
          [{ privateKey: "Secret guess" }, /not in a supported format/],
        ];
        for (const [change, said] of wrong) {
          const error = await refused(to(sshd, change), {}, "settings");
          assert.match(error.message, said);
          assert.doesNotMatch(error.message, /Secret guess|BEGIN|AAAA/);
        }
        assert.equal(await sshd.log(), before);
      });

      it("of the agent of SSH_AUTH_SOCK, and of a given one", async () => {
        await client.withAgent(["ecdsa", "stranger"], async (socket) => {
          await whoami(await open(to(sshd, { privateKey: undefined }), { env: { SSH_AUTH_SOCK: socket } }));
          await whoami(await open(to(sshd, { privateKey: undefined, agentSocketPath: socket })));
        });
      });

      it("of type rsa in the agent", async () => {
        await client.withAgent(["rsa"], async (socket) => {
          await whoami(await open(to(sshd, { privateKey: undefined, agentSocketPath: socket })));
        });
      });

      it("of an identity file, where the agent is gone", async () => {
        const env = { SSH_AUTH_SOCK: client.path("no-agent") };
        const home = { id_ed25519: client.key("ed25519") };
        await whoami(await open(to(sshd, { privateKey: undefined }), { env, home }));
      });

      it("of an agent with many: the one that IdentityFile names goes first, so that MaxAuthTries is not used up", async () => {
        const strict = await startSshd(host, { config: "MaxAuthTries 2" });
        const names = Array.from({ length: 5 }, (_, at) => `other${at}`);
        client.newKeys(Object.fromEntries(names.map((name) => [name, "ed25519"])));
        await client.withAgent([...names, "ecdsa"], async (socket) => {
          const around = { env: { SSH_AUTH_SOCK: socket } };
          const connection = to(strict, { privateKey: undefined });
          await refused(connection, around, "authentication");
          const home = { "id.pub": client.key("ecdsa.pub"), config: "Host *\n  IdentityFile ~/.ssh/id\n" };
          await whoami(await open(connection, { ...around, home }));
        });
      });

      it("of an identity file, the default one or the one of the OpenSSH configuration", async () => {
        const connection = to(sshd, { privateKey: undefined });
        await whoami(await open(connection, { home: { id_rsa: client.key("rsa") } }));
        const home = { mine: client.key("rsa"), config: "IdentityFile ~/.ssh/mine" };
        await whoami(await open(connection, { home }));
      });

      it("that is refused: final at once, and the error tells user, keys and methods, and no secret", async () => {
        const before = await sshd.count("Connection from ");
        const connection = to(sshd, { privateKey: client.key("stranger"), password: "Secret guess" });
        const home = { id_rsa: client.key("rsa-passphrase") };
        const error = await refused(connection, { home }, "authentication");
        assert.equal((await sshd.count("Connection from ")) - before, 1);
        assert.match(error.message, /the login was refused for user root/);
        assert.match(
          error.message,
          /Tried: privateKey of connection \(ssh-ed25519 SHA256:\S{43}\)\. The server takes: publickey\./,
        );
        assert.doesNotMatch(error.message, /Secret guess|BEGIN/);
      });

      it("in an identity file that is encrypted, or missing: told", async () => {
        const home = { id_rsa: client.key("rsa-passphrase"), id_ed25519: client.key("stranger") };
        const error = await refused(to(sshd, { privateKey: undefined }), { home }, "authentication");
        assert.match(error.message, /id_rsa \(skipped: it is encrypted and no passphrase is given\)/);
        assert.match(error.message, /id_ecdsa \(not there\)/);
      });

      it("that is nowhere: nothing is dialled", async () => {
        const before = await sshd.log();
        const error = await refused(to(sshd, { privateKey: undefined }), {}, "authentication");
        assert.match(error.message, /there is nothing to log in with/);
        assert.equal(await sshd.log(), before);
      });

      it("that was rotated: the key or the agent that the environment names, whatever the state holds", async () => {
        const rotated = client.path("ed25519");
        for (const privateKey of [client.key("stranger"), "no longer a key"]) {
          const env = { PULUMI_DOVECOT_POSTFIX_SSH_IDENTITY_FILE: rotated };
          await whoami(await open(to(sshd, { privateKey }), { env }));
        }
        await client.withAgent(["ed25519"], async (socket) => {
          const env = { PULUMI_DOVECOT_POSTFIX_SSH_AUTH_SOCK: socket };
          await whoami(await open(to(sshd, { privateKey: client.key("stranger") }), { env }));
        });
        const env = { PULUMI_DOVECOT_POSTFIX_SSH_IDENTITY_FILE: client.path("not-there") };
        const error = await refused(to(sshd), { env }, "settings");
        assert.match(error.message, /PULUMI_DOVECOT_POSTFIX_SSH_IDENTITY_FILE=.*not-there.*no such file/);
      });
    });

    describe("with a password", () => {
      const ways = {
        password: "PasswordAuthentication yes",
        "keyboard-interactive": "KbdInteractiveAuthentication yes",
        "public key and then keyboard-interactive":
          "KbdInteractiveAuthentication yes\nAuthenticationMethods publickey,keyboard-interactive",
      };
      for (const [way, config] of Object.entries(ways)) {
        it(`by ${way}; a wrong one is final at once and not told`, async () => {
          const server = await startSshd(host, { config });
          const key = way.startsWith("public key") ? {} : { privateKey: undefined };
          const connection = to(server, { ...key, user: TESTER, password: TESTER_PASSWORD });
          await whoami(await open(connection), TESTER);
          const failed = async () =>
            (await server.count("Failed password for")) + (await server.count("PAM: Authentication failure for"));
          assert.equal(await failed(), 0);
          const before = await server.count("Connection from ");
          const error = await refused({ ...connection, password: "Secret guess" }, {}, "authentication");
          assert.match(error.message, /the login was refused for user tester/);
          assert.doesNotMatch(error.message, /Secret guess/);
          assert.equal(await failed(), 1);
          assert.equal((await server.count("Connection from ")) - before, 1);
        });
      }
    });

    describe("of root, where sshd refuses it", () => {
      const cure = /PermitRootLogin.*\bset user to one that may log in and become: true/s;

      it("PermitRootLogin no: names it, and the way without", async () => {
        const server = await startSshd(host, { config: "PermitRootLogin no" });
        assert.match((await refused(to(server), {}, "authentication")).message, cure);
        assert.match(await server.log(), /ROOT LOGIN REFUSED/);
        await whoami(await open(to(server, { user: TESTER })), TESTER);
        const other = await refused(
          to(server, { user: TESTER, privateKey: client.key("stranger") }),
          {},
          "authentication",
        );
        assert.doesNotMatch(other.message, /become/);
      });

      it("prohibit-password, with the right password: names it too", async () => {
        await host.run(`echo 'root:${TESTER_PASSWORD}' | chpasswd`);
        const config = "PermitRootLogin prohibit-password\nPasswordAuthentication yes";
        const server = await startSshd(host, { config });
        const password = { privateKey: undefined, password: TESTER_PASSWORD };
        const error = await refused(to(server, password), {}, "authentication");
        assert.match(error.message, cure);
        assert.doesNotMatch(error.message, new RegExp(TESTER_PASSWORD));
        await whoami(await open(to(server)));
        await whoami(await open(to(server, { ...password, user: TESTER })), TESTER);
      });
    });

    describe("to a host that greets", () => {
      const greeting = "\x1b]0;owned\x07\x1b[2JWelcome to mail.example.com";
      let server: Sshd;

      before(async () => {
        await host.write("/srv/sshd/banner", `${greeting}\n`);
        await host.write("/etc/motd", `${greeting}\n`);
        server = await startSshd(host, { config: "Banner /srv/sshd/banner\nPrintMotd yes\nPrintLastLog yes" });
      });

      it("takes neither banner nor motd for an answer, and prints nothing of them", async () => {
        const printed = await printing(async () => {
          const link = await open(to(server));
          const answer = await link.run("echo answer; echo told >&2", "", { timeoutMs: 10_000, maxBytes: 1_000 });
          assert.deepEqual(answer, { stdout: "answer\n", stderr: "told\n", code: 0, signal: null });
        });
        assert.doesNotMatch(printed, /Welcome|\x1b\]0/);
      });

      it("tells the banner where it refuses the login, in harmless characters", async () => {
        const { message } = await refused(to(server, { privateKey: client.key("stranger") }), {}, "authentication");
        assert.match(message, /The server said: \\x1b\]0;owned\\x07\\x1b\[2JWelcome to mail\.example\.com/);
        assert.doesNotMatch(message, /[\x07\x1b]/);
      });
    });
  });
}

/** What this process prints meanwhile. */
async function printing(during: () => Promise<void>): Promise<string> {
  let printed = "";
  const streams = [process.stdout, process.stderr].map((stream) => ({ stream, write: stream.write.bind(stream) }));
  for (const { stream } of streams) {
    stream.write = (chunk: string | Uint8Array) => {
      printed += String(chunk);
      return true;
    };
  }
  try {
    await during();
  } finally {
    for (const { stream, write } of streams) stream.write = write;
  }
  return printed;
}
