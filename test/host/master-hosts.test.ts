// MasterUser on hosts that differ from Debian's own set-up: users in SQL, a userdb that knows nobody, short names, a cache of
// logins, other master users, ACLs. What it promises holds on each, or it is refused; nothing changes for anybody else.
import { strict as assert } from "node:assert";
import {
  acl,
  anybody,
  cache,
  careless,
  masters,
  operatorFile,
  realm,
  shortNames,
  sql,
  userDatabase,
  type Files,
} from "../support/dovecot-hosts.js";
import { startHost, type Dialogue, type Host } from "../support/host.js";
import { login, readMessage, readScript, select, type Service, type Visit } from "../support/mail-client.js";
import { create, listening, type Resource } from "../support/resources.js";
import { sampled } from "../support/sample.js";

const kind = "MasterUser";
const services: readonly Service[] = ["imap", "pop3", "sieve", "submission"];
const normal = ["alice@example.com", "alicepassword"] as const;
const password = "master password";
/** Where `opens` comes from. */
const allowedNetworks = ["127.1.0.0/16"];

for (const debian of sampled("trixie")) {
  describe(`MasterUser on other hosts with ${debian}`, () => {
    let host: Host;
    let visits = 0;

    before(async () => {
      host = await startHost(debian);
      await host.run(`${userDatabase}\ncp -a /etc/dovecot /opt/dovecot`);
    });
    after(() => host.stop());
    afterEach(() => host.run("rm -rf /etc/dovecot && cp -a /opt/dovecot /etc/dovecot"));

    const configure = async (...parts: (Files | string)[]): Promise<Map<string, string>> => {
      // Failed logins are many here: no delay for them, nor for the address that they come from (see `visit`).
      let settings = "auth_failure_delay = 0\n";
      for (const part of parts) {
        if (typeof part === "string") settings += part;
        else for (const [path, text] of Object.entries(part)) await host.write(`/etc/dovecot/${path}`, text);
      }
      await host.run(`printf '%s' '${settings}' >>/etc/dovecot/${operatorFile} && doveadm reload`);
      return host.files();
    };
    /** From an address of its own: Dovecot delays logins from one that failed before. */
    const visit = (network = "127.1"): Visit => {
      const n = ++visits;
      return { client: host, to: "127.0.0.1", from: `${network}.${String(n >> 8)}.${String(n % 256)}` };
    };
    /** Lets a service one in, to what is alice's? */
    const opens = (user: string, secret: unknown, service: Service = "imap", at = visit()): Promise<boolean> => {
      const then = { imap: readMessage, sieve: readScript, pop3: undefined, submission: undefined }[service];
      const steps = then === undefined ? {} : { then };
      return login(at, service, [user, String(secret)], steps).catch((error: unknown) => {
        // 2.4 says OK before it finds out that there is no such user.
        assert.match(String(error), /the connection has ended/);
        return false;
      });
    };
    const where = async (user: string, secret: unknown): Promise<Service[]> => {
      const open = await Promise.all(services.map((service) => opens(user, secret, service)));
      return services.filter((_, n) => open[n]);
    };
    const asEver = async (): Promise<void> => {
      assert.deepEqual(await Promise.all([where(...normal), opens(normal[0], "wrong password")]), [services, false]);
    };

    /** Makes a master user on this host, and shows that it can what is promised, and nothing else. */
    const holds = async (
      original: Map<string, string>,
      { username = "vmadmin", separator = "%", names = ["alice@example.com"] },
      during?: (user: Resource) => Promise<unknown>,
    ): Promise<void> => {
      await asEver();
      const user = await create(host, { kind }, { username, password, allowedNetworks });
      assert.equal(user.outs["loginFormat"], `{user}${separator}${username}`);
      const as = (name: string): string => `${name}${separator}${username}`;
      const asMaster = async (): Promise<void> => {
        for (const name of names) assert.deepEqual(await where(as(name), password), ["imap", "sieve"]);
        const refused = await Promise.all([
          opens(as("nobody@example.com"), password),
          opens(as("nobody"), password, "sieve"),
          opens(as(normal[0]), "wrong password"),
          opens(as(normal[0]), password, "imap", visit("127.3")),
          opens(normal[0], password),
        ]);
        assert.deepEqual(refused, [false, false, false, false, false]);
      };
      await Promise.all([asMaster(), asEver()]);
      await during?.(user);
      await user.remove();
      assert.equal(await opens(as(normal[0]), user.outs["password"]), false);
      await asEver();
      assert.deepEqual(changed(original, await host.files()), []);
    };

    it("works with users in SQL, a default domain and a cache of logins, which keeps no old password alive", async () => {
      const original = await configure(sql(debian), realm(debian), cache);
      await holds(original, { names: ["alice@example.com", "alice"] }, async (user) => {
        await user.update({ username: "vmadmin", password: "another password", allowedNetworks });
        // Dovecot looks at a password file once a second.
        const until = Date.now() + 10_000;
        const isRead = (service: Service) => opens("alice@example.com%vmadmin", "another password", service);
        for (const service of ["imap", "sieve"] as const) while (!(await isRead(service)) && Date.now() < until);
        // By now a cache may know the answers.
        assert.equal(await opens("alice@example.com%vmadmin", password), false);
        assert.deepEqual(await where("alice@example.com%vmadmin", "another password"), ["imap", "sieve"]);
        assert.equal(await opens("nobody@example.com%vmadmin", "another password"), false);
        assert.equal(await opens("alice@example.com%vmadmin", "another password", "imap", visit("127.3")), false);
      });
    });

    it("works where the query compares the password, and the domain of every login is cut off", async () => {
      const original = await configure(sql(debian, { checks: true }), shortNames(debian));
      await holds(original, { username: "vmadmin@migration.invalid", names: ["alice@example.com", "alice"] });
    });

    it("works where the userdb says yes to everybody and the passdb does not", async () => {
      const filter = debian === "bookworm" ? "*@example.com" : "";
      await holds(await configure(anybody(debian, { filter })), {});
    });

    it("works beside master users of the administrator's own, with their separator, and they with it", async () => {
      const original = await configure(masters(debian));
      const theirs = async (at: readonly Service[] = services): Promise<void> => {
        for (const service of at) {
          assert.equal(await opens("alice@example.com*operator", "operatorpassword", service), true);
        }
        assert.equal(await opens("alice@example.com*operator", "wrong password"), false);
      };
      await theirs(["imap"]);
      await holds(original, { separator: "*" }, () => theirs());
      await theirs(["imap"]);
    });

    it("would open no mailbox where names are filtered: 2.4 compares the master's own", async () => {
      await configure(anybody(debian, { filter: "*@example.com" }), careless(debian));
      const enters = (name: string): Promise<boolean> =>
        login(visit(), "imap", [`${name}*operator`, "operatorpassword"], { then: select });
      const names = ["alice@example.com", "nobody@example.com", "nobody@example.net"];
      assert.deepEqual(await Promise.all(names.map(enters)), [debian === "bookworm", false, false]);
    });

    it("is refused where neither passdb nor userdb would keep it from mailboxes of nobody", async () => {
      const refused = async (files: Files, why: RegExp): Promise<void> => {
        const original = await configure(files);
        await assert.rejects(create(host, { kind }, { username: "vmadmin" }), why);
        assert.deepEqual(changed(original, await host.files()), []);
      };
      await refused(sql(debian, { checks: true, anybody: true }), /passdb sql at \S+ cannot look a user up without/);
      if (debian === "trixie") {
        await refused(anybody(debian, { filter: "*@example.com" }), /passdb passwd-file at \S+ is passed over when a/);
      }
    });

    it("warns where ACLs would let it open no mailbox, and only there", async () => {
      const original = await configure(acl(debian, "login's"));
      const warning = /has acl, by which the master user has no right on any mailbox and opens none/;
      const { result: user, told } = await listening(() => create(host, { kind }, { username: "vmadmin", password }));
      assert.match(told, warning);
      assert.equal(await selects(visit(), ["alice@example.com%vmadmin", password]), false);
      assert.equal(await selects(visit(), normal), true);
      const others = ["off", "user's", ...(debian === "trixie" ? (["default"] as const) : [])] as const;
      for (const whose of others) {
        await configure(acl(debian, whose));
        assert.equal(await opens("alice@example.com%vmadmin", password), true);
      }
      const { told: now } = await listening(() => user.update({ username: "vmadmin", password, services: ["imap"] }));
      assert.doesNotMatch(now, warning);
      await configure(acl(debian, "login's"));
      await user.remove();
      assert.deepEqual(changed(original, await host.files()), []);
    });
  });
}

/** Whether a login over IMAP opens the INBOX. */
async function selects(at: Visit, as: readonly [string, string]): Promise<boolean> {
  let answer = "";
  const select = async (dialogue: Dialogue): Promise<void> => {
    await dialogue.send("b SELECT INBOX");
    answer = await dialogue.expect(/^b (OK|NO).*/m);
  };
  assert.equal(await login(at, "imap", as, { then: select }), true);
  return /^b OK/m.test(answer);
}

/** Paths that are not as they were, sorted. */
function changed(before: Map<string, string>, after: Map<string, string>): string[] {
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((path) => before.get(path) !== after.get(path))
    .sort();
}
