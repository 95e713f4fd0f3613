// What is hidden of a configuration file: in a plan, and by the program of a key that may only look.
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { observerProgram } from "../../provider/src/host/observer.js";
import { maskSecrets } from "../../provider/src/plan/mask.js";
import { masked } from "../support/masked.js";
import { processorMs } from "../support/processor.js";

describe("secrets in a configuration file", () => {
  it("are hidden in their place, and nothing else is", () => {
    for (const { daemon, text, shown } of masked) {
      assert.equal(maskSecrets(text, daemon), shown);
      assert.equal(maskSecrets(shown, daemon), shown, "twice");
      assert.doesNotMatch(shown, /canary/);
    }
  });

  it("are looked for in a text of any length without delay", () => {
    for (const part of ["a", "key", "pass_maps=", "pass=yes ", "  ", "://a:", "'", "#x={\n"]) {
      const cost = processorMs(() => {
        maskSecrets(`query = ${part.repeat(200_000)}\n`.repeat(3), "postfix");
        maskSecrets(`${part.repeat(1_000)}\n`.repeat(100), "dovecot");
      });
      assert.ok(cost < 4_000, `${part}: ${cost} ms`);
    }
  });

  it("are the same for the observer", () => {
    const directory = mkdtempSync(join(tmpdir(), "mask-"));
    const secrets = (show: string, file: string) =>
      execFileSync("sh", ["-s", show, file], {
        input: observerProgram().replace(/\nobserver\n$/, '\nsecrets "$@"\n'),
        encoding: "latin1",
      });
    try {
      masked.forEach(({ daemon, text, shown }, n) => {
        const file = join(directory, `${n}.${daemon === "postfix" ? "main.cf" : "conf"}`);
        writeFileSync(file, text);
        assert.equal(secrets("text", file).replace(/\n$/, ""), shown.replace(/\n$/, ""));
        assert.equal(secrets("names", file), text === shown ? "" : `${file}\n`);
      });
      // What a ledger calls a key is none.
      const file = join(directory, "ledger.before.0a1b2c3d.json");
      const text = '{\n  "key": "vmadmin",\n  "password": "x"\n}\n';
      writeFileSync(file, text);
      assert.equal(secrets("text", file), text);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
