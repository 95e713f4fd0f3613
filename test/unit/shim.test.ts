// The shim is in every user's state, as text: a changed character is an update of every resource of every user.
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Prints the text that the SDK sends for each resource; in a process of its own, because mocks are for a whole process. */
const program = `
  const pulumi = require("@pulumi/pulumi");
  const texts = new Set();
  pulumi.runtime.setMocks({
    newResource: ({ inputs }) => (texts.add(inputs.__provider), { id: "id", state: inputs }),
    call: () => ({}),
  }).then(async () => {
    const mail = require("pulumi-dovecot-postfix");
    const connection = { host: "mail.example.com" };
    new mail.DovecotProxyTrust("a", { connection, proxies: ["192.0.2.1"] });
    new mail.PostfixXclientTrust("b", { connection, proxies: ["192.0.2.1"] });
    new mail.MasterUser("c", { connection, username: "vmadmin" });
    new mail.RelayAcceptance("d", { connection, servers: ["192.0.2.1"] });
    new mail.OutboundRelay("e", { connection, server: "192.0.2.1" });
    await pulumi.runtime.disconnect();
    process.stdout.write([...texts].join("\\n=====\\n"));
  });`;

describe("the provider's shim", () => {
  const golden = readFileSync("test/unit/shim.golden.txt", "utf8");

  it("is the pinned text, the same for every resource", () => {
    assert.equal(execFileSync(process.execPath, ["-e", program], { encoding: "utf8" }).trim(), golden.trim());
  });

  it("captures nothing: all that it needs it requires by the package's name", () => {
    const required = [...golden.matchAll(/require\(([^)]*)\)/g)].map(([, name]) => name);
    assert.deepEqual([...new Set(required)], ['"pulumi-dovecot-postfix/runtime"']);
    assert.equal(required.length, 6);
  });
});
