// What the engine asks beside the straight way: renames, other connections, other hosts, one resource at a time, no host at all.
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  DovecotProxyTrust,
  MailSource,
  MasterUser,
  PostfixXclientTrust,
  RelayAcceptance,
  type ConnectionArgs,
} from "pulumi-dovecot-postfix";
import { during } from "../support/counts.js";
import { startHost, type Host } from "../support/host.js";
import { sampled } from "../support/sample.js";
import { createStack, type Program, type TestStack } from "../support/stack.js";

/** Runs with a variable of the environment, as a user's shell sets it. */
async function having<T>(name: string, value: string, run: () => Promise<T>): Promise<T> {
  process.env[name] = value;
  try {
    return await run();
  } finally {
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- it is the environment's
    delete process.env[name];
  }
}

const proxies = ["203.0.113.10"];
const servers = ["203.0.113.20"];

for (const debian of sampled("bookworm")) {
  describe(`the life of a resource on ${debian}`, () => {
    let host: Host;
    let pristine: Map<string, string>;
    let stack: TestStack;

    before(async () => {
      host = await startHost(debian);
      pristine = await host.files();
    });
    after(() => host.stop());
    afterEach(async () => {
      await stack.destroy();
      stack.remove();
      assert.deepEqual(await host.files(), pristine);
    });

    const trust =
      (name: string, connection: ConnectionArgs = host.connection, aliases: string[] = []): Program =>
      () => {
        new DovecotProxyTrust(name, { connection, proxies }, { aliases: aliases.map((old) => ({ name: old })) });
        new MasterUser("master", { connection, username: "vmadmin" });
        return Promise.resolve();
      };

    it("another way to log in is recorded without touching the host; a rename is a change of the ledger alone", async () => {
      stack = await createStack(trust("old"));
      await stack.up();
      const other = { ...host.connection, perDialTimeout: 7 };
      const recorded = await during(host, () => stack.up(trust("old", other)));
      assert.equal(recorded.result.changes.update, 2);
      assert.equal(recorded.counts.connections, 0);
      assert.match(await host.read("/var/lib/pulumi-dovecot-postfix/dovecot/ledger.json"), /DovecotProxyTrust\/old/);

      const renamed = await during(host, () => stack.up(trust("new", other, ["old"])));
      assert.deepEqual(renamed.result.changes, { same: 2, update: 1 });
      assert.equal(renamed.counts.dovecotReloads, 0);
      const ledger = await host.read("/var/lib/pulumi-dovecot-postfix/dovecot/ledger.json");
      assert.match(ledger, /DovecotProxyTrust\/new/);
      assert.doesNotMatch(ledger, /DovecotProxyTrust\/old/);
    });

    it("a host that cannot be reached fails the refresh and drops nothing", async () => {
      stack = await createStack(trust("proxy", { ...host.connection, dialErrorLimit: 1 }));
      await stack.up();
      const known = await stack.exportState();
      await host.run("pkill -o sshd");
      // Nothing listens any more: refused at once.
      await assert.rejects(stack.refresh(), /cannot connect|ECONNREFUSED|no answer/);
      await host.run("/usr/sbin/sshd");
      const resources = (state: string) =>
        (JSON.parse(state) as { checkpoint: { latest: { resources: unknown[] } } }).checkpoint.latest.resources.length;
      assert.equal(resources(await stack.exportState()), resources(known));
    }).timeout(180_000);

    it("one resource at a time (--parallel 1) is right, too", async () => {
      stack = await createStack(
        () => {
          new MailSource("source", {
            connection: host.connection,
            proxies,
            servers,
            masterUser: { username: "vmadmin" },
          });
          return Promise.resolve();
        },
        { parallel: 1 },
      );
      const { result, counts } = await during(host, () => stack.up());
      assert.equal(result.changes.create, 6);
      assert.equal(counts.connections, 1);
      assert.match(
        await host.run("doveconf -h -f protocol=imap -f remote=203.0.113.10 login_trusted_networks"),
        /203\.0\.113\.10\/32/,
      );
      assert.match(await host.run("postconf -h mynetworks"), /203\.0\.113\.20\/32/);
    });

    it("a state from an old backup converges: what it had forgotten does not stay", async () => {
      const program =
        (server: string, more: boolean): Program =>
        () => {
          const { connection } = host;
          new RelayAcceptance("relay", { connection, servers: [server] });
          if (more) new DovecotProxyTrust("trust", { connection, proxies: [server] });
          return Promise.resolve();
        };
      stack = await createStack(program("203.0.113.20", false));
      await stack.up();
      const backup = await stack.exportState();
      await stack.up(program("203.0.113.21", true));
      await stack.importState(backup);
      await stack.up(program("203.0.113.22", true));
      const mynetworks = await host.run("postconf -h mynetworks");
      assert.match(mynetworks, /203\.0\.113\.22\/32/);
      assert.doesNotMatch(mynetworks, /203\.0\.113\.2[01]/);
      await stack.importState(backup);
      await stack.up(program("203.0.113.22", true));
    });

    it("what the guide had somebody do by hand is said, not written twice, and stays", async () => {
      const byHand =
        debian === "bookworm"
          ? "login_trusted_networks = 203.0.113.10/32"
          : "login_trusted_networks {\n  203.0.113.10/32 = yes\n}";
      await host.run(`printf '%s\\n' '${byHand}' >/etc/dovecot/conf.d/98-by-hand.conf; cp -a /etc/postfix/main.cf /root/main.cf
        postconf -e "smtpd_authorized_xclient_hosts = 203.0.113.10/32" "mynetworks = 127.0.0.0/8 203.0.113.20/32"
        touch -d '-5 seconds' /etc/postfix/main.cf; doveadm reload; postfix reload 2>/dev/null`);
      const prepared = await host.files();
      const connection = host.connection;
      stack = await createStack(() => {
        new DovecotProxyTrust("proxy", { connection, proxies });
        new PostfixXclientTrust("proxy", { connection, proxies });
        new RelayAcceptance("relay", { connection, servers });
        return Promise.resolve();
      });
      const { result, counts } = await during(host, () => stack.up());
      assert.deepEqual([counts.dovecotReloads, counts.postfixReloads], [0, 0]);
      assert.match(result.stdout, /already.*stays after destroy/);
      await stack.destroy();
      assert.deepEqual(await host.files(), prepared);
      await host.run(
        "rm /etc/dovecot/conf.d/98-by-hand.conf; cp -a /root/main.cf /etc/postfix/main.cf; rm /root/main.cf; doveadm reload; postfix reload 2>/dev/null",
      );
    });
  });

  describe(`another host on ${debian}`, () => {
    let hosts: [Host, Host];
    before(async () => {
      hosts = [await startHost(debian), await startHost(debian)];
    });
    after(async () => {
      await Promise.all(hosts.map((host) => host.stop()));
    });

    it("with another key than in the state is refreshed and left with one from the environment", async () => {
      const [host] = hosts;
      const pristine = await host.files();
      const stack = await createStack(() => {
        new RelayAcceptance("relay", { connection: { ...host.connection, dialErrorLimit: 1 }, servers });
        return Promise.resolve();
      });
      await stack.up();
      const place = mkdtempSync(join(tmpdir(), "rotated-"));
      const key = join(place, "id_ed25519");
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
      await host.run("cp -a /root/.ssh/authorized_keys /root/before");
      await host.write("/root/.ssh/authorized_keys", readFileSync(`${key}.pub`, "latin1"), "600");
      await assert.rejects(stack.destroy(), /refuses|authentication/i);
      await having("PULUMI_DOVECOT_POSTFIX_SSH_IDENTITY_FILE", key, async () => {
        assert.deepEqual((await stack.refresh()).changes, { same: 2 });
        assert.deepEqual((await stack.destroy()).changes, { delete: 2 });
      });
      await host.run("mv /root/before /root/.ssh/authorized_keys");
      assert.deepEqual(await host.files(), pristine);
      stack.remove();
      rmSync(place, { recursive: true });
    });

    it("replaces the resource: the old host is left as it was found, the new one has the change", async () => {
      const [from, to] = hosts;
      const pristine = [await from.files(), await to.files()];
      const program =
        (host: Host): Program =>
        () => {
          new RelayAcceptance("relay", { connection: host.connection, servers });
          return Promise.resolve();
        };
      const stack = await createStack(program(from));
      await stack.up();
      const { changes } = await stack.up(program(to));
      assert.equal(changes.replace, 1);
      assert.deepEqual(await from.files(), pristine[0]);
      assert.match(await to.run("postconf -h mynetworks"), /203\.0\.113\.20\/32/);
      await stack.destroy();
      assert.deepEqual(await to.files(), pristine[1]);
      stack.remove();
    });

    it("that is gone for good fails a destroy, which names the ways out; only the explicit one drops it", async () => {
      const host = await startHost(debian);
      const connection = { ...host.connection, dialErrorLimit: 1, perDialTimeout: 3 };
      const stack = await createStack(() => {
        new RelayAcceptance("relay", { connection, servers });
        return Promise.resolve();
      });
      await stack.up();
      await host.stop();
      const known = await stack.exportState();
      const ways = /PULUMI_DOVECOT_POSTFIX_GONE_HOSTS=.*pulumi state delete.*deletedWith/s;
      await assert.rejects(stack.destroy(), ways);
      await having("PULUMI_DOVECOT_POSTFIX_GONE_HOSTS", "another.example.com", () =>
        assert.rejects(stack.destroy(), ways),
      );
      assert.match(await stack.exportState(), /dovecot-postfix:RelayAcceptance/);
      assert.match(known, /dovecot-postfix:RelayAcceptance/);
      await having("PULUMI_DOVECOT_POSTFIX_GONE_HOSTS", connection.host, async () => {
        const { stdout, changes } = await stack.destroy();
        assert.match(stdout, /does not answer, and nothing was undone on it; dropped from the state/);
        assert.deepEqual(changes, { delete: 2 });
      });
      stack.remove();
    });
  });
}
