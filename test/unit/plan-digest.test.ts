// The digest of a plan: equal for equal changes, whoever came first; another for another byte; blind for secrets.
import { strict as assert } from "node:assert";
import { digest, footprint, joined, nothing } from "../../provider/src/host/digest.js";
import { emptyLedger, type Contribution } from "../../provider/src/host/ledger.js";
import { plan, type Wish } from "../../provider/src/host/plan.js";
import { sha256, type Snapshot } from "../../provider/src/host/snapshot.js";

const path = "/etc/postfix/main.cf";

function snapshotOf(text: string): Snapshot {
  const ledgers = { dovecot: emptyLedger, postfix: emptyLedger };
  return {
    ...{ host: "root@192.0.2.1:22", root: true, missingTools: [], addresses: [], markers: {}, values: {} },
    ...{ ledgers, ledgersBefore: { dovecot: [], postfix: [] }, hung: [], interrupted: [], kept: [] },
    files: new Map([[path, { path, real: path, mode: "644", owner: "0:0", text }]]),
  };
}

const wish = (owner: string, edits: Contribution["edits"]): Wish => ({
  owner,
  contribution: { kind: "Test", edits },
  effective: [],
});
const relay = wish("b", [{ format: "main.cf", path, edit: { parameter: "relayhost", set: "[192.0.2.9]:25" } }]);
const networks = wish("a", [
  {
    format: "main.cf",
    path,
    edit: { parameter: "mynetworks", add: ["192.0.2.9/32"], at: "last", seed: "127.0.0.0/8" },
  },
]);
const context = { dialect: "2.3" as const, secretOwner: "0:0" };
const of = (text: string, ...wishes: Wish[]) => footprint([plan(snapshotOf(text), "postfix", wishes, context)]);
const told = (...args: Parameters<typeof of>) => digest("root@192.0.2.1:22", of(...args));

describe("the digest of a plan", () => {
  const text = "# main.cf\nmyhostname = mail.example.com\n";

  it("is the same for equal snapshots, in whatever order the resources come", () => {
    assert.equal(told(text, relay, networks), told(text, networks, relay));
    assert.match(told(text, relay), /^[0-9a-f]{12}$/);
  });

  it("is another for another byte before or after, another host, another reload", () => {
    const one = told(text, relay);
    assert.notEqual(told(`${text}#\n`, relay), one);
    assert.notEqual(told(text, networks), one);
    assert.notEqual(digest("root@192.0.2.2:22", of(text, relay)), one);
    assert.notEqual(digest("root@192.0.2.1:22", { ...of(text, relay), reloads: [] }), one);
  });

  it("of several steps is that of one step that does all", () => {
    const first = of(text, relay);
    const between = plan(snapshotOf(text), "postfix", [relay], context).changes.find((change) => change.path === path);
    const second = {
      files: { [path]: [sha256(between?.after ?? ""), of(text, relay, networks).files[path]?.[1] ?? ""] as const },
      reloads: [],
    };
    assert.deepEqual(joined(joined(nothing, first), second), of(text, relay, networks));
  });

  it("does not depend on a secret file's lines, and holds none of our own books", () => {
    const secret = "/etc/dovecot/pulumi-dovecot-postfix.master.imap";
    const user = (hash: string) =>
      wish("c", [{ format: "secret-table", path: secret, edit: { key: "vmadmin", line: `vmadmin:${hash}` } }]);
    const shown = footprint([plan(snapshotOf(text), "dovecot", [user("{A}one")], context)]);
    assert.deepEqual(shown, footprint([plan(snapshotOf(text), "dovecot", [user("{A}two")], context)]));
    assert.deepEqual(shown, { files: { [secret]: ["absent", "secret"] }, reloads: [] });
  });
});
