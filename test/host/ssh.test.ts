// Connections against a real sshd on loopback: who is let in, who is trusted, and that every wait ends.
import { strict as assert } from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { becomeError, shellCommand } from "../../provider/src/ssh/become.js";
import type { Connection } from "../../provider/src/ssh/connection.js";
import { connect } from "../../provider/src/ssh/dial.js";
import { SshError, type SshErrorKind } from "../../provider/src/ssh/errors.js";
import type { Link } from "../../provider/src/ssh/link.js";
import { quote } from "../../provider/src/ssh/quote.js";
import { surroundings } from "../../provider/src/ssh/settings.js";
import { freePort, newKey, type Sshd, startSshd, TESTER, TESTER_PASSWORD } from "../support/sshd.js";

const me = userInfo().username;
const asRoot = userInfo().uid === 0;
const place = mkdtempSync(join(tmpdir(), "ssh-test-"));
chmodSync(place, 0o755);
const limits = { timeoutMs: 10_000, maxBytes: 100_000 };
const PASSPHRASE = "Correct battery 7";

const links: Link[] = [];
const servers: Sshd[] = [];
let homes = 0;

describe("ssh", () => {
  let sshd: Sshd;
  const keyOf = (name: string) => readFileSync(join(place, name), "utf8");

  before(async () => {
    for (const type of ["ed25519", "ecdsa", "rsa"]) {
      newKey(join(place, type), type);
      newKey(join(place, `${type}-passphrase`), type, PASSPHRASE);
    }
    newKey(join(place, "stranger"), "ed25519");
    sshd = await start("main", { hostKeyTypes: ["ed25519", "ecdsa", "rsa"] });
  });
  afterEach(() => {
    for (const link of links.splice(0)) link.close();
  });
  after(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    rmSync(place, { recursive: true, force: true });
  });

  function start(name: string, options: Parameters<typeof startSshd>[1]): Promise<Sshd> {
    const authorized = ["ed25519", "ecdsa", "rsa"].flatMap((type) => [
      keyOf(`${type}.pub`),
      keyOf(`${type}-passphrase.pub`),
    ]);
    return startSshd(join(place, name), { authorized: authorized.join(""), ...options }).then((server) => {
      servers.push(server);
      return server;
    });
  }

  /** A connection that works, to be changed. */
  const to = (server: Sshd, change: Partial<Connection> = {}): Connection => ({
    host: "127.0.0.1",
    port: server.port,
    user: me,
    hostKey: server.hostKeys["ed25519"],
    privateKey: keyOf("ed25519"),
    ...change,
  });

  describe("login", () => {
    for (const type of ["ed25519", "ecdsa", "rsa"]) {
      it(`with an ${type} key, with and without passphrase`, async () => {
        await whoami(await open(to(sshd, { privateKey: keyOf(type) })));
        const privateKey = keyOf(`${type}-passphrase`);
        await whoami(await open(to(sshd, { privateKey, privateKeyPassword: PASSPHRASE })));
      });
    }

    it("with a key whose last newline was lost", async () => {
      await whoami(await open(to(sshd, { privateKey: keyOf("ed25519").trim() })));
    });

    it("a key that cannot be used is told before anything is sent, without a word of it", async () => {
      const before = sshd.log().length;
      const wrong: [change: Partial<Connection>, said: RegExp][] = [
        [{ privateKey: keyOf("ed25519-passphrase") }, /it is encrypted and no passphrase is given/],
        [{ privateKey: keyOf("rsa-passphrase"), privateKeyPassword: "Secret guess" }, /its passphrase is wrong/],
        [{ privateKey: keyOf("ed25519.pub") }, /public key, not a private one/],
        [{ privateKey: "Secret guess" }, /not in a supported format/],
      ];
      for (const [change, said] of wrong) {
        const error = await refused(to(sshd, change), {}, "settings");
        assert.match(error.message, said);
        assert.doesNotMatch(error.message, /Secret guess|BEGIN|AAAA/);
      }
      assert.equal(sshd.log().length, before);
    });

    it("with the agent of SSH_AUTH_SOCK and with a given one", async () => {
      await withAgent(["ecdsa", "stranger"], async (socket) => {
        await whoami(await open(to(sshd, { privateKey: undefined }), { env: { SSH_AUTH_SOCK: socket } }));
        await whoami(await open(to(sshd, { privateKey: undefined, agentSocketPath: socket })));
      });
    });

    it("with an RSA key in the agent", async () => {
      await withAgent(["rsa"], async (socket) => {
        await whoami(await open(to(sshd, { privateKey: undefined, agentSocketPath: socket })));
      });
    });

    it("an agent that is gone does not stand in the way of an identity file", async () => {
      const env = { SSH_AUTH_SOCK: join(place, "no-agent") };
      await whoami(await open(to(sshd, { privateKey: undefined }), { env, home: { id_ed25519: keyOf("ed25519") } }));
    });

    it("of an agent with many keys, the one that IdentityFile names goes first, so that MaxAuthTries is not used up", async () => {
      const strict = await start("max-auth-tries", { config: "MaxAuthTries 2" });
      const names = Array.from({ length: 5 }, (_, at) => `other${at}`);
      for (const name of names) newKey(join(place, name), "ed25519");
      await withAgent([...names, "ecdsa"], async (socket) => {
        const around = { env: { SSH_AUTH_SOCK: socket } };
        const connection = to(strict, { privateKey: undefined });
        await refused(connection, around, "authentication");
        const home = { "id.pub": keyOf("ecdsa.pub"), config: "Host *\n  IdentityFile ~/.ssh/id\n" };
        await whoami(await open(connection, { ...around, home }));
      });
    });

    it("with an identity file, the default one or the one of the OpenSSH configuration", async () => {
      const connection = to(sshd, { privateKey: undefined });
      await whoami(await open(connection, { home: { id_rsa: keyOf("rsa") } }));
      await whoami(await open(connection, { home: { mine: keyOf("rsa"), config: "IdentityFile ~/.ssh/mine" } }));
    });

    it("a key refused is final at once, and the error tells user, keys and methods, and no secret", async () => {
      const before = count(sshd, "Connection from ");
      const connection = to(sshd, { privateKey: keyOf("stranger"), password: "Secret guess" });
      const error = await refused(connection, { home: { id_rsa: keyOf("rsa-passphrase") } }, "authentication");
      assert.equal(count(sshd, "Connection from ") - before, 1);
      assert.match(error.message, new RegExp(`the login was refused for user ${me}`));
      assert.match(
        error.message,
        /Tried: privateKey of connection \(ssh-ed25519 SHA256:\S{43}\)\. The server takes: publickey\./,
      );
      assert.doesNotMatch(error.message, /Secret guess|BEGIN/);
    });

    it("an encrypted identity file and a missing one are told", async () => {
      const home = { id_rsa: keyOf("rsa-passphrase"), id_ed25519: keyOf("stranger") };
      const error = await refused(to(sshd, { privateKey: undefined }), { home }, "authentication");
      assert.match(error.message, /id_rsa \(skipped: it is encrypted and no passphrase is given\)/);
      assert.match(error.message, /id_ecdsa \(not there\)/);
    });

    it("with nothing to log in with, nothing is dialled", async () => {
      const before = count(sshd, "Connection from ");
      const error = await refused(to(sshd, { privateKey: undefined }), {}, "authentication");
      assert.match(error.message, /there is nothing to log in with/);
      assert.equal(count(sshd, "Connection from "), before);
    });

    it("after a rotation takes the key or the agent that the environment names, whatever the state holds", async () => {
      const rotated = join(place, "ed25519");
      for (const privateKey of [keyOf("stranger"), "no longer a key"]) {
        const env = { PULUMI_DOVECOT_POSTFIX_SSH_IDENTITY_FILE: rotated };
        await whoami(await open(to(sshd, { privateKey }), { env }));
      }
      await withAgent(["ed25519"], async (socket) => {
        const env = { PULUMI_DOVECOT_POSTFIX_SSH_AUTH_SOCK: socket };
        await whoami(await open(to(sshd, { privateKey: keyOf("stranger") }), { env }));
      });
      const env = { PULUMI_DOVECOT_POSTFIX_SSH_IDENTITY_FILE: join(place, "not-there") };
      const error = await refused(to(sshd), { env }, "settings");
      assert.match(error.message, /PULUMI_DOVECOT_POSTFIX_SSH_IDENTITY_FILE=.*not-there.*no such file/);
    });
  });

  describe("login with a password", function () {
    before(function () {
      if (!asRoot) this.skip(); // users of its own need root
    });

    const ways = {
      password: "PasswordAuthentication yes",
      "keyboard-interactive": "KbdInteractiveAuthentication yes",
      "public key and then keyboard-interactive":
        "KbdInteractiveAuthentication yes\nAuthenticationMethods publickey,keyboard-interactive",
    };
    for (const [way, config] of Object.entries(ways)) {
      it(`by ${way}; a wrong one is final at once and not told`, async () => {
        const server = await start(way.replaceAll(" ", "-"), { config, ownUsers: { sudoers: "" } });
        const key = way.startsWith("public key") ? {} : { privateKey: undefined };
        const connection = to(server, { ...key, user: TESTER, password: TESTER_PASSWORD });
        await whoami(await open(connection), TESTER);
        const failed = () => count(server, "Failed password for") + count(server, "PAM: Authentication failure for");
        assert.equal(failed(), 0);
        const error = await refused({ ...connection, password: "Secret guess" }, {}, "authentication");
        assert.match(error.message, /the login was refused for user tester/);
        assert.doesNotMatch(error.message, /Secret guess/);
        assert.equal(failed(), 1);
      });
    }
  });

  describe("the host key", () => {
    const identified = (server: Sshd) => server.log().includes("userauth-request");

    it("unknown: an error that prints what ssh-keygen prints, and nothing is sent", async () => {
      const server = await start("unknown", { config: "LogLevel DEBUG1" });
      const error = await refused(to(server, { hostKey: undefined }), {}, "host-key");
      const [, shown = ""] = execFileSync("ssh-keygen", ["-lf", join(place, "unknown/host_ed25519.pub")], {
        encoding: "utf8",
      }).split(" ");
      assert.ok(error.message.includes(`hostKey: "${shown}"`));
      assert.ok(error.message.includes(`[127.0.0.1]:${server.port} ${server.hostKeys["ed25519"] ?? ""}`));
      assert.ok(!identified(server));
      await open(to(server));
      assert.ok(identified(server), "this log tells a login, so that its absence means something");
    });

    it("known: plain, hashed by ssh-keygen, as a wildcard, by the line that the error gave", async () => {
      const line = /add this line to .*:\n {2}(.*)/.exec(
        (await refused(to(sshd, { hostKey: undefined }), {}, "host-key")).message,
      );
      const name = `[127.0.0.1]:${sshd.port}`;
      const key = sshd.hostKeys["ed25519"] ?? "";
      const file = join(place, "to-hash");
      writeFileSync(file, `${name} ${key}\n`);
      execFileSync("ssh-keygen", ["-H", "-f", file], { stdio: "ignore" });
      assert.match(readFileSync(file, "utf8"), /^\|1\|/);
      for (const text of [`${name} ${key}`, readFileSync(file, "utf8"), `[127.0.0.*]:* ${key}`, line?.[1] ?? ""]) {
        await open(to(sshd, { hostKey: undefined }), { home: { known_hosts: text } });
      }
    });

    it("of a host with several keys: the one that is known is asked for, whichever it is", async () => {
      for (const type of ["ed25519", "ecdsa", "rsa"]) {
        const known_hosts = `127.0.0.1 ${sshd.hostKeys[type] ?? ""}`;
        await open(to(sshd, { hostKey: undefined }), { home: { known_hosts } });
        await open(to(sshd, { hostKey: sshd.hostKeys[type] }));
      }
    });

    it("pinned as the fingerprint of any of its keys", async () => {
      for (const type of ["ed25519", "ecdsa", "rsa"]) await open(to(sshd, { hostKey: fingerprintOf("main", type) }));
    });

    it("changed, pinned as another one, revoked, on a wildcard: refused before anything is sent", async () => {
      const server = await start("changed", { config: "LogLevel DEBUG1" });
      const old = sshd.hostKeys["ed25519"] ?? "";
      const now = server.hostKeys["ed25519"] ?? "";
      const cases: { hostKey?: string; known_hosts?: string; said: RegExp }[] = [
        { known_hosts: `127.0.0.1 ${old}`, said: /the host key is not known|THE HOST KEY IS NOT/ },
        { known_hosts: `[127.0.0.1]:${server.port} ${old}`, said: /THE HOST KEY IS NOT THE EXPECTED ONE/ },
        { known_hosts: `* ${old}`, said: /THE HOST KEY IS NOT THE EXPECTED ONE/ },
        { known_hosts: `* ${now}\n@revoked * ${now}`, said: /REVOKED HOST KEY/ },
        { hostKey: now, known_hosts: `@revoked * ${now}`, said: /REVOKED HOST KEY/ },
        { hostKey: old, said: /THE HOST KEY IS NOT THE EXPECTED ONE/ },
        { hostKey: fingerprintOf("main", "rsa"), said: /THE HOST KEY IS NOT THE EXPECTED ONE/ },
      ];
      for (const { hostKey, known_hosts, said } of cases) {
        const error = await refused(
          to(server, { hostKey }),
          known_hosts === undefined ? {} : { home: { known_hosts } },
          "host-key",
        );
        assert.match(error.message, said);
      }
      assert.ok(!identified(server));
    });
  });

  describe("the jump host", () => {
    it("is a way to the host, with `proxy` and with ProxyJump", async () => {
      const jump = await start("jump", {});
      const proxy = {
        host: "127.0.0.1",
        port: jump.port,
        user: me,
        privateKey: keyOf("rsa"),
        hostKey: jump.hostKeys["ed25519"],
      };
      const link = await open(to(sshd, { proxy }));
      await whoami(link);
      assert.ok(jump.log().includes(`Accepted publickey for ${me}`));
      link.close();
      const home = {
        config: `Host mail\n HostName 127.0.0.1\n Port ${sshd.port}\n User ${me}\n ProxyJump ${me}@127.0.0.1:${jump.port}\n`,
        known_hosts: `[127.0.0.1]:${sshd.port} ${sshd.hostKeys["ecdsa"] ?? ""}\n[127.0.0.1]:${jump.port} ${jump.hostKeys["ed25519"] ?? ""}`,
        id_ed25519: keyOf("ed25519"),
      };
      const before = count(jump, "Accepted publickey");
      await whoami(await open({ host: "mail" }, { home }));
      assert.equal(count(jump, "Accepted publickey"), before + 1);
    });

    it("is verified too, before anything is sent to it, and the host is not dialled", async () => {
      const jump = await start("jump-unknown", { config: "LogLevel DEBUG1" });
      const before = count(sshd, "Connection from ");
      const proxy = { host: "127.0.0.1", port: jump.port, user: me, privateKey: keyOf("rsa") };
      const error = await refused(to(sshd, { proxy }), {}, "host-key");
      assert.ok(error.message.includes(`${me}@127.0.0.1:${jump.port}: the host key is not known`));
      const revoked = { known_hosts: `@revoked * ${jump.hostKeys["ed25519"] ?? ""}` };
      assert.match((await refused(to(sshd, { proxy }), { home: revoked }, "host-key")).message, /REVOKED/);
      assert.ok(!jump.log().includes("userauth-request"));
      assert.equal(count(sshd, "Connection from "), before);
    });

    it("does not spare the host behind it the verification", async () => {
      const jump = await start("jump-honest", {});
      const proxy = {
        host: "127.0.0.1",
        port: jump.port,
        user: me,
        privateKey: keyOf("rsa"),
        hostKey: jump.hostKeys["ed25519"],
      };
      const error = await refused(to(sshd, { proxy, hostKey: undefined }), {}, "host-key");
      assert.ok(error.message.startsWith(`${me}@127.0.0.1:${sshd.port}: the host key is not known`));
    });

    it("takes the link with it when it dies, and is closed with it", async () => {
      const jump = await start("jump-dies", {});
      const { hostKeys, port } = jump;
      const proxy = { host: "127.0.0.1", port, user: me, privateKey: keyOf("rsa"), hostKey: hostKeys["ed25519"] };
      const first = await open(to(sshd, { proxy }));
      first.close();
      const closed = async () => {
        while (count(jump, "Disconnected from user") === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      };
      await closed();
      const link = await open(to(sshd, { proxy }));
      const hanging = link.run("sleep 60", "", limits);
      const ended = rejects(hanging, "disconnected", /connection/);
      const children = execFileSync("pgrep", ["-P", String(jump.pid)], { encoding: "utf8" })
        .trim()
        .split("\n");
      for (const child of children) process.kill(Number(child), "SIGKILL");
      await ended;
      assert.equal(link.alive, false);
    });

    it("that forbids forwarding, or finds nothing behind it, is told", async () => {
      const jump = await start("jump-forbids", { config: "AllowTcpForwarding no" });
      const proxy = {
        host: "127.0.0.1",
        port: jump.port,
        user: me,
        privateKey: keyOf("rsa"),
        hostKey: jump.hostKeys["ed25519"],
      };
      assert.match((await refused(to(sshd, { proxy }), {}, "forbidden")).message, /AllowTcpForwarding/);
      const allows = await start("jump-allows", {});
      const open_ = { ...proxy, port: allows.port, hostKey: allows.hostKeys["ed25519"] };
      const nowhere = to(sshd, { proxy: open_, port: await freePort(), dialErrorLimit: 1 });
      assert.match((await refused(nowhere, {}, "unreachable")).message, /not reachable over the jump host/);
    });
  });

  describe("a host that does not answer", () => {
    it("is tried as often as dialErrorLimit says, and the error names host, port and what to check", async () => {
      const port = await freePort();
      const error = await refused(to(sshd, { port, dialErrorLimit: 3 }), {}, "unreachable");
      assert.match(error.message, new RegExp(`^${me}@127.0.0.1:${port}: no answer in 3 tries .*ECONNREFUSED`));
      assert.match(error.message, /What to do: Nothing listens on this port/);
    });

    it("but comes up meanwhile is reached", async () => {
      const port = await freePort();
      const late = new Promise<Sshd>((resolve, reject) => {
        setTimeout(() => {
          start("late", { port, hostKeyTypes: ["ed25519"] }).then(resolve, reject);
        }, 300);
      });
      await assert.doesNotReject(async () => {
        const known = { home: { known_hosts: "" } };
        const error = await refused(to(sshd, { port, hostKey: undefined }), known, "host-key");
        assert.match(error.message, /the host key is not known/);
      });
      await whoami(await open(to(await late)));
    });

    it("takes the connection and is silent: costs perDialTimeout a try, no more", async () => {
      await withServer(
        () => undefined,
        async (port) => {
          const began = Date.now();
          const error = await refused(to(sshd, { port, perDialTimeout: 0.3, dialErrorLimit: 2 }), {}, "unreachable");
          assert.match(error.message, /no SSH server answered in 0.3 s/);
          assert.ok(Date.now() - began < 2_000);
        },
      );
    });

    it("drops packets: costs perDialTimeout a try, no more", async function () {
      const began = Date.now();
      // 192.0.2.0/24 is for documentation: whatever is between answers with nothing or "unreachable".
      const connection = to(sshd, { host: "192.0.2.1", perDialTimeout: 0.3, dialErrorLimit: 2 });
      await refused(connection, {}, "unreachable");
      assert.ok(Date.now() - began < 2_000);
    });

    it("a name that does not exist is final at once", async () => {
      const began = Date.now();
      const error = await refused(to(sshd, { host: "no-such-name.invalid", dialErrorLimit: 1 }), {}, "unreachable");
      assert.match(error.message, /cannot connect \((ENOTFOUND|EAI_AGAIN)\)/);
      assert.ok(Date.now() - began < 20_000);
    });

    it("what answers is no SSH server: final at once, and its words cannot write to the terminal", async () => {
      let connections = 0;
      await withServer(
        (socket) => {
          connections++;
          socket.write("HTTP/1.1 400 \x1b[2J Bad Request\r\n".repeat(2_000));
        },
        async (port) => {
          const error = await refused(to(sshd, { port, perDialTimeout: 2 }), {}, "protocol");
          assert.ok(!error.message.includes("\x1b"));
          assert.equal(connections, 1);
        },
      );
    });

    it("MaxStartups is full: it waits and tries again until a place is free", async () => {
      const server = await start("max-startups", { config: "MaxStartups 1:100:1" });
      const { connect: dial } = await import("node:net");
      const idler = dial(server.port, "127.0.0.1");
      await new Promise((resolve) => idler.once("data", resolve));
      setTimeout(() => idler.destroy(), 700);
      await whoami(await open(to(server)));
      assert.ok(count(server, "MaxStartups") >= 1, server.log());
    });
  });

  describe("a command", () => {
    it("gets every byte on stdin and gives every byte back, with its exit status", async () => {
      const link = await open(to(sshd));
      const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join("");
      const ran = await link.run("cat; cat >&2 <<E\nerr\nE\nexit 7", bytes, limits);
      assert.deepEqual(ran, { stdout: bytes, stderr: "err\n", code: 7, signal: null });
      assert.deepEqual(await link.run("kill -TERM $$", "", limits), {
        stdout: "",
        stderr: "",
        code: null,
        signal: "SIGTERM",
      });
    });

    it("gets megabytes on stdin, and may leave them unread", async () => {
      const link = await open(to(sshd));
      const input = "x".repeat(5_000_000);
      assert.equal((await link.run("wc -c", input, limits)).stdout.trim(), "5000000");
      assert.equal((await link.run("exit 4", input, limits)).code, 4);
    });

    it("survives new key exchanges", async () => {
      const server = await start("rekey", { config: "RekeyLimit 1M\nLogLevel DEBUG1" });
      const link = await open(to(server));
      const much = { timeoutMs: 20_000, maxBytes: 20_000_000 };
      const { stdout } = await link.run("cat", "x".repeat(8_000_000), much);
      assert.equal(stdout.length, 8_000_000);
      assert.ok(count(server, "set_newkeys: rekeying") > 4);
      await whoami(link);
    });

    it("without end is cut off at maxBytes, stdout and stderr together, and the link lives on", async () => {
      const link = await open(to(sshd));
      const before = process.memoryUsage().rss;
      for (const command of ["yes", "yes >&2", "yes & yes >&2"]) {
        await rejects(link.run(command, "", limits), "output", /printed more than 100000 bytes/);
      }
      assert.ok(process.memoryUsage().rss - before < 50_000_000);
      await whoami(link);
    });

    it("that hangs is given up at timeoutMs, and the link lives on", async () => {
      const link = await open(to(sshd));
      const began = Date.now();
      await rejects(link.run("sleep 60", "", { ...limits, timeoutMs: 400 }), "timeout", /took longer than 0.4 s/);
      assert.ok(Date.now() - began < 1_500);
      await whoami(link);
    });

    it("waits for its turn where sshd has MaxSessions 1", async () => {
      const link = await open(to(await start("max-sessions", { config: "MaxSessions 1" })));
      const ran = await Promise.all([1, 2, 3].map((at) => link.run(`sleep 0.1; echo ${at}`, "", limits)));
      assert.deepEqual(
        ran.map((each) => each.stdout),
        ["1\n", "2\n", "3\n"],
      );
      for (let at = 0; at < 5; at++) await whoami(link);
    });

    it("is refused in clear words where sshd runs none", async () => {
      const link = await open(to(await start("no-sessions", { config: "MaxSessions 0" })));
      const began = Date.now();
      await rejects(link.run("true", "", limits), "forbidden", /MaxSessions/);
      assert.ok(Date.now() - began < 5_000);
    });

    it("fails when the link dies, and so do all that follow; the process goes on", async () => {
      const link = await open(to(sshd));
      const session = Number((await link.run("echo $PPID", "", limits)).stdout);
      const hanging = link.run("sleep 60", "", limits);
      const ended = assert.rejects(hanging, (error) => error instanceof SshError && error.kind === "disconnected");
      await new Promise((resolve) => setTimeout(resolve, 300));
      process.kill(session, "SIGKILL");
      await ended;
      assert.equal(link.alive, false);
      await rejects(link.run("true", "", limits), "disconnected", /connection/);
      await rejects(link.forward("127.0.0.1", 1, 1_000), "disconnected", /connection/);
    });

    it("after close() is refused", async () => {
      const link = await open(to(sshd));
      link.close();
      assert.equal(link.alive, false);
      await rejects(link.run("true", "", limits), "disconnected", /closed here/);
    });
  });

  describe("a stream from the host", () => {
    it("reaches what listens there, both ways", async () => {
      await withServer(
        (socket) => {
          socket.write("220 ready\r\n");
          socket.on("data", (chunk) => socket.end(`250 ${chunk.toString()}`));
        },
        async (port) => {
          const link = await open(to(sshd));
          const stream = await link.forward("127.0.0.1", port, 2_000);
          let heard = "";
          stream.on("data", (chunk: Buffer) => (heard += chunk.toString("latin1")));
          const ended = new Promise((resolve) => stream.once("end", resolve));
          stream.write("EHLO me\r\n");
          await ended;
          assert.equal(heard, "220 ready\r\n250 EHLO me\r\n");
        },
      );
    });

    it("is refused in clear words: nothing listens there, AllowTcpForwarding no", async () => {
      const link = await open(to(sshd));
      await rejects(link.forward("127.0.0.1", await freePort(), 2_000), "unreachable", /cannot connect to 127.0.0.1/);
      const strict = await open(to(await start("no-forwarding", { config: "AllowTcpForwarding no" })));
      await rejects(strict.forward("127.0.0.1", sshd.port, 2_000), "forbidden", /AllowTcpForwarding/);
      await whoami(strict);
    });
  });

  describe("sudo", function () {
    const program = "{\nid -un; printf '\\377'; cat\n}\n";
    let server: Sshd;
    const sudoers = (text: string) => {
      // In place: the server sees this very file.
      writeFileSync(
        join(place, "sudo/sudoers"),
        `Defaults lecture=never\nDefaults passwd_tries=3\nroot ALL=(ALL) ALL\n${text}\n`,
      );
    };
    before(async function () {
      if (!asRoot || !existsSync("/usr/bin/sudo")) this.skip();
      server = await start("sudo", { config: "PasswordAuthentication yes", ownUsers: { sudoers: "" } });
    });

    const become = async (connection: Partial<Connection>, user = TESTER) => {
      const link = await open(to(server, { user }));
      const { command, inputPrefix } = shellCommand({ host: "h", ...connection });
      return link.run(command, inputPrefix + program, limits);
    };

    it("without a password", async () => {
      sudoers("tester ALL=(ALL) NOPASSWD: ALL");
      assert.deepEqual(await become({ become: true }), { stdout: "root\n\xff", stderr: "", code: 0, signal: null });
    });

    it("with a password, whether sudo asks for it or not, and its words never reach a shell", async () => {
      for (const rule of [
        "tester ALL=(ALL) ALL",
        "tester ALL=(ALL) NOPASSWD: ALL",
        "Defaults timestamp_timeout=-1\ntester ALL=(ALL) ALL",
      ]) {
        sudoers(rule);
        for (let twice = 0; twice < 2; twice++) {
          const ran = await become({ becomePassword: TESTER_PASSWORD });
          assert.deepEqual(ran, { stdout: "root\n\xff", stderr: "", code: 0, signal: null }, rule);
        }
      }
      const asked = await become({ becomePassword: "touch /tmp/never; $(touch /tmp/never)'\"" }, "root");
      assert.deepEqual([asked.stdout, asked.stderr, existsSync("/tmp/never")], ["root\n\xff", "", false]);
    });

    it("a wrong password is tried once, not once for each line of the program", async () => {
      sudoers("tester ALL=(ALL) ALL");
      const ran = await become({ becomePassword: "Secret guess" });
      assert.match(ran.stderr, /sudo: 1 incorrect password attempt/);
      assert.equal(ran.stdout, "");
      const error = becomeError("h", ran.stderr);
      assert.match(String(error), /sudo does not accept becomePassword/);
      assert.doesNotMatch(String(error), /Secret guess/);
    });

    const refusals: { is: string; rule: string; connection: Partial<Connection>; said: RegExp }[] = [
      {
        is: "asks for a password",
        rule: "tester ALL=(ALL) ALL",
        connection: { become: true },
        said: /sudo asks for a password/,
      },
      {
        is: "demands a terminal",
        rule: "Defaults requiretty\ntester ALL=(ALL) NOPASSWD: ALL",
        connection: { become: true },
        said: /sudo demands a terminal/,
      },
      {
        is: "demands a terminal, with a password",
        rule: "Defaults requiretty\ntester ALL=(ALL) ALL",
        connection: { becomePassword: TESTER_PASSWORD },
        said: /sudo demands a terminal/,
      },
      {
        is: "does not know the user",
        rule: "",
        connection: { becomePassword: TESTER_PASSWORD },
        said: /does not let this user/,
      },
      {
        is: "allows another command only",
        rule: "tester ALL=(ALL) NOPASSWD: /bin/true",
        connection: { becomePassword: TESTER_PASSWORD },
        said: /does not let this user|does not accept/,
      },
    ];
    for (const { is, rule, connection, said } of refusals) {
      it(`that ${is} is told in clear words`, async () => {
        sudoers(rule);
        const ran = await become(connection);
        assert.equal(ran.stdout, "");
        assert.match(String(becomeError("h", ran.stderr)), said);
      });
    }

    it("is not blamed for what others say", () => {
      assert.equal(becomeError("h", "postfix: fatal: sudo make me a sandwich"), undefined);
    });
  });

  it("quote() makes one word of anything, for every shell", () => {
    const nasty = ["", "a b", "it's", "$(id)`id`$HOME", "-n", "\\", "\n", "*", "''", "!x", "\x01\x7f", "é"];
    for (const shell of ["dash", "bash", "sh"]) {
      const out = execFileSync(shell, ["-c", `printf '%s\\0' ${nasty.map(quote).join(" ")}`], { encoding: "utf8" });
      assert.deepEqual(out.split("\0").slice(0, -1), nasty);
    }
    assert.throws(() => quote("a\0b"), /NUL/);
  });
});

