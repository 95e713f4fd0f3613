// Hostile arguments, without a host: check refuses with a word of its own, or the files hold exactly the settings that were
// meant, and the shell gets every word as data. FC_RUNS: cases a resource.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { check } from "pulumi-dovecot-postfix/runtime";
import { readTree, blockText } from "../../provider/src/dovecot/tree.js";
import { HostError, Refusal } from "../../provider/src/host/errors.js";
import { parseLedger } from "../../provider/src/host/ledger.js";
import type { FileChange } from "../../provider/src/host/plan.js";
import { printfBytes, script } from "../../provider/src/host/wire.js";
import { elements } from "../../provider/src/postfix/lists.js";
import { logicalLines, nameValue } from "../../provider/src/postfix/logical-lines.js";
import { postfixNetwork } from "../../provider/src/postfix/networks.js";
import { services } from "../../provider/src/postfix/services.js";
import { canonicalNetworks } from "../../provider/src/runtime/networks.js";
import { kindOf, operationOf } from "../../provider/src/runtime/operation.js";
import { SshError } from "../../provider/src/ssh/errors.js";
import { quote } from "../../provider/src/ssh/quote.js";
import {
  hostileText,
  hostileValue,
  oddHash,
  oddPassword,
  oddRecipient,
  oddUsername,
  unprintable,
  withProperties,
} from "../support/hostile.js";
import { hash, paths, planned, snapshotOf, type Dialect } from "../support/paper-host.js";
import { processorMs } from "../support/processor.js";

const numRuns = Number(process.env["FC_RUNS"] ?? "500");

type Inputs = Parameters<typeof check>[1];

const v4 = fc.tuple(fc.nat(255), fc.nat(255)).map(([a, b]) => `10.${a}.${b}.7`);
const network = fc.oneof(v4, v4, fc.constantFrom("2001:DB8::10/128", " 198.51.100.0/24", "203.0.113.9/32"));
const networks = fc.array(network, { minLength: 1, maxLength: 4 });

/** What fits, as odd as it may be; every argument of every resource. */
const fitting: Readonly<Record<string, Readonly<Record<string, fc.Arbitrary<unknown>>>>> = {
  DovecotProxyTrust: { proxies: networks },
  PostfixXclientTrust: {
    proxies: networks,
    services: fc.constantFrom(undefined, ["submission/inet"], ["smtp/inet", "submission/inet"]),
  },
  MasterUser: {
    username: oddUsername,
    password: fc.option(oddPassword, { nil: undefined }),
    passwordHash: fc.option(oddHash, { nil: undefined, freq: 1 }),
    separator: fc.option(fc.constantFrom(...Array.from("!%&*+,/;=?^|~")), { nil: undefined }),
    services: fc.constantFrom(undefined, ["imap"], ["sieve", "imap", "pop3"]),
    allowedNetworks: fc.option(networks, { nil: undefined }),
  },
  RelayAcceptance: { servers: networks, milters: fc.constantFrom(undefined, "skip", "keep") },
  OutboundRelay: {
    server: fc.constantFrom("New.Example.net", "198.51.100.20", "2001:db8::20", "xn--80ak6aa92e.example", "a-b.c"),
    port: fc.integer({ min: 1, max: 65535 }),
    onRefusal: fc.constantFrom(undefined, "fail", "warn"),
    probeRecipient: fc.option(oddRecipient, { nil: undefined }),
  },
};
const server = { host: "mail.example.com", user: "root", port: 22 };
const connections = fc.oneof(
  { weight: 5, arbitrary: fc.constant<unknown>(server) },
  { weight: 1, arbitrary: hostileValue },
  {
    weight: 2,
    arbitrary: fc
      .record(
        Object.fromEntries(
          ["host", "user", "password", "privateKey", "hostKey", "becomePassword", "proxy", "port"].map((name) => [
            name,
            hostileValue,
          ]),
        ),
        { requiredKeys: [] },
      )
      .map((fields) => ({ ...server, ...fields })),
  },
);
const extras = fc.array(
  fc.tuple(fc.constantFrom("__proto__", "constructor", "toString", "__defineGetter__", "valueOf"), hostileValue),
  { maxLength: 2 },
);

/** One in eight arguments is anything at all. */
function inputsOf(kind: string): fc.Arbitrary<Inputs> {
  const args = Object.entries(fitting[kind] ?? {}).map(
    ([name, fits]) => [name, fc.oneof({ weight: 7, arbitrary: fits }, { weight: 1, arbitrary: hostileValue })] as const,
  );
  return fc
    .tuple(fc.record(Object.fromEntries(args)), connections, extras, hostileText)
    .map(([given, connection, more, name]) => {
      const identity = { kind, owner: `organization/mail/test/${kind}/${name}` };
      const known = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
      return { ...withProperties(known, more), connection, identity, drift: [] };
    });
}

