// A daemon that is broken before we come is not changed: nothing could be proved. What only leaves may go all the same.
import { strict as assert } from "node:assert";
import { startHost, type Host } from "../support/host.js";
import { create } from "../support/resources.js";
import { sampled } from "../support/sample.js";

for (const debian of sampled("bookworm")) {
  describe(`a daemon that does not answer on ${debian}`, () => {
    let host: Host;
    before(async () => {
      host = await startHost(debian);
    });
    after(() => host.stop());

    it("Dovecot without its auth gets no change, and gives back what it had", async () => {
      const pristine = await host.files();
      const trust = await create(host, { kind: "DovecotProxyTrust", stack: "before" }, { proxies: ["192.0.2.10"] });
      await host.run(`printf 'auth_mechanisms = plain bogus\\n' >/etc/dovecot/conf.d/99-operator.conf; doveadm reload`);
      const broken = await host.files();
      await assert.rejects(
        create(host, { kind: "DovecotProxyTrust" }, { proxies: ["192.0.2.20"] }),
        /dovecot: its services do not answer, so a change could not be proved.*bogus.*Nothing was changed/is,
      );
      assert.deepEqual(await host.files(), broken);
      await trust.remove();
      await host.run("rm /etc/dovecot/conf.d/99-operator.conf; doveadm reload");
      assert.deepEqual(await host.files(), pristine);
    });

    it("Postfix of which no smtpd answers gets no change", async () => {
      await host.run(`cp -a /etc/postfix/main.cf /root/main.cf
        postconf -e 'smtpd_authorized_verp_clients = ::1/128'; touch -d '-5 seconds' /etc/postfix/main.cf; postfix reload 2>/dev/null`);
      const broken = await host.files();
      await assert.rejects(
        create(host, { kind: "RelayAcceptance" }, { servers: ["192.0.2.20"] }),
        /postfix: its services do not answer, so a change could not be proved.*type:name.*Nothing was changed/is,
      );
      assert.deepEqual(await host.files(), broken);
    });
  });
}
