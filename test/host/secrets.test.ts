// Where marked secrets turn up in a run of everything: nowhere but in the user's own program and a password file's hash.
import { strict as assert } from "node:assert";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { inspect } from "node:util";
import { addAdministrator, sudoers } from "../support/administrator.js";
import { meanwhile } from "../support/cuts.js";
import { startHost, type Host } from "../support/host.js";
import { filesHolding, linesOfKey, watchProcesses } from "../support/leaks.js";
import { login } from "../support/mail-client.js";
import { create, listening } from "../support/resources.js";
import { sampled, soaking } from "../support/sample.js";
import { newKey } from "../support/ssh-client.js";
import { planCommand, pulumi } from "../support/stack.js";

/** Nobody else on this machine has it. */
const mark = `marked-${process.pid}`;
const password = `${mark}-Passw0rd`;
const salt = `${mark}-sa`;
const passwordHash = `{SHA512-CRYPT}$6$${salt}$${"x".repeat(86)}`;
const becomePassword = `${mark}-becomePassw0rd`;
const loginPassword = `${mark}-loginPassw0rd`;
/** For a sudo that asks for none. */
const unasked = `${mark}-unasked`;
const passphrase = `${mark}-passphrase`;
/** Given where another one is right. */
const wrong = `${mark}-wrong-Passw0rd`;

const ledger = "/var/lib/pulumi-dovecot-postfix";
const masters = ["imap", "sieve"].map((service) => `/etc/dovecot/pulumi-dovecot-postfix.master.${service}`);
const root = resolve(__dirname, "../..");

const program = `
const { MailSource, MasterUser } = require("pulumi-dovecot-postfix");
const { readFileSync } = require("node:fs");
const { source, other } = JSON.parse(readFileSync(__dirname + "/" + process.env.GIVEN + ".json", "utf8"));
exports.password = new MailSource("source", source).masterPassword;
new MasterUser("other", other);
`;