/** Texts that no message may repeat: too long to be in one by chance. */
function secretsOf({ connection, ...args }: Inputs): string[] {
  const texts = (value: unknown): string[] => {
    if (typeof value === "string") return [value];
    return typeof value === "object" && value !== null ? Object.values(value).flatMap(texts) : [];
  };
  const secret = typeof connection === "object" ? { ...connection, host: "" } : connection;
  return texts([secret, args["password"], args["passwordHash"]]).filter((text) => text.length >= 8);
}

/** All that the daemons would take from these files, one fact a line. */
function facts(files: ReadonlyMap<string, string>, dialect: Dialect): string[] {
  const tree = readTree(paths.dovecot, files, dialect);
  const name = /pulumi-dovecot-postfix\.(master|helo|milters)/;
  return [
    ...tree.settings.map(({ blocks, name: setting, value }) => `dovecot: ${blockText(blocks)} ${setting} = ${value}`),
    ...tree.openings.map(({ blocks, block }) => `dovecot: ${blockText([...blocks, block])}`),
    ...tree.includes.map(({ pattern }) => `dovecot: ${pattern}`),
    ...logicalLines(files.get(paths.mainCf) ?? "").flatMap(({ text }) => {
      const found = nameValue(text, 0, text.length);
      return found
        ? elements(text.slice(found.from, found.to)).map((word) => `main.cf: ${found.name} = ${word}`)
        : [`main.cf: ${text}`];
    }),
    ...services(files.get(paths.masterCf) ?? "").flatMap((one) => [
      `master.cf: ${[one.name, one.type, one.command, ...one.args].join(" ")}`,
      ...one.overrides.flatMap(({ parameter, value }) =>
        elements(value).map((word) => `master.cf: ${one.name}/${one.type} ${parameter}=${word}`),
      ),
    ]),
    ...[...files].flatMap(([path, text]) =>
      name.test(path) ? text.split("\n").flatMap((row) => (row === "" ? [] : [`${path}: ${row}`])) : [],
    ),
  ];
}

function wanted(kind: string, inputs: Inputs, dialect: Dialect): string[] {
  const list = (name: string) => inputs[name] as string[] | undefined;
  const text = (name: string, otherwise = "") => (inputs[name] as string | undefined) ?? otherwise;
  const cidr = (name: string) => `/etc/postfix/pulumi-dovecot-postfix.${name}.cidr`;
  switch (kind) {
    case "DovecotProxyTrust":
      return (list("proxies") ?? []).flatMap((one) => [
        `dovecot: remote ${one}`,
        `dovecot: remote ${one} login_trusted_networks = ${one}`,
      ]);
    case "PostfixXclientTrust":
      return (list("proxies") ?? []).map(postfixNetwork).flatMap((one) => {
        const places = list("services")?.map((service) => `master.cf: ${service} smtpd_authorized_xclient_hosts=`);
        return (places ?? ["main.cf: smtpd_authorized_xclient_hosts = "]).map((place) => `${place}${one}`);
      });
    case "RelayAcceptance": {
      const tables = ["helo", ...(inputs["milters"] === "skip" ? ["milters"] : [])];
      return [
        ...(list("servers") ?? []).map((one) => `main.cf: mynetworks = ${postfixNetwork(one)}`),
        `main.cf: smtpd_helo_restrictions = check_client_access`,
        `main.cf: smtpd_helo_restrictions = cidr:${cidr("helo")}`,
        ...(inputs["milters"] === "skip" ? [`main.cf: smtpd_milter_maps = cidr:${cidr("milters")}`] : []),
        ...tables.flatMap((table) =>
          (list("servers") ?? []).map((one) => `${cidr(table)}: ${one} ${table === "helo" ? "OK" : "DISABLE"}`),
        ),
      ];
    }
    case "OutboundRelay":
      return [`main.cf: relayhost = [${text("server")}]:${String(inputs["port"])}`];
    default: {
      const block = dialect === "2.3" ? "passdb" : "passdb pulumi_dovecot_postfix";
      const file = "/etc/dovecot/pulumi-dovecot-postfix.master";
      const nets = list("allowedNetworks");
      const row = `${text("username")}:${text("passwordHash", hash)}::::::`;
      return [
        `dovecot:  auth_master_user_separator = ${text("separator", "%")}`,
        `dovecot: ${block}`,
        `dovecot: ${block} driver = passwd-file`,
        `dovecot: ${block} master = yes`,
        dialect === "2.3"
          ? `dovecot: ${block} args = username_format=%u ${file}.%s`
          : `dovecot: ${block} passwd_file_path = ${file}.%{protocol}`,
        `dovecot: ${block} result_success = continue`,
        ...(list("services") ?? ["imap", "sieve"]).map(
          (service) => `${file}.${service}: ${row}${nets ? `allow_nets=${nets.join(",")}` : ""}`,
        ),
      ];
    }
  }
}

