// Hostile arguments that check lets pass, on real hosts: no command runs, no second setting is written, the odd password opens
// the mailbox, and nothing stays.
import { strict as assert } from "node:assert";
import fc from "fast-check";
import { removeAll, same } from "../support/cuts.js";
import { startHost, type Host } from "../support/host.js";
import { canary, hostileText, oddPassword, oddRecipient, oddUsername } from "../support/hostile.js";
import { login } from "../support/mail-client.js";
import { create } from "../support/resources.js";
import { sampled, soaking } from "../support/sample.js";

const separators = Array.from("%;|&!?^~*=+,/");
/** `npm run soak` takes more of each. */
const count = soaking ? 100 : 16;
const rounds = soaking ? separators : separators.slice(0, 2);

const sample = <T>(arbitrary: fc.Arbitrary<T>, n: number): T[] => fc.sample(arbitrary, { numRuns: n, seed: 20261124 });

for (const debian of sampled("bookworm")) {
  describe(`hostile arguments on ${debian}`, function () {
    this.timeout(600_000);
    let host: Host;
    let pristine: Map<string, string>;

    before(async () => {
      host = await startHost(debian);
      await host.run("echo 'auth_failure_delay = 0' >>/etc/dovecot/local.conf && doveadm reload");
      // Then a new server is asked by a tool of the host's own, whose arguments are ours.
      await host.run("echo 'AllowTcpForwarding no' >/etc/ssh/sshd_config.d/a.conf && kill -HUP $(cat /run/sshd.pid)");
      pristine = await host.files();
    });
    after(() => host.stop());
    afterEach(async () => {
      assert.equal(await host.run(`ls -d ${canary}* /root/* / 2>/dev/null | grep -v ^/$ || true`), "");
      same(await host.files(), pristine);
    });

    /** What the daemons' own tools tell, one setting a line, with the blocks they stand in. */
    const settings = async (): Promise<string[]> =>
      (await host.run("doveconf -n | grep -v '^#'; postconf -n; postconf -P; postconf -M")).split("\n");

    /** Lines that `work` adds; it may take none away. */
    async function added(work: () => Promise<unknown>): Promise<string[]> {
      const then = await settings();
      await work();
      const now = await settings();
      const left = [...now];
      for (const line of then) {
        const at = left.indexOf(line);
        assert.ok(at >= 0, `lost: ${line}`);
        left.splice(at, 1);
      }
      return left;
    }

    for (const [round, separator] of rounds.entries()) {
      it(`${count} master users with odd names and passwords behind "${separator}" log in, and nothing else changes`, async () => {
        const users = sample(
          fc.uniqueArray(
            fc.record({ username: oddUsername, password: oddPassword, name: hostileText, client: fc.nat(250) }),
            { minLength: count, maxLength: count, selector: ({ username }) => username },
          ),
          round + 1,
        )[round];
        assert.ok(users);
        const kind = "MasterUser";
        let all: Awaited<ReturnType<typeof create>>[] = [];
        const lines = await added(async () => {
          all = await Promise.all(
            users.map(({ username, password, name }, n) =>
              create(host, { kind, name: `${n}${name}` }, { username, password, separator }),
            ),
          );
        });
        const file = "/etc/dovecot/pulumi-dovecot-postfix.master";
        assert.deepEqual(
          lines.map((line) => line.trim()).sort(),
          [
            `auth_master_user_separator = ${separator}`,
            ...["driver = passwd-file", "master = yes", "result_success = continue", "}"],
            ...(debian === "bookworm"
              ? ["passdb {", `args = username_format=%u ${file}.%s`]
              : ["passdb pulumi_dovecot_postfix {", `passwd_file_path = ${file}.%{protocol}`]),
          ].sort(),
        );
        for (const path of ["imap", "sieve"]) {
          const rows = (await host.read(`${file}.${path}`)).trimEnd().split("\n");
          assert.deepEqual(rows.map((row) => row.split(":")[0]).sort(), users.map(({ username }) => username).sort());
          for (const row of rows) assert.match(row, /^[^:]+:\{SHA512-CRYPT\}\$6\$[\w./$=]+::::::$/);
        }
        const opens = ({ username, client }: { username: string; client: number }, password: string) =>
          login({ client: host, to: "127.0.0.1", from: `127.${round + 1}.${client}.9` }, "imap", [
            `alice@example.com${separator}${username}`,
            password,
          ]);
        // Not all at once: the last would wait longer for its greeting than a client does.
        for (let n = 0; n < users.length; n += 10) {
          await Promise.all(
            users.slice(n, n + 10).map(async (user) => {
              assert.ok(await opens(user, user.password), JSON.stringify(user));
            }),
          );
        }
        assert.equal(await opens({ username: users[0]?.username ?? "", client: 251 }, "wrong password"), false);
        await removeAll(all);
      });
    }

    it("recipients that a shell would run are put to the new server as they are", async () => {
      const warnings = sample(oddRecipient, soaking ? 60 : 6).map(async (probeRecipient, n) => {
        // The host's own smtpd answers, and with the host's own name: so the question is asked, and the answer refused.
        const asked = create(
          host,
          { kind: "OutboundRelay", stack: String(n) },
          { server: "127.0.0.1", probeRecipient, onRefusal: "fail" },
        );
        await assert.rejects(asked, /127\.0\.0\.1/);
      });
      await Promise.all(warnings);
    });
  });
}
