// What a broken or lying host can make us do: little work, and nothing from an answer with holes in it.
import { strict as assert } from "node:assert";
import { alternatives } from "../../provider/src/dovecot/glob.js";
import { withoutComment } from "../../provider/src/dovecot/statement.js";
import { readTree } from "../../provider/src/dovecot/tree.js";
import { HostError } from "../../provider/src/host/errors.js";
import { readSnapshot } from "../../provider/src/host/snapshot.js";
import type { Frame } from "../../provider/src/host/wire.js";
import { processorMs } from "../support/processor.js";

describe("a configuration without end", () => {
  for (const dialect of ["2.3", "2.4"] as const) {
    it(`is read or refused at once (${dialect})`, () => {
      const include = "!include a.conf\n!include b.conf\n!include c.conf\n";
      const files = new Map(["dovecot", "a", "b", "c"].map((name) => [`/etc/dovecot/${name}.conf`, include]));
      for (let n = 0; n < 40; n++) files.set(`/etc/dovecot/${n}.conf`, `!include ${n + 1}.conf\n`.repeat(2));
      files.set("/etc/dovecot/a.conf", "!include 0.conf\n");
      const cost = processorMs(() => {
        assert.throws(
          () => readTree("/etc/dovecot/dovecot.conf", files, dialect),
          /includes files more than 10000 times/,
        );
        assert.equal(withoutComment(`a =${" ".repeat(1_000_000)}b${" ".repeat(1_000_000)}`, dialect).length, 1_000_004);
      });
      assert.ok(cost < 2000, `${cost} ms`);
    });
  }

  it("has patterns that are taken apart only so far", () => {
    const pattern = "{a,b}".repeat(40);
    assert.deepEqual(alternatives(pattern), [pattern]);
    assert.deepEqual(alternatives("x{a,{b,c}d}{e}"), ["xae", "xbde", "xcde"]);
  });
});

describe("an observation", () => {
  const frame = (name: string, words: readonly string[] = [], body = ""): Frame => ({ name, words, body });
  const status = frame("status", ["0"]);
  const whole = [
    ...[frame("host", ["0"]), frame("addresses"), frame("answered", ["host"])],
    ...[frame("dovecot", [], "2.4.1"), status, frame("doveconf", [], "# 2.4: /etc/dovecot/dovecot.conf"), status],
    ...[frame("sessions", [], "username proto\na imap\nb constructor\nc __proto__\n"), status],
    ...[frame("answered", ["dovecot"]), frame("postconf", [], "mail_version = 3.10"), status],
    ...[frame("expanded", [], "mail_version = 3.10"), status, frame("running"), status, frame("answered", ["postfix"])],
    frame("answered", ["values"]),
  ];

  it("counts sessions of any name", () => {
    const { dovecot } = readSnapshot("host", whole);
    assert.deepEqual(Object.entries(dovecot?.sessions ?? {}).sort(), [
      ["__proto__", 1],
      ["constructor", 1],
      ["imap", 1],
    ]);
  });

  for (const name of ["host", "addresses", "doveconf", "sessions", "expanded", "running"]) {
    it(`that lacks ${name} is none`, () => {
      assert.throws(
        () =>
          readSnapshot(
            "host",
            whole.filter((one) => one.name !== name),
          ),
        new RegExp(`the observation lacks ${name}`),
      );
    });
  }

  it("that tells of a thousand million files costs no memory", () => {
    for (const count of ["1000000000", "-1", "NaN", "1e9", "2.5", ""]) {
      const files = frame("files", [count], "\n".repeat(1_000_000));
      assert.throws(() => readSnapshot("host", [files, ...whole]), HostError);
    }
  });
});
