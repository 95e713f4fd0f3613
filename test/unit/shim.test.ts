// The shim is in every user's state, as text: a changed character is an update of every resource of every user.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { serializeFunction } from "@pulumi/pulumi/runtime/index.js";
import { shim } from "../../provider/dist/resources/shim.js";

describe("the provider's shim", () => {
  const golden = readFileSync("test/unit/shim.golden.js", "utf8");

  it("is serialized by the engine's SDK to the pinned text", async () => {
    const { text } = await serializeFunction(() => shim, { allowSecrets: true });
    assert.equal(text.trim(), golden.trim());
  });

  it("captures nothing: all that it needs it requires by the package's name", () => {
    const required = [...golden.matchAll(/require\(([^)]*)\)/g)].map(([, name]) => name);
    assert.deepEqual([...new Set(required)], ['"pulumi-dovecot-postfix/runtime"']);
    assert.equal(required.length, 6);
  });
});
