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
    /** Over IMAP without TLS: whether a password is taken. */
    const inTheClear = async (client: Host) =>
      !(
        await client.dialogue({ host: source.address, port: 143 }, (dialogue) => dialogue.expect(/^\* OK.*/m))
      ).includes("LOGINDISABLED");
    const xclient = async (client: Host, port: number) =>
      (await ehlo({ at: client }, source.address, port)).includes("XCLIENT");
    const relays = async (client: Host) =>
      (await send({ at: client }, source.address, { to: "someone@example.org" })).startsWith("250");
    const reads = (client: Host, service: Service) => login({ client, to: source.address }, service, [...master]);
    /** The same user, who names the mailbox in another place. */
    const readsAs = (client: Host, service: Service) =>
      login({ client, to: source.address }, service, ["vmadmin", password], { as: "alice@example.com" });
    const alice = (client: Host, service: Service) =>
      login({ client, to: source.address }, service, ["alice@example.com", "alicepassword"]);

    it("is what was granted, to whom it was granted, and is dead after destroy", async function () {
      this.timeout(120_000);
      const hosts = [proxy, next, stranger];
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
      assert.deepEqual(await each(hosts, inTheClear), [true, false, false]);

      for (const port of [25, 587]) {
        assert.deepEqual(await each(hosts, (host) => xclient(host, port)), [true, false, false]);
      }
      assert.deepEqual(await each(hosts, relays), [false, true, false]);

      // What is refused is counted against an address, and answered later each time: all at once.
      const [imap, sieve, imapAs, ...refused] = await Promise.all([
        ...[reads(next, "imap"), reads(next, "sieve"), readsAs(next, "imap")],
        ...[reads(next, "submission"), readsAs(next, "submission"), reads(next, "pop3"), readsAs(next, "pop3")],
        ...[proxy, stranger].flatMap((host) => [reads(host, "imap"), reads(host, "sieve"), readsAs(host, "imap")]),
      ]);
      assert.deepEqual([imap, sieve, imapAs], [true, true, true]);
      assert.deepEqual(refused, Array<boolean>(10).fill(false));
      // Not for want of the service.
      assert.deepEqual(await each(["submission", "pop3"] as const, (service) => alice(proxy, service)), [true, true]);

      await Promise.all(all.map((resource) => resource.remove()));
      assert.equal(await believed(proxy, "198.51.100.10"), proxy.address);
      assert.deepEqual(await each(hosts, inTheClear), [false, false, false]);
      assert.deepEqual(await each(hosts, (host) => xclient(host, 25)), [false, false, false]);
      assert.deepEqual(await each(hosts, relays), [false, false, false]);
      assert.deepEqual(await Promise.all([reads(next, "imap"), reads(next, "sieve"), readsAs(next, "imap")]), [
        false,
        false,
        false,
      ]);
      // Refused recipients and logins leave their traces with Postfix and Dovecot, not in their configuration.
      assert.deepEqual(await source.files(), pristine);
    });
  });
}

const each = <T, R>(all: readonly T[], ask: (one: T) => Promise<R>): Promise<R[]> => Promise.all(all.map(ask));