/** Lines of `now` that `then` does not have, as often as they are more. */
function more(now: readonly string[], then: readonly string[]): string[] {
  const left = [...then];
  return now.filter((line) => {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

function assertMessage(message: string, most: number): void {
  assert.doesNotMatch(message, unprintable);
  assert.ok(message.length <= most, `${message.length} characters`);
}

/** What the host's shell reads, and what it makes of it. */
function echoed(words: readonly string[], how: "%s" | "%b", shell = "sh"): string[] {
  if (words.length === 0) return [];
  const input = script(`print() { printf '${how}\\0' "$@"; }`, [["print", ...words]]);
  const { stdout, stderr } = spawnSync(shell, {
    input: Buffer.from(input, "latin1"),
    encoding: "latin1",
    env: {},
    maxBuffer: 2 ** 30,
  });
  assert.equal(stderr, "");
  return stdout.split("\0").slice(0, -1);
}

describe("hostile arguments", function () {
  this.timeout(600_000);
  const counts = { all: 0, passed: 0, written: 0 };
  const words = new Set<string>();
  const written = new Set<string>();

  for (const kind of Object.keys(fitting)) {
    it(`of a ${kind} are refused in clear and harmless words, or become exactly the settings that were meant`, async () => {
      const dialect = fc.constantFrom<Dialect>("2.3", "2.4");
      await fc.assert(
        fc.asyncProperty(inputsOf(kind), dialect, async (given, language) => {
          counts.all++;
          const { inputs, failures } = await check({} as Inputs, given);
          for (const { property, reason } of failures) {
            assert.equal(property, "", "the engine would print the property's value");
            assertMessage(reason, 300);
            for (const secret of secretsOf(given)) assert.ok(!reason.includes(secret), reason);
          }
          if (failures.length > 0) return;
          counts.passed++;
          const snapshot = snapshotOf(language);
          const args = kindOf(inputs).prepare?.(inputs, undefined) ?? inputs;
          const operation = operationOf(kindOf(inputs), inputs, { aim: "ensure", args, old: undefined });
          let changes: readonly FileChange[];
          try {
            changes = planned(snapshot, operation);
          } catch (error) {
            assert.ok(error instanceof Refusal, String(error));
            assertMessage(error.message, 20_000);
            return;
          }
          counts.written++;
          const before = new Map([...snapshot.files].map(([path, { text }]) => [path, text]));
          const after = new Map(before);
          for (const { path, after: text } of changes) if (text !== null) after.set(path, text);
          const [then, now] = [facts(before, language), facts(after, language)];
          assert.deepEqual(more(then, now), [], "a setting is lost");
          assert.deepEqual(more(now, then).sort(), wanted(kind, inputs, language).sort());
          const ledger = changes.find(({ path }) => path.endsWith("/ledger.json"))?.after ?? undefined;
          assert.deepEqual(Object.keys(parseLedger("", ledger, "").contributions), [inputs.identity.owner]);

          for (const record of operation.records((id) => id)) for (const word of record) words.add(word);
          for (const { selector, name, word } of operation.queries) words.add(selector).add(name).add(word);
          for (const { after: text } of changes) written.add(text ?? "");
        }),
        { numRuns },
      );
    });
  }

  it("that pass are data to the shell on the host, byte for byte", () => {
    const [all, texts] = [[...words], [...written].filter((text) => !text.includes("\0"))];
    assert.deepEqual(echoed(all, "%s"), all);
    assert.deepEqual(echoed(texts.map(printfBytes), "%b"), texts);
    console.log(`      ${counts.all} generated, ${counts.passed} passed check, ${counts.written} were planned`);
    assert.ok(counts.written > counts.all / 4, "few cases get as far as the files");
  });
});

describe("any text", () => {
  it("is one word to the host's shell, or is refused: none is half a word", () => {
    const texts = fc.array(hostileText, { minLength: 1, maxLength: 100 });
    fc.assert(
      fc.property(texts, (all) => {
        const bytes = all.filter((text) => {
          if (/^[\x01-\xff]*$/.test(text)) return true;
          assert.throws(() => quote(text), RangeError);
          return false;
        });
        for (const shell of ["dash", "bash"]) assert.deepEqual(echoed(bytes, "%s", shell), bytes);
      }),
      { numRuns: 10 },
    );
  });

  it("in any part of an error is harmless and comes to an end", () => {
    fc.assert(
      fc.property(hostileText, hostileText, (one, other) => {
        const errors = [
          new HostError(one, other, { said: one, state: other, cure: one }),
          new Refusal(one, other),
          new SshError("protocol", one, other, { said: one, cure: other }),
          new SshError("disconnected", one, other).leaving(one),
        ];
        for (const { message } of errors) assertMessage(message, 100_000);
      }),
      { numRuns },
    );
  });

  it("of 10,000 networks is in one form within a second", () => {
    const all = Array.from({ length: 10_000 }, (_, n) => `10.${n >> 8}.${n & 255}.0/${n % 3 === 0 ? 24 : 32}`);
    const cost = processorMs(() => {
      assert.equal(canonicalNetworks(all).length, all.length);
    });
    assert.ok(cost < 1000, `${cost} ms`);
  });
});
