// The way to a host over another one, both real: with `proxy`, and with ProxyJump of the user's OpenSSH configuration.
import { strict as assert } from "node:assert";
import { connect as dial } from "node:net";
import type { Connection } from "../../../provider/src/ssh/connection.js";
import type { Host } from "../../support/host.js";
import { sampled } from "../../support/sample.js";
import { afterSuite, type Around, limits, rejects, SshClient, whoami } from "../../support/ssh-client.js";
import { nextPort, type Sshd, startSshd, startSshHost } from "../../support/sshd.js";

for (const debian of sampled("trixie")) {
  describe(`ssh over a jump host on ${debian}`, () => {
    const client = new SshClient();
    let host: Host;
    let sshd: Sshd;

    before(async () => {
      host = await startSshHost(debian, client.newKeys({ ed25519: "ed25519", ecdsa: "ecdsa" }));
      sshd = await startSshd(host, { hostKeyTypes: ["ed25519", "ecdsa"] });
    });
    afterSuite(client, () => host);

    const { open, refused, to } = client;
    const over = (jump: Sshd, hostKey: string | undefined = jump.hostKeys["ed25519"]) =>
      to(sshd, { proxy: { ...to(jump), privateKey: client.key("ecdsa"), hostKey } });
    const entry = ({ host, port, hostKeys }: Sshd, type = "ed25519") => `[${host}]:${port} ${hostKeys[type] ?? ""}\n`;
    const configured = (name: string, { host, port }: Sshd, ...lines: string[]) =>
      [`Host ${name}`, `HostName ${host}`, `Port ${port}`, "User root", ...lines, ""].join("\n");

    it("with `proxy` and with ProxyJump, as user@host:port and by its name in the configuration", async () => {
      const jump = await startSshd(host);
      const accepted = () => jump.count("Accepted publickey for root");
      const link = await open(over(jump));
      await whoami(link);
      assert.equal(await accepted(), 1);
      link.close();
      const files = { known_hosts: entry(sshd, "ecdsa") + entry(jump), id_ed25519: client.key("ed25519") };
      const direct = configured("mail", sshd, `ProxyJump root@${jump.host}:${jump.port}`);
      await whoami(await open({ host: "mail" }, { home: { ...files, config: direct } }));
      assert.equal(await accepted(), 2);
      const named = configured("mail", sshd, "ProxyJump gate") + configured("gate", jump);
      await whoami(await open({ host: "mail" }, { home: { ...files, config: named } }));
      assert.equal(await accepted(), 3);
    });

    for (const keyword of ["UserKnownHostsFile", "GlobalKnownHostsFile"]) {
      it(`ProxyJump with a ${keyword} for each of the two: neither's file speaks for the other`, async () => {
        const jump = await startSshd(host);
        const files = { id_ed25519: client.key("ed25519"), of_mail: entry(sshd), of_gate: entry(jump) };
        // GlobalKnownHostsFile has no ~.
        const place = (name: string) => (keyword.startsWith("User") ? `~/.ssh/${name}` : `%d/.ssh/${name}`);
        const config = (mail: string, gate: string) =>
          configured("mail", sshd, "ProxyJump gate", `${keyword} ${place(mail)}`) +
          configured("gate", jump, `${keyword} ${place("none_such")} ${place(gate)}`);
        await whoami(await open({ host: "mail" }, { home: { ...files, config: config("of_mail", "of_gate") } }));
        const before = await sshd.log();
        const one = await refused(
          { host: "mail" },
          { home: { ...files, config: config("of_mail", "of_mail") } },
          "host-key",
        );
        assert.ok(one.message.startsWith(`root@${jump.host}:${jump.port}: the host key is not known`), one.message);
        assert.equal(await sshd.log(), before);
        const other = await refused(
          { host: "mail" },
          { home: { ...files, config: config("of_gate", "of_gate") } },
          "host-key",
        );
        assert.ok(other.message.startsWith(`root@${sshd.host}:${sshd.port}: the host key is not known`), other.message);
      });
    }

    it("is verified before anything is sent to it, and the host behind it is not dialled", async () => {
      const jump = await startSshd(host, { config: "LogLevel DEBUG1" });
      const before = await sshd.log();
      const wrong = sshd.hostKeys["ed25519"] ?? "";
      const right = jump.hostKeys["ed25519"] ?? "";
      const name = `[${jump.host}]:${jump.port}`;
      const changed = /THE HOST KEY IS NOT THE EXPECTED ONE/;
      const revoked = /REVOKED HOST KEY/;
      const cases: { is: string; known_hosts: string; pin?: string; said: RegExp }[] = [
        { is: "unknown", known_hosts: "", said: /the host key is not known/ },
        { is: "changed", known_hosts: `${name} ${wrong}`, said: changed },
        { is: "of a wildcard entry", known_hosts: `[${jump.host.replace(/\d+$/, "*")}]:* ${wrong}`, said: changed },
        { is: "revoked", known_hosts: `${name} ${right}\n@revoked * ${right}`, said: revoked },
        { is: "pinned as another", known_hosts: `${name} ${right}`, pin: wrong, said: changed },
        {
          is: "pinned as another's fingerprint",
          known_hosts: "",
          pin: sshd.fingerprints["ed25519"] ?? "",
          said: changed,
        },
        { is: "pinned and revoked", known_hosts: `@revoked * ${right}`, pin: right, said: revoked },
      ];
      const config = configured("mail", sshd, "ProxyJump gate") + configured("gate", jump);
      for (const { is, known_hosts, pin, said } of cases) {
        const ways: [Connection, Around][] = [
          [{ ...over(jump), proxy: { ...to(jump), hostKey: pin } }, { home: { known_hosts } }],
          // ProxyJump has no hostKey for the jump host; the one for the host does not speak for it.
          ...(pin === undefined
            ? [
                [
                  { host: "mail", hostKey: wrong },
                  { home: { config, known_hosts, id_ed25519: client.key("ed25519") } },
                ] satisfies [Connection, Around],
              ]
            : []),
        ];
        for (const [connection, around] of ways) {
          const { message } = await refused(connection, around, "host-key");
          assert.match(message, said, is);
          assert.ok(message.startsWith(`root@${jump.host}:${jump.port}: `), message);
        }
      }
      assert.doesNotMatch(await jump.log(), /userauth-request/);
      assert.equal(await sshd.log(), before);
      await whoami(await open(over(jump)));
      assert.match(await jump.log(), /userauth-request/);
      assert.notEqual(await sshd.log(), before);
    });

    it("does not spare the host behind it the verification", async () => {
      const jump = await startSshd(host);
      const error = await refused({ ...over(jump), hostKey: undefined }, {}, "host-key");
      assert.ok(error.message.startsWith(`root@${sshd.host}:${sshd.port}: the host key is not known`));
    });

    it("takes the link with it when it dies, and is closed with it", async () => {
      const jump = await startSshd(host);
      const first = await open(over(jump));
      first.close();
      while ((await jump.count("Disconnected from user")) === 0) await new Promise((next) => setTimeout(next, 20));
      const link = await open(over(jump));
      const ended = rejects(link.run("sleep 60", "", limits), "disconnected", /connection/);
      // Each connection has a monitor, which ends by itself when who is below it does.
      await host.run(
        `for monitor in $(pgrep -P ${jump.pid}); do pkill -KILL -P $monitor; kill -KILL $monitor; done || :`,
      );
      await ended;
      assert.equal(link.alive, false);
    });

    it("waits for a host behind it that turns connections away (MaxStartups)", async () => {
      const [jump, busy] = [await startSshd(host), await startSshd(host, { config: "MaxStartups 1:100:1" })];
      const idler = dial(busy.port, busy.host);
      await new Promise((resolve) => idler.once("data", resolve));
      setTimeout(() => idler.destroy(), 500);
      const { port, hostKey } = to(busy);
      await whoami(await open({ ...over(jump), port, hostKey }));
      assert.match(await busy.log(), /drop connection.*maxstartups/i);
      assert.equal(await jump.count("Connection from "), 1);
    });

    it("that forbids forwarding, or finds nothing behind it, is told", async () => {
      const forbids = await startSshd(host, { config: "AllowTcpForwarding no" });
      assert.match((await refused(over(forbids), {}, "forbidden")).message, /AllowTcpForwarding/);
      const nowhere = { ...over(await startSshd(host)), port: nextPort(host), dialErrorLimit: 1 };
      assert.match((await refused(nowhere, {}, "unreachable")).message, /not reachable over the jump host/);
    });
  });
}