for (const debian of sampled("trixie")) {
  describe(`secrets on ${debian}`, () => {
    let host: Host;
    let directory: string;
    let marks: string[];
    /** By a key with a passphrase, and a sudo that asks; by a password, and one that does not. */
    let connection: Record<string, unknown>;
    let postfixConnection: Record<string, unknown>;

    before(async () => {
      host = await startHost(debian);
      directory = mkdtempSync(join(tmpdir(), "secrets-"));
      for (const one of ["program", "pulumi", "cache", "tmp", "key"]) mkdirSync(join(directory, one));
      symlinkSync(join(root, "node_modules"), join(directory, "program/node_modules"));
      writeFileSync(join(directory, "program/Pulumi.yaml"), "name: mail\nruntime: nodejs\n");
      writeFileSync(join(directory, "program/package.json"), `{ "main": "index.js" }`);
      writeFileSync(join(directory, "program/index.js"), program);

      newKey(join(directory, "key/id"), "ed25519", passphrase);
      const [privateKey, publicKey] = ["id", "id.pub"].map((name) =>
        readFileSync(join(directory, "key", name), "latin1"),
      );
      rmSync(join(directory, "key"), { recursive: true });
      await addAdministrator(host, becomePassword);
      await host.write("/home/admin/.ssh/authorized_keys", publicKey ?? "");
      await host.run(`useradd --create-home --shell /bin/sh postmaster && chpasswd`, {
        input: `postmaster:${loginPassword}`,
      });
      await sudoers(host, "admin ALL=(root) ALL\npostmaster ALL=(root) NOPASSWD: ALL");
      const at = { host: host.connection.host, port: host.connection.port, hostKey: host.connection.hostKey };
      connection = { ...at, user: "admin", privateKey, privateKeyPassword: passphrase, becomePassword };
      postfixConnection = { ...at, user: "postmaster", password: loginPassword, becomePassword: unasked };
      const key = linesOfKey(privateKey ?? "");
      assert.ok(key.length > 3);
      marks = [mark, ...key];
    });
    after(async () => {
      rmSync(directory, { recursive: true, force: true });
      await host.stop();
    });

    /** What the program is given under this name. */
    function given(name: string, servers: string[], hash = passwordHash): void {
      const masterUser = { username: "vmadmin", password };
      const source = { connection, postfixConnection, proxies: ["203.0.113.10"], servers, masterUser };
      const other = { connection, username: "vmother", passwordHash: hash };
      writeFileSync(join(directory, `program/${name}.json`), JSON.stringify({ source, other }));
    }
    const environment = (name: string) => ({
      ...{ GIVEN: name, XDG_CACHE_HOME: join(directory, "cache"), TMPDIR: join(directory, "tmp") },
    });
    const cli = (name: string, args: string[], env: Record<string, string> = {}) =>
      pulumi(args, {
        ...{ cwd: join(directory, "program"), state: join(directory, "pulumi") },
        env: { ...environment(name), ...env },
      });
    const plan = (name: string, ...args: string[]) =>
      planCommand(args, { cwd: join(directory, "program"), state: join(directory, "pulumi"), env: environment(name) });

    /** The files of this run, on this machine, that hold a mark. */
    function filesHere(wanted: readonly string[]): string[] {
      const { stdout } = spawnSync("grep", ["-raFl", "-f", "-", "."], { cwd: directory, input: wanted.join("\n") });
      return stdout.toString().split("\n").filter(Boolean).sort();
    }

    it("turn up nowhere: not in what is printed or stored, nor in any process, log or file", async function () {
      this.timeout(480_000);
      const before = await kept(host);
      given("first", ["203.0.113.20"]);
      given("second", ["203.0.113.22"], passwordHash.replace("xxx", "yyy"));
      given("refused", ["203.0.113.20"], `{PLAIN}${wrong}`);
      const own = ["first", "refused", "second"].map((name) => `./program/${name}.json`);
      const printed: string[] = [];
      const said = ({ stdout, stderr }: { stdout: string; stderr: string }) => printed.push(stdout, stderr);
      const quickly = ["--yes", "--skip-preview"];

      const watch = await watchProcesses(host, marks);
      let hash = "";
      try {
        said(await cli("first", ["stack", "init", "test"]));
        const [errors, first] = await Promise.all([refusals(), plan("first", "--format", "json")]);
        printed.push(...errors);
        said(first);

        const [trace, grpc] = [join(directory, "trace"), join(directory, "grpc")];
        const verbose = ["--json", "--debug", "--tracing", `file:${trace}`];
        const up = await cli("first", ["up", ...quickly, ...verbose], { PULUMI_DEBUG_GRPC: grpc });
        assert.equal(up.code, 0, up.stdout);
        printed.push(up.stderr, withoutSdk(up.stdout));
        // What SECURITY.md and README tell of Pulumi: otherwise correct it there.
        const pulumis = [up.stdout, ...[trace, grpc].map((file) => readFileSync(file, "latin1"))];
        assert.deepEqual(
          pulumis.map((text) => text.includes(password)),
          [true, true, true],
        );
        for (const file of [trace, grpc]) rmSync(file);
        hash = /vmadmin:(\S+?)(:|$)/m.exec(await host.read(masters[0] ?? ""))?.[1] ?? "";
        assert.match(hash, /^\{SHA512-CRYPT\}\$6\$/);
        const mode = await host.run(`stat -c '%a %U %G' ${masters.join(" ")}`);
        assert.equal(mode, "640 root dovecot\n640 root dovecot\n");
        const alice = ["alice@example.com%vmadmin", password] as const;
        assert.ok(await login({ client: host, to: "127.0.0.1" }, "imap", alice));

        await host.run("sed -i 's| 203.0.113.20/32||' /etc/postfix/main.cf");
        said(await cli("first", ["refresh", ...quickly]));
        const whole = join(directory, "whole.md");
        const looks = await Promise.all([
          cli("second", ["preview", "--diff"]),
          cli("refused", ["preview", "--diff"]),
          plan("second", "--format", "markdown", "--max-length", "65536", "--whole", whole),
          plan("first", "--destroy"),
          cli("first", ["stack", "output", "--json"]),
        ]);
        for (const one of looks) said(one);
        assert.match(looks[1].stderr, /stores the password in the clear/);
        assert.match(looks[2].stdout, /pulumi-dovecot-postfix\.master\.imap/);
        assert.deepEqual(filesHere([...marks, hash]), own);
        assert.deepEqual(await filesHolding(host, [...marks, hash]), masters);

        await host.run("echo 'no_such_setting = yes' >>/etc/dovecot/dovecot.conf");
        const failed = await cli("second", ["up", ...quickly]);
        await host.run("sed -i '$d' /etc/dovecot/dovecot.conf");
        assert.match(failed.stdout, /no_such_setting/);
        said(failed);
        assert.deepEqual(await filesHolding(host, [...marks, hash]), masters);
      } finally {
        said(await cli("first", ["destroy", ...quickly]));
      }
      const found = await watch.stop([hash]);

      assert.deepEqual(
        {
          printed: printed.filter((text) => [...marks, hash].some((one) => text.includes(one))),
          filesHere: filesHere([...marks, hash]),
          files: await filesHolding(host, [...marks, hash]),
          processes: found.host,
          processesHere: found.here,
        },
        { printed: [], filesHere: own, files: [], processes: [], processesHere: [] },
      );
      assert.ok(found.rounds.host > 30 && found.rounds.here > 30, JSON.stringify(found.rounds));
      assert.deepEqual(await kept(host), before);
      // The logs tell of all this: they are not empty.
      const [auth, mail, syslog] = await Promise.all([host.authLog(), host.mailLog(), host.read("/var/log/syslog")]);
      assert.match(auth, /sudo: +admin : .*COMMAND=/);
      assert.match(auth, /sshd.*: Accepted publickey for admin /);
      assert.match(auth, /sshd.*: Accepted password for postmaster /);
      assert.match(auth, /sshd.*: Failed password for postmaster /);
      assert.match(auth, /sudo: +admin : 1 incorrect password attempt/);
      for (const log of [mail, syslog]) {
        assert.match(log, /dovecot: imap-login: .*user=<alice@/);
        assert.match(log, /postfix\/master\[\d+\]: reload/);
      }
    });

    /** What is told of secrets that are wrong, by check, by the connection and by the host. */
    async function refusals(): Promise<string[]> {
      const servers = ["203.0.113.20"];
      const username = "vmadmin";
      const all: [RegExp, string, Record<string, unknown>][] = [
        [/login was refused/, "RelayAcceptance", { servers, connection: { ...postfixConnection, password: wrong } }],
        [
          /passphrase is wrong/,
          "RelayAcceptance",
          { servers, connection: { ...connection, privateKeyPassword: wrong } },
        ],
        [/key cannot be used/, "RelayAcceptance", { servers, connection: { ...connection, privateKey: wrong } }],
        [
          /not accept becomePassword/,
          "RelayAcceptance",
          { servers, connection: { ...connection, becomePassword: wrong } },
        ],
        [/Name a scheme/, "MasterUser", { connection, username, passwordHash: `{NO-SUCH}${wrong}` }],
        [/in the clear/, "MasterUser", { connection, username, passwordHash: `{PLAIN}${wrong}` }],
        [/control characters/, "MasterUser", { connection, username, password: `${wrong}\n${wrong}` }],
      ];
      const { told, result } = await listening(() =>
        Promise.all(
          all.map(async ([reason, kind, args]) => {
            const text = await create(host, { kind }, args).then(() => assert.fail(String(reason)), inspect);
            assert.match(text, reason);
            return text;
          }),
        ),
      );
      return [told, ...result];
    }

    it("of a commit under way stand in the journal, which is root's alone", async () => {
      const before = await kept(host);
      const salts = ["salt-of-old", "salt-of-new"];
      const args = (salt: string) => ({
        username: "vmadmin",
        passwordHash: `{SHA512-CRYPT}$6$${salt}$${"x".repeat(86)}`,
      });
      const user = await create(host, { kind: "MasterUser" }, args("salt-of-old"));
      const watch = await watchProcesses(host, []);
      const seen = new Set<string>();
      const look = async (step: string) => {
        for (const path of await filesHolding(host, salts)) {
          seen.add(path);
          const readers = `for user in nobody dovenull postmaster; do runuser -u $user -- cat '${path}' >/dev/null 2>&1 && echo $user; done; :`;
          assert.equal(await host.run(readers), "", `${step}: who can read ${path}`);
          if (!path.startsWith(ledger)) continue;
          const inTheirWay = `cd '${path.slice(0, path.lastIndexOf("/"))}' && stat -c '%a %U' . .. ../..`;
          assert.equal(await host.run(inTheirWay), "700 root\n".repeat(3), `${step}: ${path}`);
          assert.equal((await host.exec(`runuser -u dovecot -- cat '${path}'`)).code, 1);
        }
      };
      const halted = (step: string, work: () => Promise<void>) =>
        meanwhile(host, { where: "dovecot", at: step }, work, () => look(step));
      let salt = "";
      const steps = ["save_file", "stage_file", "put", "proved", "clear_journal"];
      for (const step of soaking ? steps : steps.filter((_, n) => n % 2 === 0)) {
        salt = salt === "salt-of-new" ? "salt-of-old" : "salt-of-new";
        await halted(step, () => user.update(args(salt)));
      }
      await halted("clear_journal", () => user.remove());
      const { host: found } = await watch.stop();
      assert.deepEqual(found, [], "a process of the host");
      const own = [...masters, ...masters.map((path) => path.replace(/[^/]*$/, ".$&.pulumi-new"))];
      assert.deepEqual([...seen].filter((path) => !path.startsWith(`${ledger}/dovecot/journal/`)).sort(), own.sort());
      assert.ok(seen.size > own.length, "no journal was met");
      await host.run("rm -r /opt/fault /usr/local/bin/sh");
      assert.deepEqual(await filesHolding(host, salts), []);
      assert.deepEqual(await kept(host), before);
    });

    it("are found wherever they are planted", async () => {
      const anyHash = "{SHA512-CRYPT}$6$any$any";
      const watch = await watchProcesses(host, marks);
      const files = [
        "/home/admin/.bash_history",
        "/root/.ash_history",
        "/tmp/left",
        "/var/spool/postfix/left",
        "/run/left",
      ];
      for (const file of files) await host.write(file, `echo ${passphrase}\n`);
      await host.run("logger -p authpriv.notice -t sudo", { input: `${becomePassword}\n` });
      await host.run(`MARK=$(cat) sleep 0.5`, { input: password });
      await host.run(`read -r MARK; sh -c 'sleep 0.5; :' "$MARK"`, { input: loginPassword });
      await host.run(`read -r MARK; sh -c 'sleep 0.5; :' "$MARK"`, { input: `${anyHash}\n` });
      await new Promise((ended) =>
        spawn(process.execPath, ["-e", "setTimeout(Boolean, 500)", unasked]).once("exit", ended),
      );
      const found = await watch.stop();
      assert.deepEqual(await filesHolding(host, marks), [...files, "/var/log/auth.log"].sort());
      assert.deepEqual(found.host.sort(), [`MARK=${password}`, loginPassword, anyHash].sort());
      // This machine may see its containers' processes, too.
      assert.ok(found.here.some((text) => text.includes(unasked)));
    });
  });
}

/** What Pulumi's SDK itself says of every resource at this verbosity, secrets and all, is not ours. */
function withoutSdk(events: string): string {
  return events
    .split("\n")
    .filter(
      (line) => !/^\{[^{]*"diagnosticEvent":\{"prefix":"debug: ","message":"RegisterResource RPC finished: /.test(line),
    )
    .join("\n");
}

const kept = async (host: Host) => new Map([...(await host.files())].filter(([path]) => !path.startsWith("/run/")));
