// A key that may only look: installed as `npx pulumi-dovecot-postfix observer` prints it, it plans, and gives nothing more.
import { strict as assert } from "node:assert";
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import {
  DovecotProxyTrust,
  MasterUser,
  OutboundRelay,
  PostfixXclientTrust,
  RelayAcceptance,
} from "pulumi-dovecot-postfix";
import type { HostPlan } from "pulumi-dovecot-postfix/plan";
import { Client, type ClientChannel } from "ssh2";
import { observerPath } from "../../provider/src/host/observer.js";
import { heading, script } from "../../provider/src/host/wire.js";
import { markerRecords } from "../../provider/src/layouts/index.js";
import { hostText } from "../../provider/src/plan/text.js";
import { planHost } from "../../provider/src/preview/plan-host.js";
import { check } from "../../provider/src/runtime/index.js";
import { startHost, type Host } from "../support/host.js";
import { create, type Resource } from "../support/resources.js";
import { sampled } from "../support/sample.js";
import { newKey } from "../support/ssh-client.js";
import { createStack } from "../support/stack.js";

const command = resolve(__dirname, "../../provider/dist/cli/index.js");
const password = "correct-horse-battery-staple";
const users = ["root", "mail-observer"] as const;
type User = (typeof users)[number];

for (const debian of sampled("trixie")) {
  describe(`a key that may only look, on ${debian}`, () => {
    let host: Host;
    let next: Host;
    let directory: string;
    /** What the key must never show. */
    let secrets: string[];
    let master: Resource;

    const key = (user: User) => join(directory, user);
    const printed = (user: User) =>
      execFileSync(process.execPath, [command, "observer", "--key", `${key(user)}.pub`, "--user", user], {
        encoding: "latin1",
      });
    const connectionOf = (user: User) => ({ ...host.connection, user, privateKey: readFileSync(key(user), "utf8") });

    before(async () => {
      [host, next] = await Promise.all([startHost(debian), startHost(debian)]);
      directory = mkdtempSync(join(tmpdir(), "observer-"));
      for (const user of users) newKey(key(user), "ed25519");
      await next.run(
        `postconf -e "myhostname = new.example.net" "mynetworks = 127.0.0.0/8 ${host.address}/32"; touch -d "-5 seconds" /etc/postfix/main.cf; postfix reload`,
      );
      // Of the administrator, another stack's, and of the system.
      await host.run(
        `printf 'imapc_password = canary-imapc\\n#doveadm_password: canary-comment\\n' >/etc/dovecot/conf.d/99-secret.conf
         printf 'canary-file\\n' >/root/secret && chmod 600 /root/secret
         echo '[relay.example.net] user:canary-relay' >/etc/postfix/sasl && chmod 600 /etc/postfix/sasl
         touch -d '-5 seconds' /etc/postfix/*.cf; doveadm reload`,
      );
      master = await create(host, { kind: "MasterUser", stack: "other" }, { username: "other", password });
      const hash = (text: string) => text.trim().split(":")[1] ?? assert.fail();
      secrets = [
        ...["canary-", password],
        hash(await host.read("/etc/dovecot/pulumi-dovecot-postfix.master.imap")),
        hash(await host.read("/etc/dovecot/users")),
        (await host.read("/etc/ssh/ssh_host_ed25519_key")).split("\n")[2] ?? assert.fail(),
        (await host.read("/etc/ssl/private/ssl-cert-snakeoil.key")).split("\n")[2] ?? assert.fail(),
      ];
      await host.run("while ls /run/dovecot/*.binary.* >/dev/null 2>&1; do sleep 0.05; done");
    });
    after(async () => {
      rmSync(directory, { recursive: true, force: true });
      await Promise.all([host.stop(), next.stop()]);
    });

    /** Without what sudo keeps of its own. */
    const files = async () =>
      new Map([...(await host.files())].filter(([path]) => !/^\/(run|var\/lib)\/sudo/.test(path)));

    async function unchanged<T>(work: () => Promise<T>): Promise<T> {
      const before = await files();
      const result = await work();
      assert.deepEqual(await files(), before);
      return result;
    }

    const args = () => ({
      DovecotProxyTrust: { proxies: ["203.0.113.10", "2001:db8::10"] },
      PostfixXclientTrust: { proxies: ["203.0.113.10"], services: ["submission/inet"] },
      MasterUser: { username: "vmadmin", password },
      RelayAcceptance: { servers: [next.address] },
      OutboundRelay: { server: next.address },
    });

    /** The plan of all five, as a preview makes it. */
    async function plan(connection: object, kinds: Readonly<Record<string, object>> = args()): Promise<HostPlan> {
      const stack = "organization/mail/test";
      const declared = await Promise.all(
        Object.entries(kinds).map(async ([kind, given]) => {
          const identity = { kind, owner: `${stack}/${kind}/${kind}` };
          const { inputs, failures } = await check({} as never, { ...given, connection, identity, drift: [] });
          assert.deepEqual(failures, []);
          return inputs;
        }),
      );
      const asked = { stack, declared, unknown: [], goes: () => false };
      return planHost({ ...asked, connection: connection as Parameters<typeof planHost>[0]["connection"] });
    }

    it("is installed as it is printed, also twice, and an administrator's own tools are content with it", async () => {
      for (const user of users) await host.run("sh", { input: printed(user) });
      await host.run("visudo -c");
      assert.match(await host.run("sudo -l -U mail-observer"), /NOPASSWD: \/usr\/local\/sbin\/\S+ ""\n?$/);
      assert.match(await host.run(`stat -c '%a %U' ${observerPath}`), /^755 root$/m);
      await unchanged(async () => {
        for (const user of users) await host.run("sh", { input: printed(user) });
      });
      assert.match(
        printed("root"),
        /^authorized_key='restrict,command="env -i \/usr\/local\/sbin\/\S+" ssh-ed25519 \S+'$/m,
      );
      assert.match(printed("mail-observer"), /^sudoers='mail-observer ALL=\(root\) NOPASSWD: \/\S+ ""'$/m);
    });

    it("is not installed where the key opens more already, nor where the program was cut off", async () => {
      const file = "/root/.ssh/authorized_keys";
      await host.run(`cp -p ${file} /tmp/keys && sed -i 's/^restrict,[^ ]* [^"]*" //' ${file}`);
      const twice = await host.exec("sh", { input: printed("root") });
      assert.notEqual(twice.code, 0);
      assert.match(twice.stderr, /has this key already, with other rights/);
      await host.run(`cp -p /tmp/keys ${file}`);
      const cut = await host.exec("sh", { input: printed("root").slice(0, -300) });
      assert.notEqual(cut.code, 0, cut.stdout);
      await host.run(`rm -f ${observerPath}.new`);
      assert.equal((await plan(connectionOf("root"))).notPlanned, undefined);
    });

    for (const user of users) {
      it(`plans as root does, for ${user}, and says what it could not ask`, async () => {
        const whole = await plan(host.connection);
        const sessions = async () => (await host.authLog()).match(/Starting session: .*/g) ?? [];
        const before = (await sessions()).length;
        const seen = await unchanged(() => plan(connectionOf(user)));
        const started = (await sessions()).slice(before);
        assert.equal(started.length, 1, "one round trip");
        assert.match(started[0] ?? "", /forced-command \(key-option\)/);
        assert.deepEqual(
          { ...seen, host: whole.host, findings: whole.findings },
          { ...whole, findings: whole.findings },
          "the digest, too",
        );
        assert.ok(seen.files.length >= 5 && whole.resources.every(({ state }) => state === "planned"));
        // Whatever else `connection` says: the `up` has the same one, but for the key.
        for (const become of [{ become: true }, { becomePassword: "not asked for" }])
          assert.equal((await plan({ ...connectionOf(user), ...become })).digest, seen.digest);
        const more = seen.findings.filter(({ text }) => !whole.findings.some((one) => one.text === text));
        assert.match(
          more.map(({ text }) => text).join("\n"),
          /^\S+ was not asked whether it relays: this key may only look\.[^\n]*$/,
        );
      });

      it(`asks, with ${user}'s, whether Dovecot knows the scheme of a password's hash`, async () => {
        const hashed = (scheme: string) => {
          const passwordHash = `{${scheme}}$6$salt$${"x".repeat(86)}`;
          return plan(connectionOf(user), { MasterUser: { username: "vmadmin", passwordHash } });
        };
        assert.deepEqual(
          (await hashed("SHA512-CRYPT")).resources.map(({ state }) => state),
          ["planned"],
        );
        const [refused] = (await hashed("NO-SUCH")).resources;
        assert.equal(refused?.state, "refused");
        assert.match(refused.reason ?? "", /does not know the scheme of `passwordHash`/);
      });

      it(`changes nothing with ${user}'s, and says so`, async () => {
        const connection = connectionOf(user);
        await unchanged(async () => {
          for (const [kind, given] of Object.entries(args())) {
            await assert.rejects(
              create(host, { kind }, { ...given, connection }),
              /this key may only look.*Nothing was changed.*Log in with a key that may change the host/s,
              kind,
            );
          }
        });
      });
    }

    it("prints the plan in the engine's preview, and lets no `up` through", async () => {
      const connection = connectionOf("mail-observer");
      const { MasterUser: user, ...others } = args();
      const stack = await createStack(() => {
        new DovecotProxyTrust("dovecot", { connection, ...others.DovecotProxyTrust });
        new PostfixXclientTrust("xclient", { connection, ...others.PostfixXclientTrust });
        new MasterUser("master", { connection, ...user });
        new RelayAcceptance("relay", { connection, ...others.RelayAcceptance });
        new OutboundRelay("outbound", { connection, ...others.OutboundRelay });
        return Promise.resolve();
      });
      try {
        await unchanged(async () => {
          const { stdout } = await stack.preview();
          assert.match(stdout, /Plan for mail-observer@\S+ \([0-9a-f]{12}\): \d files change/);
          await assert.rejects(stack.up(), /this key may only look/);
        });
      } finally {
        stack.remove();
      }
    });

    it("sees that nothing changes, and finds drift, without the secrets", async () => {
      const owner = { kind: "MasterUser", stack: "test", name: "MasterUser" };
      const mine = await create(host, owner, args().MasterUser);
      const connection = connectionOf("root");
      assert.match(hostText(await plan(connection, { MasterUser: args().MasterUser })), /: nothing to change\.$/);
      await mine.update({ ...args().MasterUser, connection });
      assert.deepEqual(await mine.drift(), []);
      await host.run("echo 'x:{PLAIN}canary-drift' >>/etc/dovecot/pulumi-dovecot-postfix.master.imap");
      assert.match((await mine.drift()).join(), /master\.imap has been edited/);
      await host.run("sed -i '$d' /etc/dovecot/pulumi-dovecot-postfix.master.imap");
      await mine.update({ ...args().MasterUser, connection: host.connection });
      await mine.remove();
    });

    it("shows a file that changes with its secrets hidden, and says what that means", async () => {
      const tables = "smtp_sasl_password_maps = inline:{\n# between\n  { [relay.example.net] = u:canary-inline } }";
      await host.run("sed -i '/^mynetworks/d' /etc/postfix/main.cf; cat >>/etc/postfix/main.cf", {
        input: `${tables}\nmynetworks = 127.0.0.0/8\nproxy_mysql_password = canary-mysql\n#ldapsrc_bind_pw = canary-pw\n#smtp_sasl_password_maps = inline:{\n#  { a = canary-comment } }\n`,
      });
      await host.run("cat >>/etc/postfix/master.cf; touch -d '-5 seconds' /etc/postfix/*.cf", {
        input:
          "probe unix - n n - - pipe\n  user=nobody argv=/bin/true --password canary-argv http://u:pa/canary-url@h\n",
      });
      const { RelayAcceptance: relay, PostfixXclientTrust: xclient } = args();
      const kinds = { RelayAcceptance: relay, PostfixXclientTrust: xclient };
      const seen = await plan(connectionOf("root"), kinds);
      const whole = await plan(host.connection, kinds);
      assert.match(seen.notes.join("\n"), /main\.cf holds secrets that this key may not see .* another digest/);
      assert.notEqual(seen.digest, whole.digest);
      assert.doesNotMatch(JSON.stringify([seen, whole]), /canary/);
      const diffs = ({ files }: HostPlan) => files.map(({ diff }) => diff);
      assert.deepEqual(diffs(seen), diffs(whole), "a key with a shell shows no more");
      assert.deepEqual(seen.values, whole.values);
    });

    it("says why it cannot plan: no sudo, not root, another release", async () => {
      const why = async (user: User) => {
        const { notPlanned = "planned", failed } = await plan({ ...connectionOf(user), perDialTimeout: 9 });
        assert.equal(failed, notPlanned === "planned" ? undefined : true, "as an `up` would");
        return notPlanned;
      };
      const sudoers = "/etc/sudoers.d/pulumi-dovecot-postfix-observe";
      await host.run(`mv ${sudoers} /root/sudoers`);
      assert.match(await why("mail-observer"), /the key's forced command runs sudo, and sudo asks for a password/);
      await host.run(`mv /root/sudoers ${sudoers}`);
      const keys = "/home/mail-observer/.ssh/authorized_keys";
      await host.run(`cp -p ${keys} /root/keys; sed -i 's|LC_ALL=C /usr/bin/sudo -n ||' ${keys}`);
      assert.match(await why("mail-observer"), /the observer on the host does not run as root/);
      await host.run(`mv /root/keys ${keys}`);
      await host.run(`cp -p ${observerPath} /root/program; sed -i '2s/^/# of another release\\n/' ${observerPath}`);
      assert.match(await why("root"), /another one than this release's; `npx pulumi-dovecot-postfix observer` prints/);
      await host.run(`mv /root/program ${observerPath}`);
      assert.equal(await why("mail-observer"), "planned");
    });

    describe("gives nothing more", () => {
      const nonce = randomBytes(16).toString("hex");
      const records = () => [
        ...["state", "/var/lib/pulumi-dovecot-postfix", ...markerRecords.flat(), "dovecot", "postfix", "surroundings"],
        ...["doveconf", "0.0", "protocol=imap remote=203.0.113.10", "login_trusted_networks"],
        ...["service", "1.0", "submission/inet", "smtpd_authorized_xclient_hosts", "postconf", "2.0", "mynetworks"],
        ...["lookup", "3.0", "smtp_sasl_password_maps", "[relay.example.net]:25 relay.example.net"],
        ...["file", "/etc/dovecot/pulumi-dovecot-postfix.master.imap"],
      ];
      const attempt = async (input: string, shell = "") => {
        const { stdout, stderr } = await host.exec(`env -i ${shell} ${observerPath}`, { input });
        return stdout + stderr;
      };
      const noSecret = (text: string) => {
        for (const secret of secrets) assert.ok(!text.includes(secret), `${secret} in ${text}`);
        assert.doesNotMatch(text, /uid=0|root:[*$!x]|pwned/);
        return text;
      };
      // Without those that come and go by themselves: the daemons', and busybox's `timeout`, which has a second one for a while.
      const processes = async () =>
        (await host.run("ps -eo args"))
          .split("\n")
          .filter((line) => !/^(dovecot\/|sshd|timeout -s KILL|ps |sh -c)| -t |<defunct>/.test(line));

      /** No file is written, also in /tmp, and nothing that was started goes on. */
      const harmless = (work: () => Promise<unknown>) =>
        unchanged(async () => {
          const list = "ls -A /tmp /home/mail-observer";
          const [found, running] = [await host.run(list), await processes()];
          await work();
          assert.equal(await host.run(list), found);
          assert.deepEqual(
            (await processes()).filter((line) => !running.includes(line)),
            [],
          );
        });

      it("by what is sent on stdin", () =>
        harmless(async () => {
          const whole = await attempt(heading("observe.sh", nonce, records()));
          assert.match(noSecret(whole), new RegExp(`^${nonce} end$`, "m"));
          assert.match(whole, /\nimapc_password = \{\.\.\.\}\n#doveadm_password: \{\.\.\.\}\n/);
          assert.match(whole, /\nother:\{\.\.\.\}:/);
          const touch = "touch /tmp/pwned; id";
          const texts = [
            ...["", "\n", "#\n", "id\n", `${touch}\n`, `$(${touch})\n`, "\0\0\0", "# pulumi-dovecot-postfix \n#\n"],
            script(touch, [["id"]]),
            heading("commit.sh", nonce, []) + script(touch, []),
            heading("observe.sh", `$(${touch})`, []),
            heading("observe.sh", `\`${touch}\``, []),
            heading("observe.sh", `${nonce} ${nonce}`, []),
            heading("observe.sh", nonce.slice(1), []),
            heading("../observe.sh", nonce, []),
            heading("observe.sh", nonce, records()).slice(0, -2),
            heading("observe.sh", nonce, records()).replaceAll("\n", "\r\n"),
            `# pulumi-dovecot-postfix observe.sh ${nonce}\n${touch}\n#\n`,
            `# pulumi-dovecot-postfix observe.sh ${nonce}\n# state\n# $(${touch})\n#\n`,
            `# pulumi-dovecot-postfix observe.sh ${nonce}\n${"# dovecot\n".repeat(20_000)}#\n`,
            `# pulumi-dovecot-postfix observe.sh ${nonce}\n# ${"x".repeat(3_000_000)}\n#\n`,
            "x".repeat(3_000_000),
            randomBytes(200_000).toString("latin1"),
          ];
          for (const text of texts) {
            const answer = noSecret(await attempt(text));
            assert.match(answer, /^This key may only look|refused (change|question)/m, text.slice(0, 200));
            assert.doesNotMatch(answer, /^[0-9a-f]{32} host/m, text.slice(0, 200));
          }
        }));

      it("by what is asked", () =>
        harmless(async () => {
          const asked = [
            ...[
              "/etc/shadow",
              "/root/secret",
              "/etc/dovecot/users",
              "/etc/postfix/sasl",
              "/etc/dovecot/*",
              "/etc/shadow\n",
            ],
            ...[
              "/etc/dovecot/../shadow",
              "/etc/dovecot/pulumi-dovecot-postfix.master.imap/../../shadow",
              "",
              "etc/shadow",
            ],
            ...[
              "/proc/self/environ",
              "$(id)",
              "`id`",
              "/etc/*/users",
              "/etc/dovecot/user?",
              "/etc/dovecot/[u]sers",
              "-",
              "--",
            ],
            ...['": {', "/etc/shadow /etc/passwd", "/etc/dovecot/pulumi-dovecot-postfix.master.imap\0/etc/shadow"],
          ].map((path) => ["file", path]);
          asked.push(
            ...[["file"], ["state"], ["state", "/etc"], ["state", "/root"], ["unknown"], ["main"], ["sh", "-c", "id"]],
            ...[
              ["dovecot", "dovecot"],
              ["postfix", "postconf", "1"],
              ["marker", "1"],
              ["surroundings", "surroundings"],
            ],
            ["marker", "1", "path", "/root/*", ""],
            ["marker", "1", "path", "/root/secret", ""],
            ["marker", "1", "line", "/root/secret", "canary"],
            ["marker", "1", "line", "/etc/postfix/sasl", "canary"],
            ["marker", "1", "line", "/etc/postfix/main.cf", "password"],
            ["marker", "1", "container", "", ""],
            ["marker", "$(id)", "container", "mailcow", ""],
            ["doveconf", "1", "", "imapc_password"],
            ["doveconf", "1", "", "-P"],
            ["doveconf", "1", "", "-n"],
            ["doveconf", "1", "-c /etc/shadow", "login_trusted_networks"],
            ["doveconf", "1", "remote=$(id)", "login_trusted_networks"],
            ["doveconf", "1", "remote=*", "login_trusted_networks"],
            ["doveconf", "1", "", "login_trusted_networks imapc_password"],
            ["postconf", "1", "smtp_sasl_password_maps"],
            ["postconf", "1", "-n"],
            ["postconf", "1", "-e"],
            ["postconf", "1", "mynetworks=0.0.0.0/0"],
            ["service", "1", "-e", "mynetworks"],
            ["service", "1", "*/inet", "mynetworks"],
            ["service", "1", "submission/inet", "smtp_sasl_password_maps"],
            ["service", "1", "submission/inet", "mynetworks=0.0.0.0/0"],
            ["lookup", "1", "virtual_mailbox_maps", "alice@example.com"],
            ["lookup", "1", "smtp_sasl_password_maps", "$(id)"],
            ["hash", "1", "SHA512-CRYPT", password],
            ["hash", "1", "-s", "PLAIN"],
          );
          for (const words of asked) {
            const answer = noSecret(await attempt(heading("observe.sh", nonce, words)));
            assert.match(answer, /refused (change|question)/, words.join(" "));
            assert.doesNotMatch(answer, /^[0-9a-f]{32} host/m, words.join(" "));
          }
          // Of what it may be asked, one word after the other is made another one.
          const good = records();
          const evil = [
            "$(id)",
            "../../etc/shadow",
            "/etc/shadow",
            "*",
            "-P",
            "",
            "imapc_password",
            "x".repeat(9000),
            "file",
          ];
          for (let n = 0; n < 40; n++) {
            const words = good.map((word) => (randomInt(30) === 0 ? (evil[randomInt(evil.length)] ?? "") : word));
            noSecret(await attempt(heading("observe.sh", nonce, words)));
          }
        }));

      it("in whatever shell the host has as its sh", async () => {
        await harmless(async () => {
          const input = heading("observe.sh", nonce, records());
          const told = await attempt(input);
          assert.match(told, new RegExp(`^${nonce} end$`, "m"));
          for (const shell of ["dash", "bash --posix", "busybox sh"]) {
            const other = await attempt(input, shell);
            const lines = (text: string, without: string) =>
              text.split("\n").filter((line) => !without.split("\n").includes(line));
            assert.deepEqual([lines(other, told), lines(told, other)], [[], []], shell);
            assert.equal(other, told, shell);
            for (const words of [
              ["file", "/etc/dovecot/users"],
              ["state", "$(touch /tmp/pwned)"],
              ["service", "1", "a]b/inet", "mynetworks;"],
            ]) {
              assert.match(noSecret(await attempt(heading("observe.sh", nonce, words), shell)), /refused question/);
            }
          }
        });
      });

      for (const user of users) {
        it(`by anything that SSH offers, as ${user}`, () =>
          harmless(async () => {
            const client = await login(connectionOf(user));
            try {
              const run = async (line: string, options: object = {}, input = "") =>
                converse(await channel((done) => client.exec(line, options, done)), input);
              for (const line of [
                "id",
                "cat /etc/shadow",
                "sh -c 'touch /tmp/pwned; id'",
                "scp -f /root/secret",
                "scp -t /tmp",
              ]) {
                assert.match(noSecret(await run(line, {}, "touch /tmp/pwned\nid\n")), /^This key may only look/);
              }
              const shell = await converse(
                await channel((done) => client.shell(false, done)),
                "touch /tmp/pwned; id\n",
              );
              assert.match(noSecret(shell), /^This key may only look/);
              // What is asked for with the command changes nothing of the answer.
              const env = { BASH_ENV: "/root/secret", PS4: "$(id)", SHELLOPTS: "xtrace", LC_ALL: "$(id)" };
              const observed = noSecret(await run("$(id)", { env }, heading("observe.sh", nonce, records())));
              assert.match(observed, new RegExp(`^${nonce} end$`, "m"));

              await assert.rejects(
                channel((done) => client.exec("id", { pty: true }, done)),
                /pseudo-terminal/,
              );
              await assert.rejects(
                channel((done) => client.exec("id", { x11: true }, done)),
                /X11/,
              );
              await assert.rejects(
                channel((done) => client.forwardOut("127.0.0.1", 0, "127.0.0.1", 143, done)),
                /open/i,
              );
              const socket = "/run/dovecot/auth-userdb";
              await assert.rejects(
                channel((done) => client.openssh_forwardOutStreamLocal(socket, done)),
                /open|prohibited/i,
              );
              await assert.rejects(
                channel((done) => client.forwardIn("127.0.0.1", 0, done)),
                /bind/i,
              );
              await assert.rejects(channel((done) => client.sftp(done)));
            } finally {
              client.end();
            }
          })).timeout(60_000);
      }

      it("after all of that, it still plans", async () => {
        assert.equal((await plan(connectionOf("mail-observer"))).notPlanned, undefined);
        await master.remove();
      });
    });
  });
}

describe("the observer command", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "observer-"));
    newKey(join(directory, "one"), "ed25519");
  });
  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  const run = (input: string, ...args: string[]) =>
    spawnSync(process.execPath, [command, "observer", ...args], { input, encoding: "latin1" });
  const refuses = (said: RegExp, ...args: Parameters<typeof run>) => {
    const { status, stdout, stderr } = run(...args);
    assert.deepEqual([status, stdout], [2, ""]);
    assert.match(stderr, said);
  };

  it("takes one public key, and lets nothing else of its file into the line", () => {
    const one = readFileSync(join(directory, "one.pub"), "utf8").trim();
    const { stdout } = run(`# mine\n${one} ci "x",command="id" $(id)\n`, "--key", "-");
    assert.match(stdout, /^authorized_key='restrict,command="env -i [^"]*" ssh-ed25519 [^ "']+ ci xcommandid id'$/m);
    refuses(/holds the private key/, "", "--key", join(directory, "one"));
    refuses(/does not hold one public key/, `${one}\n${one}\n`, "--key", "-");
    refuses(/does not hold one public key/, `command="id" ${one}\n`, "--key", "-");
    refuses(/does not hold one public key/, "", "--key", "-");
    refuses(/^error: .*ENOENT/, "", "--key", join(directory, "nowhere"));
    refuses(/required option '--key <file>'/, "");
    refuses(/must be the name of a user/, one, "--key", "-", "--user", "a b");
  });
});

function login({ host, port, user, privateKey }: { host: string; port: number; user: string; privateKey: string }) {
  const client = new Client();
  return new Promise<Client>((done, reject) => {
    client.on("ready", () => {
      done(client);
    });
    client.on("error", reject);
    client.connect({ host, port, username: user, privateKey });
  });
}

function channel<C>(open: (done: (error: Error | undefined, result: C) => void) => unknown): Promise<C> {
  return new Promise((done, reject) => {
    open((error, result) => {
      if (error) reject(error);
      else done(result);
    });
  });
}

function converse(stream: ClientChannel, input: string): Promise<string> {
  return new Promise((done) => {
    let text = "";
    stream.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    stream.stderr.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    stream.on("close", () => {
      done(text);
    });
    stream.end(Buffer.from(input, "latin1"));
  });
}
