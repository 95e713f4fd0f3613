// The main job, whole, through the real engine: preview, up, up again, refresh, destroy; counted from the host's own logs.
import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import {
  DovecotProxyTrust,
  MasterUser,
  OutboundRelay,
  PostfixXclientTrust,
  RelayAcceptance,
} from "pulumi-dovecot-postfix";
import { during, nothing } from "../support/counts.js";
import { startHost, type Debian, type Host } from "../support/host.js";
import { logged } from "../support/mail-client.js";
import { createStack, type TestStack } from "../support/stack.js";

const debians: readonly Debian[] = ["bookworm", "trixie"];
const password = `S3cret-${randomBytes(9).toString("hex")}`;

for (const debian of debians) {
  describe(`five resources on ${debian}`, function () {
    let source: Host;
    let proxy: Host;
    let next: Host;
    let stack: TestStack;
    let pristine: Map<string, string>;

    const program = (options: { proxies?: string[] } = {}) => {
      const connection = source.connection;
      new DovecotProxyTrust("dovecot", { connection, proxies: options.proxies ?? [proxy.address] });
      new PostfixXclientTrust("xclient", { connection, proxies: [proxy.address], services: ["submission/inet"] });
      const { loginFormat } = new MasterUser("master", { connection, username: "vmadmin", password });
      const { mynetworks } = new RelayAcceptance("relay", { connection, servers: [next.address] });
      const { relayhost, previousRelayhost } = new OutboundRelay("outbound", { connection, server: next.address });
      return Promise.resolve({ loginFormat, mynetworks, relayhost, previousRelayhost });
    };

    before(async () => {
      [source, proxy, next] = await Promise.all([startHost(debian), startHost(debian), startHost(debian)]);
      // The new server relays for the source, as its administrator has to allow.
      await next.run(
        `postconf -e "myhostname = new.example.net" "mynetworks = 127.0.0.0/8 ${source.address}/32"; touch -d "-5 seconds" /etc/postfix/main.cf; postfix reload`,
      );
      pristine = await source.files();
      stack = await createStack(() => program());
    });

    after(async () => {
      stack.remove();
      await Promise.all([source.stop(), proxy.stop(), next.stop()]);
    });

    it("preview writes nothing", async () => {
      const { changes } = await stack.preview();
      assert.equal(changes.create, 6);
      assert.deepEqual(await source.files(), pristine);
    });

    let tried = false;
    it("up takes 1 connection, 1 observation, 1 commit and 1 reload a daemon, and tells so", async () => {
      // On a machine so busy that the resources came apart: once more, from the begin.
      if (tried) await stack.destroy();
      tried = true;
      const { result, counts } = await during(source, () => stack.up());
      assert.equal(result.changes.create, 6);
      assert.deepEqual(counts, { connections: 1, commands: 2, dovecotReloads: 1, postfixReloads: 1 });
      assert.match(result.stdout, /dovecot: wrote \S+.*1 reload.*postfix: wrote \S+.*1 reload.*\(\d+ ms\)/);
    });

    it("outputs are the effective values", async () => {
      const outputs = await stack.outputs();
      assert.equal(outputs["loginFormat"]?.value, "{user}%vmadmin");
      assert.ok((outputs["mynetworks"]?.value as string[]).includes(`${next.address}/32`));
      assert.equal(outputs["relayhost"]?.value, `[${next.address}]:25`);
      assert.equal(outputs["previousRelayhost"]?.value, "");
    });

    it("a login through the trusted proxy shows the client's address", async () => {
      await proxy.dialogue({ host: source.address, port: 143, tls: "starttls" }, async (imap) => {
        await imap.send('a ID ("x-originating-ip" "198.51.100.7" "x-originating-port" "4711")');
        await imap.expect(/^a OK/m);
        await imap.send("b LOGIN alice@example.com alicepassword");
        await imap.expect(/^b OK/m);
      });
      await logged(source, /imap-login.*user=<alice@example.com>.*rip=198\.51\.100\.7/);
    });

    it("a second up opens no connection and reloads nothing", async () => {
      const { result, counts } = await during(source, () => stack.up());
      assert.deepEqual(result.changes, { same: 6 });
      assert.deepEqual(counts, nothing);
    });

    it("refresh finds nothing and writes nothing", async () => {
      const written = await source.files();
      const { changes } = await stack.refresh();
      assert.deepEqual(changes, { same: 6 });
      assert.deepEqual(await source.files(), written);
    });

    it("refresh names what somebody changed, and the next up repairs just that", async () => {
      await source.run(`sed -i 's| ${next.address}/32||' /etc/postfix/main.cf && postfix reload`);
      const refreshed = await stack.refresh();
      assert.equal(refreshed.changes["update"], 1);
      assert.match(refreshed.stdout, /drift/);
      const { result, counts } = await during(source, () => stack.up());
      assert.deepEqual(result.changes, { same: 5, update: 1 });
      assert.deepEqual(counts, { connections: 1, commands: 2, dovecotReloads: 0, postfixReloads: 1 });
      assert.match(await source.run("postconf -h mynetworks"), new RegExp(`${next.address}/32`));
    });

    it("no secret stands in the clear in state, outputs or what was printed", async () => {
      const state = await stack.exportState();
      const printed = (await stack.preview()).stdout + (await stack.up()).stdout;
      for (const secret of [password, source.connection.privateKey.split("\n")[3] ?? "?"]) {
        assert.ok(!state.includes(secret) && !printed.includes(secret));
      }
    });

    it("destroy takes 1 connection and 1 reload a daemon, and not a byte is different", async () => {
      const { counts } = await during(source, () => stack.destroy());
      assert.deepEqual(counts, { connections: 1, commands: 2, dovecotReloads: 1, postfixReloads: 1 });
      assert.deepEqual(await source.files(), pristine);
      await source.run("doveadm who && postfix status");
    });
  });
}