/** Connects with nothing of this machine's user: a home directory with just these files, an empty environment. */
async function open(
  connection: Connection,
  around: { env?: Record<string, string>; home?: Record<string, string> } = {},
): Promise<Link> {
  const home = join(place, `home${homes++}`);
  mkdirSync(join(home, ".ssh"), { recursive: true });
  for (const [name, text] of Object.entries(around.home ?? {})) writeFileSync(join(home, ".ssh", name), text);
  const link = await connect(connection, { ...surroundings(), env: around.env ?? {}, home });
  links.push(link);
  return link;
}

async function refused(
  connection: Connection,
  around: Parameters<typeof open>[1],
  kind: SshErrorKind,
): Promise<SshError> {
  try {
    await open(connection, around);
  } catch (thrown) {
    assert.ok(thrown instanceof SshError, String(thrown));
    assert.equal(thrown.kind, kind, thrown.message);
    return thrown;
  }
  throw new assert.AssertionError({ message: "the connection was not refused" });
}

async function rejects(promise: Promise<unknown>, kind: SshErrorKind, said: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof SshError, String(error));
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, said);
    return true;
  });
}

async function whoami(link: Link, name = me): Promise<void> {
  const { stdout, code } = await link.run("id -un", "", limits);
  assert.deepEqual([stdout.trim(), code], [name, 0]);
}

function count(server: Sshd, text: string): number {
  return server.log().split(text).length - 1;
}

function fingerprintOf(name: string, type: string): string {
  const [, shown = ""] = execFileSync("ssh-keygen", ["-lf", join(place, name, `host_${type}.pub`)], {
    encoding: "utf8",
  }).split(" ");
  return shown;
}

async function withAgent(keys: readonly string[], use: (socket: string) => Promise<void>): Promise<void> {
  const socket = join(place, `agent${homes++}`);
  const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
  try {
    while (!existsSync(socket)) await new Promise((resolve) => setTimeout(resolve, 10));
    const env = { ...process.env, SSH_AUTH_SOCK: socket };
    for (const key of keys) execFileSync("ssh-add", ["-q", join(place, key)], { env, stdio: "ignore" });
    await use(socket);
  } finally {
    agent.kill();
  }
}

async function withServer(serve: (socket: Socket) => unknown, use: (port: number) => Promise<void>): Promise<void> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    serve(socket);
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  try {
    await use(port);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}
