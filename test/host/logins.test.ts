// Logins as administrators really have them: not root, noisy, restricted. The whole way, against a mail host.
import { strict as assert } from "node:assert";
import { addAdministrator, sudoers } from "../support/administrator.js";
import { startHost, type Host } from "../support/host.js";
import { create } from "../support/resources.js";
import { sampled } from "../support/sample.js";

const servers = ["203.0.113.20"];

for (const debian of sampled("trixie")) {
  describe(`logins on ${debian}`, () => {
    let host: Host;
    let pristine: Map<string, string>;

    before(async () => {
      host = await startHost(debian);
      await addAdministrator(host, "adminpassword");
      await host.run(`useradd --create-home --shell /usr/sbin/nologin guest && echo 'guest:guestpassword' | chpasswd
        cp -a /home/admin/.ssh /home/guest/.ssh && chown -R guest:guest /home/guest/.ssh`);
      pristine = await files();
    });
    after(() => host.stop());
    afterEach(async () => {
      await host.run("rm -f /etc/sudoers.d/admin; printf '' >/home/admin/.bashrc");
      assert.deepEqual(await files(), pristine);
    });

    /** sudo remembers its own logins; that is not for us to forget. */
    const files = async () => new Map([...(await host.files())].filter(([path]) => !path.startsWith("/run/sudo")));
    const relay = (connection: object) => create(host, { kind: "RelayAcceptance" }, { connection, servers });
    const admin = () => ({ ...host.connection, user: "admin" });

    it("who is not root is told to become root", async () => {
      await assert.rejects(relay(admin()), /is not root.*\n.*become: true/s);
    });

    it("become uses sudo without a password", async () => {
      await sudoers(host, "admin ALL=(root) NOPASSWD: ALL");
      const resource = await relay({ ...admin(), become: true });
      assert.match(await host.run("postconf -h mynetworks"), /203\.0\.113\.20\/32/);
      await resource.remove();
    });

    it("a sudo that asks for a password gets becomePassword, or is named", async () => {
      await sudoers(host, "admin ALL=(root) ALL");
      await assert.rejects(relay({ ...admin(), become: true }), /sudo asks for a password.*becomePassword/s);
      const resource = await relay({ ...admin(), becomePassword: "adminpassword" });
      await resource.remove();
    });

    it("a sudo that demands a terminal is named", async () => {
      await sudoers(host, "Defaults:admin requiretty\nadmin ALL=(root) NOPASSWD: ALL");
      await assert.rejects(relay({ ...admin(), become: true }), /sudo demands a terminal.*requiretty/s);
    });

    it("what a noisy .bashrc prints is not taken for an answer", async () => {
      await sudoers(host, "admin ALL=(root) NOPASSWD: ALL");
      await host.run("echo 'echo Welcome to mail.example.com; echo oh no >&2' >/home/admin/.bashrc");
      const resource = await relay({ ...admin(), become: true });
      await resource.remove();
    });

    it("a forced command and a restricted shell are named, and nothing is written", async () => {
      await sudoers(host, "admin ALL=(root) NOPASSWD: ALL");
      const keys = "/home/admin/.ssh/authorized_keys";
      // Another connection than before: one that is open is kept.
      await host.run(`sed -i 's|^|command="echo only backups here" |' ${keys}`);
      await assert.rejects(relay({ ...admin(), become: true, perDialTimeout: 9 }), /no forced command.*/s);
      await host.run(`sed -i 's|^command="[^"]*" ||' ${keys}`);
      await assert.rejects(relay({ ...host.connection, user: "guest" }), /plain shell/);
    });
  });
}
