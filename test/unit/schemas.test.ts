// What check refuses and in which words, and which spellings are one and the same.
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import fc from "fast-check";
import * as runtime from "pulumi-dovecot-postfix/runtime";

type Inputs = Parameters<typeof runtime.check>[1];
type Args = Record<string, unknown>;

/** How the engine writes what a preview does not know yet. */
const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const connection = { host: "mail.example.org" };

const valid: Readonly<Record<string, Args>> = {
  DovecotProxyTrust: { proxies: ["203.0.113.10"] },
  PostfixXclientTrust: { proxies: ["203.0.113.10"], services: ["submission/inet"] },
  MasterUser: {
    username: "vmadmin",
    password: "correct horse battery",
    separator: "%",
    services: ["imap"],
    allowedNetworks: ["203.0.113.0/24"],
  },
  RelayAcceptance: { servers: ["203.0.113.20"], milters: "keep" },
  OutboundRelay: { server: "new.example.net", port: 25, onRefusal: "warn", probeRecipient: "someone@example.com" },
};

function inputs(kind: string, args: Args): Inputs {
  return { connection, ...args, identity: { kind, owner: `organization/mail/test/${kind}/one` }, drift: [] };
}

/** The arguments as checked. */
async function accepted(kind: string, args: Args, olds: object = {}): Promise<Args> {
  const { inputs: checked, failures } = await runtime.check(olds as Inputs, inputs(kind, args));
  assert.deepEqual(failures, []);
  return checked;
}

async function refused(kind: string, args: Args): Promise<string> {
  const { failures } = await runtime.check({} as Inputs, inputs(kind, { ...valid[kind], ...args }));
  assert.ok(failures.length > 0, `${kind} accepts ${JSON.stringify(args)}`);
  for (const { property } of failures) assert.equal(property, "", "the engine would print the property's value");
  return failures.map(({ reason }) => reason).join("\n");
}

