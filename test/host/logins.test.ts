// Logins as administrators really have them: not root, noisy, restricted. The whole way, against a mail host.
import { strict as assert } from "node:assert";
import { addAdministrator, sudoers } from "../support/administrator.js";
import { startHost, type Host } from "../support/host.js";
import { create } from "../support/resources.js";
import { sampled } from "../support/sample.js";

const servers = ["203.0.113.20"];

interface Narrow {
  is: string;
  shell?: string;
  /** Before the key in authorized_keys. */
  key?: string;
  /** For this user in sshd_config. */
  sshd?: string;
}
const confined: Narrow = { is: "a restricted shell", shell: "/bin/rbash" };
/** Users whose login runs no command of ours. */
const narrow: Readonly<Record<string, Narrow>> = {
  guest: { is: "a login shell that lets nobody in", shell: "/usr/sbin/nologin" },
  pathless: { is: "a restricted shell that finds no command", shell: "/bin/rbash" },
  copier: { is: "a forced command of the key", key: 'restrict,command="echo only backups here" ' },
  mirror: { is: "a forced command that sends everything back", key: 'command="cat" ' },
  forced: { is: "a ForceCommand of sshd", sshd: "ForceCommand echo only backups here" },
  files: { is: "an account for SFTP only", sshd: "ForceCommand internal-sftp" },
};

for (const debian of sampled("trixie")) {
  describe(`logins on ${debian}`, () => {
    let host: Host;
    let pristine: Map<string, string>;

    before(async () => {
      host = await startHost(debian);
      await addAdministrator(host, "adminpassword");
      for (const [user, { shell = "/bin/sh", key = "", sshd = "" }] of Object.entries({ confined, ...narrow })) {
        await host.run(`useradd --create-home --shell ${shell} ${user}
          cp -a /home/admin/.ssh /home/${user}/.ssh && chown -R ${user}:${user} /home/${user}/.ssh
          sed -i 's|^|${key}|' /home/${user}/.ssh/authorized_keys`);
        if (sshd) await host.run(`printf '%s\n' 'Match User ${user}' '${sshd}' >>/etc/ssh/sshd_config`);
      }
      await host.run("echo 'PATH=$HOME/bin' >/home/pathless/.bashrc; pkill -HUP -o sshd");
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

    it("a refused login is tried once, however many resources wait for it", async () => {
      const privateKey = await host.run(
        "rm -f /tmp/other*; ssh-keygen -q -t ed25519 -N '' -f /tmp/other; cat /tmp/other",
      );
      const connection = { ...host.connection, privateKey };
      const logins = async () => (await host.authLog()).split("Connection from ").length - 1;
      const before = await logins();
      const names = ["one", "two", "three"];
      const all = names.map((name) => create(host, { kind: "RelayAcceptance", name }, { connection, servers }));
      for (const each of await Promise.allSettled(all)) {
        assert.equal(each.status, "rejected");
        assert.match(String(each.reason), /the login was refused for user root.*not tried again/s);
      }
      // The log comes a moment later, and a second login, if there were one, would have by then.
      await new Promise((resolve) => setTimeout(resolve, 1000));
      assert.equal((await logins()) - before, 1);
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

    it("a restricted shell that still finds sh and sudo is enough", async () => {
      await sudoers(host, "confined ALL=(root) NOPASSWD: ALL");
      const resource = await relay({ ...host.connection, user: "confined", become: true });
      await resource.remove();
    });

    for (const [user, { is }] of Object.entries(narrow)) {
      it(`${is} is named, and nothing is written`, async () => {
        for (const become of [{}, { become: true }]) {
          await assert.rejects(
            relay({ ...host.connection, user, ...become }),
            /is not its answer.*must give a plain shell \(no forced command, no restricted shell\)/s,
          );
        }
      });
    }
  });
}
