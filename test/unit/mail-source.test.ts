// MailSource as the engine sees it: its children, what each is given, and what is secret.
import { strict as assert } from "node:assert";
import { join } from "node:path";
import { runMocked, type Mocked, type Registered } from "../support/mocked.js";

const program = join(__dirname, "mail-source.program.ts");

const connection = { host: "dovecot.example.org", privateKey: "dovecot's key" };
const postfixConnection = { host: "postfix.example.org", privateKey: "postfix's key" };
const least = { connection, proxies: ["203.0.113.10"], servers: ["203.0.113.20"] };
const all = {
  ...least,
  postfixConnection,
  xclientServices: ["submission/inet"],
  masterUser: { username: "vmadmin", password: "the master's password", separator: "*" },
  outboundRelay: { server: "new.example.net", port: 2525 },
};
const state = {
  "pulumi-nodejs:dynamic/dovecot-postfix:MasterUser": { loginFormat: "{user}*vmadmin" },
  "pulumi-nodejs:dynamic/dovecot-postfix:RelayAcceptance": { mynetworks: ["127.0.0.0/8", "203.0.113.20/32"] },
  "pulumi-nodejs:dynamic/dovecot-postfix:OutboundRelay": { relayhost: "[new.example.net]:2525" },
};

/** What the SDK puts in front of the type token of every dynamic resource. */
const dynamic = /^pulumi-nodejs:dynamic\//;

/** The engine's and ours, which the program does not write. */
function argsOf({ inputs }: Registered): Record<string, unknown> {
  const own = ["__provider", "identity", "drift"];
  return Object.fromEntries(Object.entries(inputs).filter(([name]) => !own.includes(name)));
}

/** Of the component "source", by type token. */
function childrenOf({ resources }: Mocked): Record<string, Registered> {
  const children = resources.filter(
    ({ parent }) => parent === "urn:pulumi:test::mail::dovecot-postfix:MailSource::source",
  );
  return Object.fromEntries(children.map((child) => [child.type.replace(dynamic, ""), child]));
}

