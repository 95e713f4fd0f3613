// What runs over a connection: commands and streams, their limits, and every way in which they end.
import { strict as assert } from "node:assert";
import { connect as dial, createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { SshError } from "../../../provider/src/ssh/errors.js";
import type { Host } from "../../support/host.js";
import { sampled } from "../../support/sample.js";
import { afterSuite, limits, rejects, SshClient, whoami } from "../../support/ssh-client.js";
import { type Sshd, startSshd, startSshHost } from "../../support/sshd.js";

for (const debian of sampled("bookworm")) {
  describe(`over an ssh connection to ${debian}`, () => {
    const client = new SshClient();
    let host: Host;
    let sshd: Sshd;

    before(async () => {
      host = await startSshHost(debian, client.newKeys({ ed25519: "ed25519" }));
      sshd = await startSshd(host);
    });
    afterSuite(client, () => host);

    const { open, to } = client;

    describe("a command", () => {
      it("gets every byte on stdin and gives every byte back, with its exit status", async () => {
        const link = await open(to(sshd));
        const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join("");
        const ran = await link.run("cat; cat >&2 <<E\nerr\nE\nexit 7", bytes, limits);
        assert.deepEqual(ran, { stdout: bytes, stderr: "err\n", code: 7, signal: null });
        const killed = await link.run("kill -TERM $$", "", limits);
        assert.deepEqual(killed, { stdout: "", stderr: "", code: null, signal: "SIGTERM" });
      });

      it("keeps its exit status where all of its answer comes in one piece", async () => {
        const { port, stop } = await slowly(sshd);
        try {
          const link = await open(to(sshd, { host: "127.0.0.1", port }));
          for (const [command, code, signal] of [
            ["echo a; echo b >&2; exit 7", 7, null],
            ["echo a; echo b >&2; kill -TERM $$", null, "SIGTERM"],
          ] as const) {
            assert.deepEqual(await link.run(command, "", limits), { stdout: "a\n", stderr: "b\n", code, signal });
          }
          assert.deepEqual(await link.run("exit 3", "", limits), { stdout: "", stderr: "", code: 3, signal: null });
        } finally {
          stop();
        }
      });

      it("that sshd gives up without an exit status is no result", async () => {
        const link = await open(to(await startSshd(host, { config: "ChannelTimeout session:command=1s" })));
        await rejects(link.run("echo half; sleep 60", "", limits), "disconnected", /without telling how it went/);
        await whoami(link);
      });

      it("gets megabytes on stdin, and may leave them unread", async () => {
        const link = await open(to(sshd));
        const input = "x".repeat(5_000_000);
        assert.equal((await link.run("wc -c", input, limits)).stdout.trim(), "5000000");
        assert.equal((await link.run("exit 4", input, limits)).code, 4);
      });

      it("survives new key exchanges", async () => {
        const server = await startSshd(host, { config: "RekeyLimit 1M\nLogLevel DEBUG1" });
        const link = await open(to(server));
        const much = { timeoutMs: 20_000, maxBytes: 20_000_000 };
        const { stdout } = await link.run("cat", "x".repeat(8_000_000), much);
        assert.equal(stdout.length, 8_000_000);
        assert.ok((await server.count("set_newkeys: rekeying")) > 4);
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
        const link = await open(to(await startSshd(host, { config: "MaxSessions 1" })));
        const ran = await Promise.all([1, 2, 3].map((at) => link.run(`sleep 0.1; echo ${at}`, "", limits)));
        assert.deepEqual(
          ran.map((each) => each.stdout),
          ["1\n", "2\n", "3\n"],
        );
        for (let at = 0; at < 5; at++) await whoami(link);
      });

      it("is refused in clear words where sshd runs none", async () => {
        const link = await open(to(await startSshd(host, { config: "MaxSessions 0" })));
        const began = Date.now();
        await rejects(link.run("true", "", limits), "forbidden", /MaxSessions/);
        assert.ok(Date.now() - began < 5_000);
      });

      it("fails when the link dies, and so do all that follow; the process goes on", async () => {
        const link = await open(to(sshd));
        const session = (await link.run("echo $PPID", "", limits)).stdout.trim();
        const ended = assert.rejects(
          link.run("sleep 60", "", limits),
          (error) => error instanceof SshError && error.kind === "disconnected",
        );
        await new Promise((resolve) => setTimeout(resolve, 300));
        await host.run(`kill -KILL ${session}`);
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
        const link = await open(to(sshd));
        const stream = await link.forward("127.0.0.1", 25, 2_000);
        let heard = "";
        const ended = new Promise((resolve) => stream.once("end", resolve));
        stream.on("data", (chunk: Buffer) => {
          // Postfix takes no command before its greeting.
          if (heard === "") stream.write("QUIT\r\n");
          heard += chunk.toString("latin1");
        });
        await ended;
        assert.match(heard, /^220 mail\.example\.com .*\r\n221 2\.0\.0 Bye\r\n$/);
      });

      it("is refused in clear words: nothing listens there, AllowTcpForwarding no", async () => {
        const link = await open(to(sshd));
        await rejects(link.forward("127.0.0.1", 1, 2_000), "unreachable", /cannot connect to 127.0.0.1/);
        const strict = await open(to(await startSshd(host, { config: "AllowTcpForwarding no" })));
        await rejects(strict.forward("127.0.0.1", 25, 2_000), "forbidden", /AllowTcpForwarding/);
        await whoami(strict);
      });
    });
  });
}

const LUMP_MS = 150;

/** A way to the server on which its bytes arrive in lumps, as over a slow line. */
async function slowly(to: Sshd): Promise<{ port: number; stop: () => void }> {
  const server: Server = createServer((near) => {
    const far = dial(to.port, to.host);
    const held: Buffer[] = [];
    const timer = setInterval(() => {
      near.write(Buffer.concat(held.splice(0)));
    }, LUMP_MS);
    near.on("data", (chunk) => far.write(chunk)).on("error", () => far.destroy());
    far.on("data", (chunk) => held.push(chunk)).on("error", () => near.destroy());
    near.on("close", () => {
      clearInterval(timer);
      far.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as AddressInfo).port, stop: () => server.close() };
}
