// MasterUser on real hosts: what a master user can do, what it cannot, and that nothing changes for anybody else.
import { strict as assert } from "node:assert";
import { diff } from "pulumi-dovecot-postfix/runtime";
import { startHost, type Host } from "../support/host.js";
import {
  dovecotReloads,
  login,
  readMessage,
  readScript,
  select,
  type Service,
  type Visit,
} from "../support/mail-client.js";
import { create, listening, type Resource } from "../support/resources.js";

const kind = "MasterUser";
const operatorFile = "/etc/dovecot/conf.d/99-zzz-operator.conf";
const passwordFile = "/etc/dovecot/pulumi-dovecot-postfix.master";

for (const debian of ["bookworm", "trixie"] as const) {
  const is23 = debian === "bookworm";

  describe(`MasterUser on ${debian}`, () => {
    let host: Host;
    let original: Map<string, string>;
    let fromNowhere = 0;

    before(async () => {
      host = await startHost(debian);
      // Failed logins are many here: no delay for them, nor for the address that they come from (see `visit`).
      await host.run("echo 'auth_failure_delay = 0' >>/etc/dovecot/local.conf && doveadm reload");
      // Answers when the reload is over, and no file comes and goes any more.
      await opens("alice@example.com", "alicepassword");
      original = await host.files();
    });
    after(() => host.stop());

    /** From an address of its own: Dovecot delays logins from one that failed before. */
    const visit = (): Visit => ({
      client: host,
      to: host.address,
      from: `127.1.0.${String(++fromNowhere)}`,
    });
    const opens = (user: string, password: unknown, service: Service = "imap", at: Visit = visit()): Promise<boolean> =>
      login({ ...at, to: at.from?.startsWith("127.") ? "127.0.0.1" : at.to }, service, [user, String(password)]);
    /** Dovecot looks at a password file once a second. */
    const soon = async (user: string, password: unknown, expected: boolean, service?: Service): Promise<void> => {
      const until = Date.now() + 1500;
      while ((await opens(user, password, service)) !== expected) {
        assert.ok(Date.now() < until, `${user} is ${expected ? "refused" : "let in"} still`);
      }
    };
    const unchanged = async (): Promise<void> => {
      assert.deepEqual(changed(original, await host.files()), []);
    };

    it("is refused while a login holds the separator, since that user could not log in any more", async () => {
      const users = "/etc/dovecot/users";
      await host.run(`cp -a ${users} /root/users; sed -n 's/^alice@/eve%2@/p' /root/users >>${users}`);
      const prepared = await host.files();
      await assert.rejects(
        create(host, { kind }, { username: "vmadmin" }),
        /the login "eve%2@example\.com" holds "%"\.\nWhat to do: Choose another one with `separator`/,
      );
      assert.deepEqual(changed(prepared, await host.files()), []);
      const user = await create(host, { kind }, { username: "vmadmin", separator: "*" });
      await soon("alice@example.com*vmadmin", user.outs["password"], true);
      await user.remove();
      await host.run(`mv /root/users ${users}`);
      await unchanged();
    });

    describe("from its creation to its end", () => {
      let user: Resource;
      let other: Resource;

      it("is created with a strong password that no process list, log or ledger shows", async () => {
        assert.equal(await opens("alice@example.com", "alicepassword"), true);
        await host.write("/usr/local/sbin/doveadm", spy, "0755");
        user = await create(host, { kind }, { username: "vmadmin" });
        await host.run("rm /usr/local/sbin/doveadm");
        const seen = (await host.run("cat /tmp/seen; rm /tmp/seen")).replaceAll("\0", "\n");
        const password = String(user.outs["password"]);
        assert.match(password, /^[\w-]{32}$/);
        assert.match(seen, /doveadm\npw\n-s\nSHA512-CRYPT\n/);
        const hash = (await host.read(`${passwordFile}.imap`)).split(":")[1] ?? "";
        assert.match(hash, /^\{SHA512-CRYPT\}\$6\$/);
        const kept = await host.run(
          "cat /var/log/*.log /var/log/syslog 2>/dev/null; grep -r . /var/lib/pulumi-dovecot-postfix",
        );
        for (const place of [seen, kept]) {
          assert.equal(place.includes(password), false);
          assert.equal(place.includes(hash), false);
        }
      });

      it("tells how to log in", () => {
        assert.equal(user.outs["separator"], "%");
        assert.equal(user.outs["loginFormat"], "{user}%vmadmin");
        assert.match(String(user.outs["dovecotVersion"]), is23 ? /^2\.3\./ : /^2\.4\./);
      });

      it("reads a mailbox over IMAP and its scripts over ManageSieve", async () => {
        const as = ["alice@example.com%vmadmin", String(user.outs["password"])] as const;
        const at = { ...visit(), to: "127.0.0.1" };
        assert.equal(await login(at, "imap", as, { then: readMessage }), true);
        assert.equal(await login(at, "sieve", as, { then: readScript }), true);
      });

      it("opens no mailbox that does not exist, sends no mail, and reads nothing over POP3", async () => {
        const { password } = user.outs;
        const refused = await Promise.all([
          opens("nobody@example.com%vmadmin", password),
          opens("alice@example.com%vmadmin", "wrongpassword"),
          opens("alice@example.com%nobody", password),
          opens("vmadmin", password),
          opens("alice@example.com%vmadmin", password, "submission"),
          opens("alice@example.com%vmadmin", password, "pop3"),
        ]);
        assert.deepEqual(refused, [false, false, false, false, false, false]);
      });

      it("changes nothing for the users themselves", async () => {
        const services: Service[] = ["imap", "pop3", "sieve", "submission"];
        const right = await Promise.all(
          services.map((service) => opens("alice@example.com", "alicepassword", service)),
        );
        assert.deepEqual(right, [true, true, true, true]);
        assert.equal(await opens("alice@example.com", "wrongpassword"), false);
      });

      it("keeps the password in files that only root and Dovecot's auth can read", async () => {
        for (const service of ["imap", "sieve"]) {
          assert.equal((await host.run(`stat -c '%a %U:%G' ${passwordFile}.${service}`)).trim(), "640 root:dovecot");
        }
        assert.equal((await host.run(`ls ${passwordFile}*`)).split("\n").length - 1, 2);
      });

      it("keeps its generated password over updates", async () => {
        const { password } = user.outs;
        const files = await host.files();
        await user.update({ username: "vmadmin" });
        assert.equal(user.outs["password"], password);
        assert.deepEqual(changed(files, await host.files()), []);
        assert.deepEqual(await user.drift(), []);
      });

      it("takes a new password at once and without a reload, and forgets the old one", async () => {
        const { password } = user.outs;
        const reloads = await dovecotReloads(host);
        const odd = "pässwörd of 9 €, with 'quotes', \\ and $x %n";
        await user.update({ username: "vmadmin", password: odd });
        await soon("alice@example.com%vmadmin", odd, true);
        await soon("alice@example.com%vmadmin", odd, true, "sieve");
        await soon("alice@example.com%vmadmin", password, false);
        assert.equal(await dovecotReloads(host), reloads);
      });

      it("takes a hash in place of a password", async () => {
        const made = "printf 'hashedpassword\\nhashedpassword\\n' | doveadm pw -s SSHA512 | grep -o '{.*'";
        const passwordHash = (await host.run(made)).trim();
        await user.update({ username: "vmadmin", passwordHash });
        assert.equal(user.outs["password"], undefined);
        await soon("alice@example.com%vmadmin", "hashedpassword", true);
        assert.deepEqual(await user.drift(), []);
      });

      it("is for the services that it is told only", async () => {
        await user.update({ username: "vmadmin", password: "another password", services: ["imap"] });
        await soon("alice@example.com%vmadmin", "another password", true);
        await soon("alice@example.com%vmadmin", "another password", false, "sieve");
        assert.deepEqual(await user.drift(), []);
      });

      it("is refused from all but the allowed networks, IPv4 and IPv6", async () => {
        const allowedNetworks = ["127.2.0.0/24", "::1", "2001:db8:7::/48"];
        await user.update({ username: "vmadmin", password: "another password", allowedNetworks });
        const at = (from: string, to = "127.0.0.1"): Promise<boolean> =>
          login({ client: host, to, from }, "imap", ["alice@example.com%vmadmin", "another password"]);
        await soon("alice@example.com%vmadmin", "another password", false);
        assert.deepEqual(await Promise.all([at("127.2.0.7"), at("127.3.0.7"), at(host.address, host.address)]), [
          true,
          false,
          false,
        ]);
        assert.equal(await at("::1", "::1"), true);
        await user.update({ username: "vmadmin", password: "another password", allowedNetworks: ["2001:db8:7::/48"] });
        await pause();
        assert.equal(await at("::1", "::1"), false);
        await soon("alice@example.com", "alicepassword", true);
      });

      it("is another user under another name: the old one goes first", async () => {
        const { outs } = user;
        const asked = await diff("", outs, { ...outs, username: "other" });
        assert.deepEqual(asked, { changes: true, replaces: ["username"], deleteBeforeReplace: true });
      });

      it("takes another separator", async () => {
        await user.update({ username: "vmadmin", password: "another password", separator: "*" });
        assert.equal(user.outs["loginFormat"], "{user}*vmadmin");
        await soon("alice@example.com*vmadmin", "another password", true);
        await soon("alice@example.com%vmadmin", "another password", false);
        // It stays where the program is silent.
        await user.update({ username: "vmadmin", password: "another password", allowedNetworks: ["127.1.0.0/16"] });
        assert.equal(user.outs["loginFormat"], "{user}*vmadmin");
        await user.update({ username: "vmadmin", password: "another password" });
      });

      it("stands beside a master user of another stack, whose separator it does not choose", async () => {
        other = await create(
          host,
          { kind, stack: "other" },
          { username: "migration@example.net", password: "other password" },
        );
        assert.equal(other.outs["loginFormat"], "{user}*migration@example.net");
        await soon("alice@example.com*migration@example.net", "other password", true);
        await soon("alice@example.com*vmadmin", "another password", true);
        await assert.rejects(
          create(host, { kind, stack: "third" }, { username: "vmadmin", password: "third password" }),
          /vmadmin .*already provided by organization\/mail\/test\//,
        );
      });

      it("reports an edited password file, and repairs just that", async () => {
        await host.run(`sed -i 's/^vmadmin:.*/vmadmin:{PLAIN}intruder/' ${passwordFile}.imap`);
        assert.match((await user.drift()).join("\n"), /pulumi-dovecot-postfix\.master\.imap has been edited/);
        const reloads = await dovecotReloads(host);
        await user.update({ username: "vmadmin", password: "another password", separator: "*" });
        await soon("alice@example.com*vmadmin", "intruder", false);
        await soon("alice@example.com*vmadmin", "another password", true);
        await soon("alice@example.com*migration@example.net", "other password", true);
        assert.equal(await dovecotReloads(host), reloads);
        assert.deepEqual(await user.drift(), []);
      });

      it("leaves the other stack's master user alone when it goes", async () => {
        await user.remove();
        await soon("alice@example.com*vmadmin", "another password", false);
        await soon("alice@example.com*migration@example.net", "other password", true);
        assert.deepEqual(await other.drift(), []);
      });

      it("leaves nothing behind when the last one goes", async () => {
        await other.remove();
        await soon("alice@example.com*migration@example.net", "other password", false);
        await soon("alice@example.com", "alicepassword", true);
        await unchanged();
      });
    });

    describe("on a host that has master users and a default realm", () => {
      before(async () => {
        const keys = ["operator", "operator@example.com"].map((key) => `${key}:{PLAIN}operatorpassword\n`);
        await host.write("/etc/dovecot/operator-masters", keys.join(""));
        await host.run("chgrp dovecot /etc/dovecot/operator-masters && chmod 640 /etc/dovecot/operator-masters");
        await host.write(
          operatorFile,
          is23
            ? "auth_default_realm = example.com\nauth_master_user_separator = *\npassdb {\n  driver = passwd-file\n  master = yes\n  args = username_format=%u /etc/dovecot/operator-masters\n}\n"
            : "auth_default_domain = example.com\nauth_master_user_separator = *\npassdb operators {\n  driver = passwd-file\n  master = yes\n  passwd_file_path = /etc/dovecot/operator-masters\n}\n",
        );
        await host.run("doveadm reload");
      });
      after(async () => {
        await host.run(`rm -f ${operatorFile} /etc/dovecot/operator-masters && doveadm reload`);
      });

      it("is refused with another separator than theirs", async () => {
        await assert.rejects(
          create(host, { kind }, { username: "vmadmin", separator: "%" }),
          /log in with "\*" \(auth_master_user_separator at \/etc\/dovecot\/conf\.d\/99-zzz-operator\.conf:2\)[^]*What to do: Leave `separator` out/,
        );
      });

      it("adopts theirs and works beside them", async () => {
        const before = await host.files();
        assert.equal(await opens("alice@example.com*operator", "operatorpassword"), true);
        const user = await create(host, { kind }, { username: "vmadmin", password: "master password" });
        assert.equal(user.outs["loginFormat"], "{user}*vmadmin");
        assert.deepEqual(
          await Promise.all([
            opens("alice@example.com*vmadmin", "master password"),
            opens("alice*vmadmin", "master password"),
            opens("alice@example.com*operator", "operatorpassword"),
            opens("nobody@example.com*vmadmin", "master password"),
          ]),
          [true, true, true, false],
        );
        await user.remove();
        assert.equal(await opens("alice@example.com*vmadmin", "master password"), false);
        assert.equal(await opens("alice@example.com*operator", "operatorpassword"), true);
        assert.deepEqual(changed(before, await host.files()), []);
      });
    });

    it("is refused for a service that the host does not serve, with the list of those it does", async () => {
      await host.write(operatorFile, "protocols = imap sieve lmtp\n");
      try {
        await assert.rejects(
          create(host, { kind }, { username: "vmadmin", services: ["imap", "pop3"] }),
          /does not serve pop3 [^]*Name one of: imap, sieve/,
        );
      } finally {
        await host.run(`rm ${operatorFile}`);
      }
      await unchanged();
    });

    // 2.4 merges passdbs of one name; then nobody but a master is left.
    if (!is23) {
      it("is refused where the host's own passdb has become a master's", async () => {
        await host.write(operatorFile, "passdb passwd-file {\n  master = yes\n}\n");
        try {
          await assert.rejects(create(host, { kind }, { username: "vmadmin" }), /no passdb for normal users/);
        } finally {
          await host.run(`rm ${operatorFile} && doveadm reload`);
        }
      });
    }

    it("tells what did not answer before, and goes on", async () => {
      await host.write(operatorFile, "service pop3-login {\n  executable = /bin/false\n}\n");
      await host.run("doveadm reload");
      try {
        const { told, result: user } = await listening(() => create(host, { kind }, { username: "vmadmin" }));
        assert.match(told, /did not answer before either: pop3s/);
        assert.equal(await opens("alice@example.com%vmadmin", user.outs["password"]), true);
        await user.remove();
      } finally {
        await host.run(`rm ${operatorFile} && doveadm reload`);
      }
      await unchanged();
    });

    it("puts the old bytes back where auth dies of what somebody else had not reloaded, and says so", async () => {
      // The auth that runs knows nothing of the file yet.
      assert.equal(await opens("alice@example.com", "alicepassword"), true);
      await host.write(
        operatorFile,
        is23
          ? "passdb {\n  driver = passwd-file\n  args = bogus=1 /etc/dovecot/users\n}\n"
          : "auth_mechanisms = plain bogus\n",
      );
      const before = await host.files();
      const placed = `${passwordFile}.imap`;
      const lifetime = host.run(
        `until [ -e ${placed} ]; do sleep 0.02; done; began=$(date +%s%N); while [ -e ${placed} ]; do sleep 0.02; done; echo $((($(date +%s%N) - began) / 1000000))`,
      );
      try {
        await assert.rejects(create(host, { kind }, { username: "vmadmin" }), (error: Error) => {
          assert.match(error.message, /a service that answered before does not answer after the reload/);
          assert.match(error.message, /auth: Fatal: .*bogus/i);
          assert.match(error.message, /State of the host: The old files are back, but this still fails/);
          return true;
        });
        assert.deepEqual(changed(before, await host.files()), []);
        assert.ok(Number(await lifetime) < 10_000, `the old bytes were back after ${await lifetime} ms`);
      } finally {
        await host.run(`rm ${operatorFile} && doveadm reload`);
      }
      assert.equal(await opens("alice@example.com", "alicepassword"), true);
      await unchanged();
    });
  });

  describe(`MasterUser on ${debian} with users from PAM`, () => {
    let host: Host;
    before(async () => {
      host = await startHost(debian, { users: "pam" });
    });
    after(() => host.stop());

    /** Does a mailbox open? A login without one ends the connection: 2.4 says OK to root's before it does. */
    const opens = (user: string, password: string, from: string): Promise<boolean> =>
      login({ client: host, to: "127.0.0.1", from }, "imap", [user, password], { then: select }).catch(
        (error: unknown) => {
          assert.match(String(error), /the connection has ended/);
          return false;
        },
      );

    it("reads a mailbox, no other than that of a user, and leaves no failed login with PAM", async () => {
      const before = await host.files();
      const user = await create(host, { kind }, { username: "vmadmin", password: "master password" });
      const at: Visit = { client: host, to: "127.0.0.1" };
      assert.equal(await login(at, "imap", ["alice%vmadmin", "master password"], { then: readMessage }), true);
      assert.equal(/pam_unix\(dovecot:auth\): auth.*failure/.test(await host.authLog()), false);
      assert.deepEqual(
        await Promise.all([
          opens("nobody-here%vmadmin", "master password", "127.1.0.1"),
          opens("root%vmadmin", "master password", "127.1.0.2"),
          opens("alice%vmadmin", "wrong password", "127.1.0.3"),
          opens("alice", "alicepassword", "127.1.0.4"),
        ]),
        [false, false, false, true],
      );
      await user.remove();
      assert.equal(await opens("alice%vmadmin", "master password", "127.1.0.5"), false);
      assert.deepEqual(changed(before, await host.files()), []);
    });

    it("is refused where a static userdb would open mailboxes of nobody", async () => {
      const fields = is23
        ? "userdb {\n  driver = static\n  args = uid=mail gid=mail home=/var/mail/%u\n}\n"
        : "userdb static {\n  fields {\n    uid = mail\n    gid = mail\n    home = /var/mail/%{user}\n  }\n}\n";
      await host.write(operatorFile, fields);
      await host.run("sed -i 's/^!include auth-system/#&/' /etc/dovecot/conf.d/10-auth.conf");
      await host.write(
        "/etc/dovecot/conf.d/99-zz-operator.conf",
        is23 ? "passdb {\n  driver = pam\n}\n" : "passdb pam {\n}\n",
      );
      const before = await host.files();
      await assert.rejects(
        create(host, { kind }, { username: "vmadmin" }),
        /passdb pam at \S+:\d+ cannot look a user up without the user's password, and userdb static at \S+:\d+ does not know/,
      );
      assert.deepEqual(changed(before, await host.files()), []);
    });
  });
}

/** In doveadm's place: notes the arguments and environments of all processes at this moment, and goes on as doveadm. */
const spy = `#!/bin/sh
cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >>/tmp/seen 2>/dev/null </dev/null
exec /usr/bin/doveadm "$@"
`;

/** Until Dovecot looks at a password file again. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1100));
}

/** Paths that are not as they were, sorted. */
function changed(before: Map<string, string>, after: Map<string, string>): string[] {
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((path) => before.get(path) !== after.get(path))
    .sort();
}
