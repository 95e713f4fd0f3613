// Who may do what, seen from a host that was granted nothing, and from the others once all is gone.
import { strict as assert } from "node:assert";
import { startHost, type Host } from "../support/host.js";
import { logged, login, type Service } from "../support/mail-client.js";
import { ehlo, send } from "../support/postfix.js";
import { create } from "../support/resources.js";
import { sampled } from "../support/sample.js";

const password = "a-Long-master-Passw0rd";
const master = ["alice@example.com%vmadmin", password] as const;

for (const debian of sampled("trixie")) {
  describe(`what is granted on ${debian}`, () => {
    let source: Host;
    let proxy: Host;
    let next: Host;
    let stranger: Host;

    before(async () => {
      [source, proxy, next, stranger] = (await Promise.all([1, 2, 3, 4].map(() => startHost(debian)))) as [
        ...[Host, Host, Host, Host],
      ];
    });
    after(async () => {
      await Promise.all([source, proxy, next, stranger].map((host) => host.stop()));
    });

    /** Claims another client's address over IMAP; resolves to the address that Dovecot believed. */
    async function believed(client: Host, claimed: string): Promise<string> {
      const claim = [`i ID ("x-originating-ip" "${claimed}" "x-originating-port" "4711")`, /^i OK/m] as const;
      const bob = ["bob@example.com", "bobpassword"] as const;
      assert.ok(await login({ client, to: source.address }, "imap", bob, { first: [claim] }));
      const real = client.address.replaceAll(".", "\\.");
      const line = await logged(source, new RegExp(`user=<bob@.*rip=(${claimed.replaceAll(".", "\\.")}|${real}),`));
      return /rip=([^,]+)/.exec(line)?.[1] ?? "";
    }
    const xclient = async (client: Host) => (await ehlo({ at: client }, source.address, 25)).includes("XCLIENT");
    const relays = async (client: Host) =>
      (await send({ at: client }, source.address, { to: "someone@example.org" })).startsWith("250");
    const reads = (client: Host, service: Service) => login({ client, to: source.address }, service, [...master]);

    it("is what was granted, to whom it was granted, and is dead after destroy", async function () {
      this.timeout(120_000);
      const pristine = await source.files();
      const all = await Promise.all([
        create(source, { kind: "DovecotProxyTrust" }, { proxies: [proxy.address] }),
        create(source, { kind: "PostfixXclientTrust" }, { proxies: [proxy.address] }),
        create(source, { kind: "RelayAcceptance" }, { servers: [next.address] }),
        create(source, { kind: "MasterUser" }, { username: "vmadmin", password, allowedNetworks: [next.address] }),
      ]);

      assert.equal(await believed(proxy, "198.51.100.7"), "198.51.100.7");
      assert.equal(await believed(next, "198.51.100.8"), next.address);
      assert.equal(await believed(stranger, "198.51.100.9"), stranger.address);

      assert.deepEqual(await Promise.all([proxy, next, stranger].map(xclient)), [true, false, false]);
      assert.deepEqual(await Promise.all([proxy, next, stranger].map(relays)), [false, true, false]);

      assert.deepEqual(await Promise.all([next, proxy, stranger].map((from) => reads(from, "imap"))), [
        true,
        false,
        false,
      ]);
      assert.equal(await reads(next, "sieve"), true);
      assert.equal(await reads(next, "submission"), false);

      await Promise.all(all.map((resource) => resource.remove()));
      assert.equal(await believed(proxy, "198.51.100.10"), proxy.address);
      assert.equal(await xclient(proxy), false);
      assert.equal(await relays(next), false);
      assert.equal(await reads(next, "imap"), false);
      // Refused recipients and logins leave their traces with Postfix and Dovecot, not in their configuration.
      assert.deepEqual(await source.files(), pristine);
    });
  });
}