describe("check", () => {
  for (const [kind, args] of Object.entries(valid)) {
    it(`accepts a ${kind} with every argument`, async () => {
      const { connection: to, identity, drift, ...checked } = await accepted(kind, args);
      assert.deepEqual([to, drift], [connection, []]);
      assert.ok(identity);
      assert.deepEqual(Object.keys(checked).sort(), Object.keys(args).sort());
    });
  }

  const networkArguments = [
    ["DovecotProxyTrust", "proxies"],
    ["PostfixXclientTrust", "proxies"],
    ["MasterUser", "allowedNetworks"],
    ["RelayAcceptance", "servers"],
  ] as const;
  const notTrusted: readonly (readonly [string, RegExp])[] = [
    ["0.0.0.0/0", /networks up to \/16 may be trusted; name the hosts or their subnet/],
    ["::/0", /networks up to \/48 may be trusted/],
    ["10.0.0.0/15", /up to \/16/],
    ["2001:db8::/47", /up to \/48/],
    ["10.0.0.1/24", /write the network's first address, or the single address with \/32/],
    ["2001:db8::1/64", /write the network's first address, or the single address with \/128/],
    ["proxy.example.org", /must be an address or network such as "203\.0\.113\.10".*names are not trusted/],
    ["", /must be an address or network/],
    ["10.0.0.300", /must be an address or network/],
    ["10.0.0", /must be an address or network/],
    ["10.0.0.1/33", /prefix length from 0 to 32/],
    ["2001:db8::/129", /prefix length from 0 to 128/],
    ["10.0.0.0/", /prefix length/],
    ["10.0.0.0/24/24", /must be an address or network/],
    ["10.0.0.0/255.255.255.0", /prefix length/],
    ["fe80::1%eth0", /must be an address or network/],
    ["[2001:db8::1]", /must be an address or network/],
    ["!10.0.0.1", /must be an address or network/],
    ["::ffff:10.0.0.1", /written as IPv4, without "::ffff:"/],
    ["::ffff:a00:1", /written as IPv4/],
    ["::ffff:10.0.0.0/112", /written as IPv4/],
  ];
  for (const [kind, argument] of networkArguments) {
    it(`refuses in ${kind}.${argument} what may not be trusted by address, and names the entry's place`, async () => {
      for (const [text, words] of notTrusted) {
        const reason = await refused(kind, { [argument]: ["192.0.2.1", text] });
        assert.match(reason, words, text);
        assert.ok(reason.startsWith(`${argument}[1] `), reason);
      }
      assert.match(await refused(kind, { [argument]: [] }), /must name at least one/);
      assert.match(await refused(kind, { [argument]: "192.0.2.1" }), /must be a list/);
    });

    it(`takes every spelling of ${kind}.${argument} for the same`, async () => {
      const spellings = [
        ["2001:db8::a/128", "10.0.0.1/32", "192.0.2.0/24"],
        ["192.0.2.0/24", "2001:DB8:0:0::A", "10.0.0.1", "10.0.0.1/32"],
        [" 10.0.0.1", "192.0.2.0/24", "192.0.2.77", "192.0.2.128/25", "2001:0db8::000a"],
      ];
      const all = await Promise.all(spellings.map((texts) => accepted(kind, { ...valid[kind], [argument]: texts })));
      for (const one of all) assert.deepEqual(one, all[0]);
      assert.deepEqual(all[0]?.[argument], ["10.0.0.1/32", "192.0.2.0/24", "2001:db8::a/128"]);
    });
  }

  it("accepts the widest networks that may be trusted", async () => {
    const { proxies } = await accepted("DovecotProxyTrust", { proxies: ["10.77.0.0/16", "2001:db8:1::/48"] });
    assert.deepEqual(proxies, ["10.77.0.0/16", "2001:db8:1::/48"]);
  });

  it("merges an entry into a network that contains it, and leaves neighbours alone", async () => {
    const { proxies } = await accepted("DovecotProxyTrust", {
      proxies: [
        "10.0.1.0/24",
        "10.0.0.0/24",
        "10.0.0.128/25",
        "10.0.0.200",
        "10.0.2.0",
        "2001:db8::/64",
        "2001:db8::5",
      ],
    });
    assert.deepEqual(proxies, ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/32", "2001:db8::/64"]);
  });

  it("merging loses no address and trusts none more (any networks)", async () => {
    const v4 = fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 255 }), fc.integer({ min: 22, max: 32 }));
    const networkOf = ([third, fourth, prefix]: [number, number, number]) => {
      const bits = ((third << 8) | fourth) & ~((1 << (32 - prefix)) - 1);
      return { first: bits, size: 1 << (32 - prefix), text: `10.9.${(bits >> 8) & 255}.${bits & 255}/${prefix}` };
    };
    const addresses = (texts: readonly string[]) => {
      const held = new Set<number>();
      for (const text of texts) {
        const [, third = 0, fourth = 0, prefix = 32] = (/^10\.9\.(\d+)\.(\d+)\/(\d+)$/.exec(text) ?? []).map(Number);
        for (let i = 0; i < 1 << (32 - prefix); i++) held.add(((third << 8) | fourth) + i);
      }
      return [...held].sort((a, b) => a - b);
    };
    await fc.assert(
      fc.asyncProperty(fc.array(v4, { minLength: 1, maxLength: 8 }), async (drawn) => {
        const given = drawn.map((one) => networkOf(one).text);
        const { proxies } = await accepted("DovecotProxyTrust", { proxies: given });
        assert.deepEqual(addresses(proxies as string[]), addresses(given));
        assert.deepEqual(await accepted("DovecotProxyTrust", { proxies: [...given].reverse() }), {
          ...inputs("DovecotProxyTrust", { proxies }),
        });
      }),
      { numRuns: 200 },
    );
  });

  it("takes order and duplicates of services for no change", async () => {
    for (const [kind, one, other] of [
      ["PostfixXclientTrust", ["smtp/inet", "submission/inet"], ["submission/inet", "smtp/inet", "submission/inet"]],
      ["MasterUser", ["imap", "sieve"], ["sieve", "imap", "sieve"]],
    ] as const) {
      const services = (names: readonly string[]) => accepted(kind, { ...valid[kind], services: names });
      assert.deepEqual(await services(other), await services(one));
    }
  });

  it("takes case in the new server's name, and what is the default, for no change", async () => {
    assert.deepEqual(
      await accepted("OutboundRelay", { server: "New.Example.NET" }),
      await accepted("OutboundRelay", { server: "new.example.net", port: 25, onRefusal: "fail" }),
    );
    assert.deepEqual(
      await accepted("OutboundRelay", { server: "2001:DB8:0::1" }),
      await accepted("OutboundRelay", { server: "2001:db8::1" }),
    );
    assert.deepEqual(
      await accepted("RelayAcceptance", { servers: ["10.0.0.1"] }),
      await accepted("RelayAcceptance", { servers: ["10.0.0.1"], milters: "skip" }),
    );
  });

  const refusals: readonly (readonly [kind: string, args: Args, words: RegExp])[] = [
    ["DovecotProxyTrust", { proxies: undefined }, /^proxies must be given$/],
    ["DovecotProxyTrust", { connection: undefined }, /^connection must be given$/],
    ["DovecotProxyTrust", { connection: {} }, /^connection\.host must be given$/],
    ["DovecotProxyTrust", { connection: { host: "" } }, /^connection\.host must name the host$/],
    ["DovecotProxyTrust", { connection: { host: "a\nb" } }, /^connection\.host must not hold control characters/],
    ["DovecotProxyTrust", { connection: { host: "a", port: "22" } }, /^connection\.port must be of type number$/],
    ["DovecotProxyTrust", { connection: { host: "a", port: 0 } }, /^connection\.port must be 1 or more$/],
    ["DovecotProxyTrust", { connection: { host: "a", port: 65536 } }, /^connection\.port must be 65535 or less$/],
    ["DovecotProxyTrust", { connection: { host: "a", port: 2.5 } }, /^connection\.port must be of type integer$/],
    [
      "DovecotProxyTrust",
      { connection: { host: "a", proxy: { user: "b" } } },
      /^connection\.proxy\.host must be given$/,
    ],
    ["DovecotProxyTrust", { connection: { host: "a", become: "yes" } }, /^connection\.become must be of type boolean$/],
    ["PostfixXclientTrust", { services: [] }, /at least one service, or be left out for main\.cf/],
    ["PostfixXclientTrust", { services: ["submission"] }, /must be a master\.cf service such as "submission\/inet"/],
    ["PostfixXclientTrust", { services: ["a b/inet"] }, /must be a master\.cf service/],
    ["PostfixXclientTrust", { services: ["a/inet\nb"] }, /must be a master\.cf service/],
    // Of "ħ" a byte would be left that is a quote to the host's shell; postconf would take "-e" for an option.
    ["PostfixXclientTrust", { services: ["ħ;id;ħ/inet"] }, /must be a master\.cf service/],
    ["PostfixXclientTrust", { services: ["-e/inet"] }, /must be a master\.cf service/],
    ["PostfixXclientTrust", { services: ["a\x1b[2J/inet"] }, /must be a master\.cf service/],
    ["PostfixXclientTrust", { services: ["`id`/inet"] }, /must be a master\.cf service/],
    ["PostfixXclientTrust", { proxies: Array(257).fill("10.0.0.1") }, /at most 256/],
    ["MasterUser", { username: "" }, /must not be empty/],
    ...["a%b", "a:b", "a\nb", "a\u0000b", "a b", "Admin", "a*b", "a\u0085b"].map(
      (username) =>
        ["MasterUser", { username }, /username must be of lower-case letters, digits and \. _ @ - only/] as const,
    ),
    ["MasterUser", { username: "a".repeat(65) }, /at most 64/],
    ["MasterUser", { password: "short" }, /at least 12 characters/],
    ["MasterUser", { password: "a".repeat(257) }, /at most 256/],
    ["MasterUser", { password: "twelve chars\n" }, /control characters or newlines/],
    ["MasterUser", { passwordHash: "{SHA512-CRYPT}$6$a$b" }, /give one of them, or neither/],
    ["MasterUser", { password: undefined, passwordHash: "$6$a$b" }, /as `doveadm pw` prints it/],
    ["MasterUser", { password: undefined, passwordHash: "{SHA512-CRYPT}$6$a:b" }, /as `doveadm pw` prints it/],
    ["MasterUser", { password: undefined, passwordHash: "{PLAIN}secret" }, /in the clear/],
    ["MasterUser", { password: undefined, passwordHash: "{CLEARTEXT.B64}c2VjcmV0" }, /in the clear/],
    ["MasterUser", { password: undefined, passwordHash: `{SHA512-CRYPT}${"a".repeat(1020)}` }, /at most 1024/],
    ["MasterUser", { separator: "%%" }, /one character of/],
    ["MasterUser", { separator: "a" }, /one character of/],
    ["MasterUser", { services: ["imap", "smtp"] }, /^services\[1\] must be "imap", "pop3" or "sieve"$/],
    ["MasterUser", { services: ["sieve", "IMAP"] }, /^services\[\d\] must be "imap", "pop3" or "sieve"$/],
    ["MasterUser", { services: [] }, /at least one service/],
    ["RelayAcceptance", { milters: "off" }, /must be "skip" or "keep"/],
    ...["[new.example.net]", "new.example.net:25", "a b", "-a.example", "10.0.0.300", "a..b", ""].map(
      (server) => ["OutboundRelay", { server }, /server must be an address or a host name, without brackets/] as const,
    ),
    ["OutboundRelay", { server: "fe80::1%eth0" }, /server must be an address or a host name/],
    ["OutboundRelay", { port: 0 }, /^port must be 1 or more$/],
    ["OutboundRelay", { onRefusal: "ignore" }, /must be "fail" or "warn"/],
    ["OutboundRelay", { probeRecipient: "nobody" }, /must be one mail address/],
    ["OutboundRelay", { probeRecipient: "a@b.example>\r\nDATA" }, /must be one mail address/],
  ];
  for (const [kind, args, words] of refusals) {
    it(`refuses ${kind} ${JSON.stringify(args, (_, value: unknown) => value ?? null).slice(0, 80)}`, async () => {
      assert.match(await refused(kind, args), words);
    });
  }

  it("names what is wrong in services by the place where the program wrote it", async () => {
    assert.match(await refused("MasterUser", { services: ["sieve", "imaps"] }), /^services\[1\] /);
  });

  it("lets values pass that a preview does not know yet, alone or inside others", async () => {
    for (const [kind, args] of Object.entries(valid)) {
      for (const name of ["connection", ...Object.keys(args)]) {
        await accepted(kind, { ...args, [name]: unknown });
      }
      await accepted(kind, { ...args, connection: { host: unknown, port: 22 } });
      await accepted(kind, { ...args, connection: { host: "a", proxy: { host: unknown } } });
    }
    await accepted("DovecotProxyTrust", { proxies: [unknown, "10.0.0.1"] });
    await accepted("MasterUser", { ...valid["MasterUser"], services: [unknown] });
  });

  it("still refuses what is known to be wrong beside an unknown value", async () => {
    assert.match(await refused("DovecotProxyTrust", { connection: unknown, proxies: ["0.0.0.0/0"] }), /up to \/16/);
  });

  it("refuses a resource that this release does not have", async () => {
    const { failures } = await runtime.check({} as Inputs, inputs("ImapCopy", {}));
    assert.match(failures[0]?.reason ?? "", /ImapCopy is not a resource of this release: update the package/);
  });

  it("repeats no value of any argument in its reasons, and names no property", async () => {
    // Long enough to be in no message by chance.
    const secret = fc.stringMatching(/^[A-Za-z0-9!:%\n@/.{} -]{0,4}[A-Za-z0-9]{20}$/);
    const leaf = fc.oneof(secret, secret, fc.constant(true), fc.integer(), fc.constant(null));
    const value = fc.oneof(leaf, fc.array(leaf, { maxLength: 3 }), fc.dictionary(fc.constantFrom("a", "host"), leaf));
    const names = [...new Set(Object.values(valid).flatMap((args) => Object.keys(args))), "passwordHash"];
    const fields = ["host", "port", "user", "password", "privateKey", "privateKeyPassword", "hostKey", "become"];
    const to = fc.oneof(value, fc.record(Object.fromEntries([...fields, "proxy"].map((name) => [name, value])), {}));
    const args = fc.record(Object.fromEntries(names.map((name) => [name, value])), { requiredKeys: [] });
    let refusedOnes = 0;
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...Object.keys(valid)), args, to, async (kind, drawn, server) => {
        const given = { ...drawn, connection: server };
        const { failures } = await runtime.check({} as Inputs, inputs(kind, given));
        const texts = JSON.stringify(given).match(/[A-Za-z0-9]{20}/g) ?? [];
        for (const { property, reason } of failures) {
          assert.equal(property, "");
          for (const text of texts) assert.ok(!reason.includes(text), reason);
          assert.match(reason, /must|give|has bits set|is too wide/, "tells what to write");
        }
        refusedOnes += failures.length;
      }),
      { numRuns: 500 },
    );
    assert.ok(refusedOnes > 500);
  });

  it("loads no zod and no ssh2 where the program gives what was checked before, in whatever spelling", () => {
    const silent: Readonly<Record<string, Args>> = {
      ...valid,
      DovecotProxyTrust: { proxies: ["2001:DB8::1", "10.0.0.1", "10.0.0.1/32"] },
      RelayAcceptance: { servers: ["10.0.0.2"] },
      OutboundRelay: { server: "New.example.net" },
    };
    const given = Object.entries(silent).map(([kind, args]) => inputs(kind, args));
    const child = (program: string, input: unknown): unknown =>
      JSON.parse(execFileSync(process.execPath, ["-e", program], { input: JSON.stringify(input), encoding: "utf8" }));
    const program = `
      const runtime = require("pulumi-dovecot-postfix/runtime");
      const pairs = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
      Promise.all(pairs.map(([olds, news]) => runtime.check(olds, news))).then((results) => {
        const loaded = ["zod", "ssh2"].filter((name) =>
          Object.keys(require.cache).some((file) => file.includes("/node_modules/" + name + "/")));
        process.stdout.write(JSON.stringify({ results, loaded }));
      });`;
    const first = child(
      program,
      given.map((news) => [{}, news]),
    ) as {
      results: { inputs: Inputs; failures: unknown[] }[];
      loaded: string[];
    };
    assert.deepEqual(first.loaded, ["zod"]);
    assert.deepEqual(
      first.results.flatMap(({ failures }) => failures),
      [],
    );
    const second = child(
      program,
      given.map((news, index) => [first.results[index]?.inputs, news]),
    );
    assert.deepEqual(second, { results: first.results, loaded: [] });
  });
});