describe("programs under mocks", () => {
  /** Three runs serve all tests: a program takes seconds. */
  const runs = { full: {} as Mocked, small: {} as Mocked, production: {} as Mocked };

  before(async () => {
    const run = (args: object, stack: string) =>
      runMocked(program, { stack, state, config: { "mail:args": JSON.stringify(args) } });
    const hashed = { ...least, masterUser: { username: "vmadmin", passwordHash: "{SHA512-CRYPT}$6$salt$hash" } };
    [runs.full, runs.small, runs.production] = await Promise.all([
      run(all, "test"),
      run(least, "test"),
      run(hashed, "production"),
    ]);
  });

  describe("MailSource", () => {
    it("is a component of its own type with five children, and has each as a field", () => {
      assert.ok(
        runs.full.resources.some(({ type, name }) => type === "dovecot-postfix:MailSource" && name === "source"),
      );
      const names = Object.entries(childrenOf(runs.full)).map(([type, { name }]) => [type, name] as const);
      assert.deepEqual(Object.fromEntries(names), {
        "dovecot-postfix:DovecotProxyTrust": "source-dovecot",
        "dovecot-postfix:PostfixXclientTrust": "source-xclient",
        "dovecot-postfix:RelayAcceptance": "source-relay",
        "dovecot-postfix:MasterUser": "source-master",
        "dovecot-postfix:OutboundRelay": "source-outbound",
      });
      assert.deepEqual(runs.full.exports["fields"]?.value, [
        ["dovecotProxyTrust", "DovecotProxyTrust"],
        ["postfixXclientTrust", "PostfixXclientTrust"],
        ["relayAcceptance", "RelayAcceptance"],
        ["masterUser", "MasterUser"],
        ["outboundRelay", "OutboundRelay"],
      ]);
    });

    it("without masterUser and outboundRelay has three, and no default of ours in what it asks for", () => {
      const children = childrenOf(runs.small);
      assert.deepEqual(Object.fromEntries(Object.entries(children).map(([type, child]) => [type, argsOf(child)])), {
        "dovecot-postfix:DovecotProxyTrust": { connection, proxies: least.proxies },
        "dovecot-postfix:PostfixXclientTrust": { connection, proxies: least.proxies },
        "dovecot-postfix:RelayAcceptance": { connection, servers: least.servers },
      });
      const names = (runs.small.exports["fields"]?.value as string[][]).map(([name]) => name);
      assert.deepEqual(names, ["dovecotProxyTrust", "postfixXclientTrust", "relayAcceptance"]);
    });

    it("hands each child its arguments, and postfixConnection to the Postfix resources only", () => {
      const children = childrenOf(runs.full);
      assert.deepEqual(Object.fromEntries(Object.entries(children).map(([type, child]) => [type, argsOf(child)])), {
        "dovecot-postfix:DovecotProxyTrust": { connection, proxies: all.proxies },
        "dovecot-postfix:MasterUser": { connection, ...all.masterUser },
        "dovecot-postfix:PostfixXclientTrust": {
          ...{ connection: postfixConnection, proxies: all.proxies, services: all.xclientServices },
        },
        "dovecot-postfix:RelayAcceptance": { connection: postfixConnection, servers: all.servers },
        "dovecot-postfix:OutboundRelay": { connection: postfixConnection, ...all.outboundRelay },
      });
    });

    it("passes on its children's main outputs; the password is secret", () => {
      assert.deepEqual(runs.full.exports["loginFormat"], { value: "{user}*vmadmin", secret: false });
      assert.deepEqual(runs.full.exports["masterPassword"], { value: "the master's password", secret: true });
      assert.deepEqual(runs.full.exports["mynetworks"], { value: ["127.0.0.0/8", "203.0.113.20/32"], secret: false });
      assert.deepEqual(runs.full.exports["relayhost"], { value: "[new.example.net]:2525", secret: false });
      assert.deepEqual(runs.small.exports["loginFormat"]?.value, undefined);
      assert.deepEqual(runs.small.exports["relayhost"]?.value, undefined);
    });
  });

  describe("every resource", () => {
    const custom = ({ resources }: Mocked) => resources.filter(({ inputs }) => inputs["__provider"] !== undefined);
    const owners = (from: Mocked) => custom(from).map(({ inputs }) => (inputs["identity"] as { owner: string }).owner);

    it("keeps connection, password and passwordHash secret, given in the clear or made later", () => {
      const secret = ["connection", "password", "passwordHash"];
      const seen = new Set<string>();
      for (const { inputs, secretInputs, additionalSecretOutputs } of Object.values(runs).flatMap(custom)) {
        const given = Object.keys(inputs).filter((name) => secret.includes(name));
        assert.deepEqual([...secretInputs].sort(), given.sort());
        assert.deepEqual(additionalSecretOutputs, secret);
        for (const name of secretInputs) seen.add(name);
      }
      assert.deepEqual([...seen].sort(), secret);
    });

    it("is known to the host by an owner of its own: stack, parent and name tell it from all others", () => {
      const [test, production] = [owners(runs.full), owners(runs.production)];
      assert.equal(test.length, 11);
      assert.equal(new Set([...test, ...production]).size, 11 + 10);
      const child = "dovecot-postfix:MailSource::source/RelayAcceptance/source-relay";
      assert.ok(test.includes(`organization/mail/test/${child}`));
      assert.ok(test.includes(`organization/mail/test/example:Site$${child}`));
      assert.ok(production.includes(`organization/mail/production/${child}`));
    });

    it("has the same owner in every run", () => {
      const again = owners(runs.small);
      assert.equal(again.length, 9);
      assert.deepEqual(
        again.filter((owner) => !owners(runs.full).includes(owner)),
        [],
      );
    });
  });
});
