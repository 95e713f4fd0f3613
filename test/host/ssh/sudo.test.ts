// Becoming root with a real sudo: what reaches the shell behind it, and what is told where it refuses.
import { strict as assert } from "node:assert";
import { becomeError, shellCommand } from "../../../provider/src/ssh/become.js";
import type { Connection } from "../../../provider/src/ssh/connection.js";
import type { Ran } from "../../../provider/src/ssh/link.js";
import type { Host } from "../../support/host.js";
import { sampled } from "../../support/sample.js";
import { afterSuite, limits, SshClient } from "../../support/ssh-client.js";
import { type Sshd, startSshd, startSshHost, TESTER, TESTER_PASSWORD } from "../../support/sshd.js";

for (const debian of sampled("bookworm")) {
  describe(`sudo over ssh on ${debian}`, () => {
    const client = new SshClient();
    const program = "{\nid -un; printf '\\377'; cat\n}\n";
    let host: Host;
    let sshd: Sshd;

    before(async () => {
      host = await startSshHost(debian, client.newKeys({ ed25519: "ed25519" }));
      sshd = await startSshd(host);
    });
    afterSuite(client, () => host);

    const sudoers = (text: string) =>
      host.write("/etc/sudoers.d/tester", `Defaults lecture=never\nDefaults passwd_tries=3\n${text}\n`, "0440");

    async function become(connection: Partial<Connection>, user = TESTER): Promise<Ran> {
      const link = await client.open(client.to(sshd, { user }));
      const { command, inputPrefix } = shellCommand({ host: "h", ...connection });
      return link.run(command, inputPrefix + program, limits);
    }

    it("without a password", async () => {
      await sudoers("tester ALL=(ALL) NOPASSWD: ALL");
      assert.deepEqual(await become({ become: true }), { stdout: "root\n\xff", stderr: "", code: 0, signal: null });
    });

    it("with a password, whether sudo asks for it or not, and its words never reach a shell", async () => {
      for (const rule of [
        "tester ALL=(ALL) ALL",
        "tester ALL=(ALL) NOPASSWD: ALL",
        "Defaults timestamp_timeout=-1\ntester ALL=(ALL) ALL",
      ]) {
        await sudoers(rule);
        for (let twice = 0; twice < 2; twice++) {
          const ran = await become({ becomePassword: TESTER_PASSWORD });
          assert.deepEqual(ran, { stdout: "root\n\xff", stderr: "", code: 0, signal: null }, rule);
        }
      }
      const asked = await become({ becomePassword: "touch /tmp/never; $(touch /tmp/never)'\"" }, "root");
      assert.deepEqual([asked.stdout, asked.stderr], ["root\n\xff", ""]);
      await host.run("test ! -e /tmp/never");
    });

    it("a wrong password is tried once, not once for each line of the program", async () => {
      await sudoers("tester ALL=(ALL) ALL");
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
        await sudoers(rule);
        const ran = await become(connection);
        assert.equal(ran.stdout, "");
        assert.match(String(becomeError("h", ran.stderr)), said);
      });
    }

    it("is not blamed for what others say", () => {
      assert.equal(becomeError("h", "postfix: fatal: sudo make me a sandwich"), undefined);
    });
  });
}
