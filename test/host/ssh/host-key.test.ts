// Which server is trusted: what hostKey and known_hosts say of its key, before anything is sent to it.
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import type { Host } from "../../support/host.js";
import { sampled } from "../../support/sample.js";
import { afterSuite, SshClient } from "../../support/ssh-client.js";
import { type Sshd, startSshd, startSshHost } from "../../support/sshd.js";

for (const debian of sampled("bookworm")) {
  describe(`ssh host keys on ${debian}`, () => {
    const client = new SshClient();
    let host: Host;
    let sshd: Sshd;

    before(async () => {
      host = await startSshHost(debian, client.newKeys({ ed25519: "ed25519" }));
      sshd = await startSshd(host, { hostKeyTypes: ["ed25519", "ecdsa", "rsa"] });
    });
    afterSuite(client, () => host);

    const { open, refused, to } = client;
    const identified = async (server: Sshd) => (await server.log()).includes("userauth-request");
    const nameOf = ({ host, port }: Sshd) => `[${host}]:${port}`;

    it("unknown: an error that prints what ssh-keygen prints, and nothing is sent", async () => {
      const server = await startSshd(host, { config: "LogLevel DEBUG1" });
      const error = await refused(to(server, { hostKey: undefined }), {}, "host-key");
      assert.ok(error.message.includes(`hostKey: "${server.fingerprints["ed25519"] ?? ""}"`));
      assert.ok(error.message.includes(`${nameOf(server)} ${server.hostKeys["ed25519"] ?? ""}`));
      assert.ok(!(await identified(server)));
      await open(to(server));
      assert.ok(await identified(server), "this log tells a login, so that its absence means something");
    });

    it("known: plain, hashed by ssh-keygen, as a wildcard, by the line that the error gave", async () => {
      const line = /add this line to .*:\n {2}(.*)/.exec(
        (await refused(to(sshd, { hostKey: undefined }), {}, "host-key")).message,
      );
      const key = sshd.hostKeys["ed25519"] ?? "";
      const file = client.path("to-hash");
      writeFileSync(file, `${nameOf(sshd)} ${key}\n`);
      execFileSync("ssh-keygen", ["-H", "-f", file], { stdio: "ignore" });
      const hashed = readFileSync(file, "utf8");
      assert.match(hashed, /^\|1\|/);
      const wildcard = `[${sshd.host.replace(/\d+$/, "*")}]:* ${key}`;
      for (const known_hosts of [`${nameOf(sshd)} ${key}`, hashed, wildcard, line?.[1] ?? ""]) {
        await open(to(sshd, { hostKey: undefined }), { home: { known_hosts } });
      }
    });

    it("of a host with several keys: the one that is known is asked for, whichever it is", async () => {
      for (const type of ["ed25519", "ecdsa", "rsa"]) {
        const known_hosts = `${sshd.host} ${sshd.hostKeys[type] ?? ""}`;
        await open(to(sshd, { hostKey: undefined }), { home: { known_hosts } });
        await open(to(sshd, { hostKey: sshd.hostKeys[type] }));
      }
    });

    it("pinned as the fingerprint of any of its keys", async () => {
      for (const hostKey of Object.values(sshd.fingerprints)) await open(to(sshd, { hostKey }));
    });

    it("changed, pinned as another one, revoked, on a wildcard: refused before anything is sent", async () => {
      const server = await startSshd(host, { config: "LogLevel DEBUG1" });
      const old = sshd.hostKeys["ed25519"] ?? "";
      const now = server.hostKeys["ed25519"] ?? "";
      const cases: { hostKey?: string | undefined; known_hosts?: string; said: RegExp }[] = [
        { known_hosts: `${server.host} ${old}`, said: /THE HOST KEY IS NOT THE EXPECTED ONE/ },
        { known_hosts: `${nameOf(server)} ${old}`, said: /THE HOST KEY IS NOT THE EXPECTED ONE/ },
        { known_hosts: `* ${old}`, said: /THE HOST KEY IS NOT THE EXPECTED ONE/ },
        { known_hosts: `* ${now}\n@revoked * ${now}`, said: /REVOKED HOST KEY/ },
        { hostKey: now, known_hosts: `@revoked * ${now}`, said: /REVOKED HOST KEY/ },
        { hostKey: old, said: /THE HOST KEY IS NOT THE EXPECTED ONE/ },
        { hostKey: sshd.fingerprints["rsa"], said: /THE HOST KEY IS NOT THE EXPECTED ONE/ },
      ];
      for (const { hostKey, known_hosts, said } of cases) {
        const around = known_hosts === undefined ? {} : { home: { known_hosts } };
        assert.match((await refused(to(server, { hostKey }), around, "host-key")).message, said);
      }
      assert.ok(!(await identified(server)));
    });
  });
}
