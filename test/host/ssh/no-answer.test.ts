// A host that does not answer, or turns away: how often it is tried, how long, and when it is given up at once.
import { strict as assert } from "node:assert";
import { createServer, connect as dial, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import type { Connection } from "../../../provider/src/ssh/connection.js";
import type { Host } from "../../support/host.js";
import { sampled } from "../../support/sample.js";
import { afterSuite, SshClient, whoami } from "../../support/ssh-client.js";
import { nextPort, type Sshd, startSshd, startSshHost } from "../../support/sshd.js";

for (const debian of sampled("trixie")) {
  describe(`ssh without an answer from ${debian}`, () => {
    const client = new SshClient();
    let host: Host;

    before(async () => {
      client.newKeys({ stranger: "ed25519" });
      host = await startSshHost(debian, client.newKeys({ ed25519: "ed25519" }));
    });
    afterSuite(client, () => host);

    const { open, refused, to } = client;
    /** To what is no sshd, at this end. */
    const toPort = (port: number, change: Partial<Connection> = {}): Connection => ({
      ...{ host: "127.0.0.1", port, user: "root", privateKey: client.key("ed25519") },
      ...change,
    });

    it("is tried as often as dialErrorLimit says, and the error names host, port and what to check", async () => {
      const { host: address } = host.connection;
      const port = nextPort(host);
      const error = await refused(toPort(port, { host: address, dialErrorLimit: 3 }), {}, "unreachable");
      assert.ok(error.message.startsWith(`root@${address}:${port}: no answer in 3 tries `), error.message);
      assert.match(error.message, /ECONNREFUSED.*\nWhat to do: Nothing listens on this port/);
    });

    it("that comes up meanwhile is reached", async () => {
      const port = nextPort(host);
      const late = new Promise<Sshd>((resolve, reject) => {
        setTimeout(() => {
          startSshd(host, { port }).then(resolve, reject);
        }, 300);
      });
      const error = await refused(toPort(port, { host: host.connection.host }), {}, "host-key");
      assert.match(error.message, /the host key is not known/);
      await whoami(await open(to(await late)));
    });

    it("takes the connection and is silent: costs perDialTimeout a try, no more", async () => {
      await listening(
        () => undefined,
        async (port) => {
          const began = Date.now();
          const error = await refused(toPort(port, { perDialTimeout: 0.3, dialErrorLimit: 2 }), {}, "unreachable");
          assert.match(error.message, /no SSH server answered in 0.3 s/);
          assert.ok(Date.now() - began < 2_000);
        },
      );
    });

    it("drops packets: costs perDialTimeout a try, no more", async () => {
      const began = Date.now();
      // 192.0.2.0/24 is for documentation: whatever is between answers with nothing or "unreachable".
      const connection = toPort(22, { host: "192.0.2.1", perDialTimeout: 0.3, dialErrorLimit: 2 });
      await refused(connection, {}, "unreachable");
      assert.ok(Date.now() - began < 2_000);
    });

    it("has a name that does not exist: final at once", async () => {
      const began = Date.now();
      const error = await refused(toPort(22, { host: "no-such-name.invalid", dialErrorLimit: 1 }), {}, "unreachable");
      assert.match(error.message, /cannot connect \((ENOTFOUND|EAI_AGAIN)\)/);
      assert.ok(Date.now() - began < 20_000);
    });

    it("answers, but is no SSH server: final at once, and its words cannot write to the terminal", async () => {
      let connections = 0;
      await listening(
        (socket) => {
          connections++;
          socket.write("HTTP/1.1 400 \x1b[2J Bad Request\r\n".repeat(2_000));
        },
        async (port) => {
          const error = await refused(toPort(port, { perDialTimeout: 2 }), {}, "protocol");
          assert.ok(!error.message.includes("\x1b"));
          assert.equal(connections, 1);
        },
      );
    });

    describe("that turns connections away", () => {
      it("for MaxStartups: it waits and tries again until a place is free", async () => {
        const server = await startSshd(host, { config: "MaxStartups 1:100:1" });
        const idler = dial(server.port, server.host);
        await new Promise((resolve) => idler.once("data", resolve));
        setTimeout(() => idler.destroy(), 700);
        await whoami(await open(to(server)));
        assert.match(await server.log(), /drop connection.*maxstartups/i);
      });

      it("for MaxStartups for good: pauses double, no two programs keep step, and dialErrorLimit ends it", async () => {
        const server = await startSshd(host, { config: "MaxStartups 1:100:1" });
        const idler = dial(server.port, server.host);
        await new Promise((resolve) => idler.once("data", resolve));
        const dialErrorLimit = 4;
        const pauses = await Promise.all(
          Array.from({ length: 10 }, async () => {
            const { times, port, stop } = await counting(server);
            const error = await refused(to(server, { host: "127.0.0.1", port, dialErrorLimit }), {}, "unreachable");
            stop();
            assert.match(error.message, /no answer in 4 tries and [1-3] s.*\nWhat to do: .*MaxStartups/);
            assert.equal(times.length, dialErrorLimit);
            return times.slice(1).map((time, at) => time - (times[at] ?? 0));
          }),
        );
        idler.destroy();
        for (const own of pauses) {
          for (const [at, pause] of own.entries()) {
            const mean = 200 * 2 ** at;
            // One try itself takes a moment, more on a busy machine.
            assert.ok(pause >= 0.5 * mean - 5 && pause < 1.5 * mean + 500, `pause ${at + 1}: ${pause} ms`);
          }
        }
        const last = pauses.map((own) => own.at(-1) ?? 0);
        assert.ok(Math.max(...last) - Math.min(...last) > 150, `in step: ${last.join(", ")}`);
      });

      if (debian === "trixie") {
        it("for logins that failed (PerSourcePenalties): this is told, and none of the tries logs in", async () => {
          const server = await startSshd(host, { config: "PerSourcePenalties authfail:60s min:1s" });
          const wrong = to(server, { privateKey: client.key("stranger") });
          await refused(wrong, {}, "authentication");
          assert.equal(await server.count("Connection from "), 1);
          const { message } = await refused(to(server, { dialErrorLimit: 2 }), {}, "unreachable");
          assert.match(message, /this address is banned there \(fail2ban, PerSourcePenalties/);
        });
      }
    });
  });
}

async function listening(serve: (socket: Socket) => unknown, use: (port: number) => Promise<void>): Promise<void> {
  const { port, stop } = await listen(serve);
  try {
    await use(port);
  } finally {
    stop();
  }
}

/** A way to the server, and when each connection over it began. */
async function counting(to: Sshd): Promise<{ times: number[]; port: number; stop: () => void }> {
  const times: number[] = [];
  const listener = await listen((near) => {
    times.push(Date.now());
    const far = dial(to.port, to.host);
    far.on("error", () => near.destroy());
    near.on("close", () => far.destroy());
    near.pipe(far).pipe(near);
  });
  return { times, ...listener };
}

async function listen(serve: (socket: Socket) => unknown): Promise<{ port: number; stop: () => void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, stop };
}
