// What a plan shows of files that hold secrets, and of the host as a whole.
import { strict as assert } from "node:assert";
import { emptyLedger } from "../../provider/src/host/ledger.js";
import { plan, type Wish } from "../../provider/src/host/plan.js";
import type { Snapshot } from "../../provider/src/host/snapshot.js";
import { hostPlan } from "../../provider/src/plan/document.js";
import type { HostPlan } from "../../provider/src/plan/schema.js";

const conf = "/etc/dovecot/dovecot.conf";
const table = "/etc/dovecot/pulumi-dovecot-postfix.master.imap";
const context = { dialect: "2.3" as const, secretOwner: "0:0" };

type Edits = NonNullable<Wish["contribution"]>["edits"];

function planned(files: Record<string, string>, edits: Edits, interrupted: Snapshot["interrupted"] = []): HostPlan {
  const ledgers = { dovecot: emptyLedger, postfix: emptyLedger };
  const snapshot: Snapshot = {
    ...{ host: "root@192.0.2.1:22", root: true, hung: [], missingTools: [], addresses: [], markers: {} },
    ...{ ledgers, ledgersBefore: { dovecot: [], postfix: [] }, interrupted, kept: [], values: {} },
    files: new Map(
      Object.entries(files).map(([path, text]) => [path, { path, real: path, mode: "644", owner: "0:0", text }]),
    ),
  };
  const wish: Wish = { owner: "o/p/s/Test/a", contribution: { kind: "Test", edits }, effective: [] };
  const plans = [{ plan: plan(snapshot, "dovecot", [wish], context), probes: [] }];
  return hostPlan({ snapshot, ready: [], refused: new Map(), plans }, [], []);
}

const shown = (files: Record<string, string>, ...edits: Edits) => planned(files, edits).files.map(({ diff }) => diff);

describe("a plan's diff", () => {
  it("masks each line of a password file, and says which one changes", () => {
    const edit = { format: "secret-table" as const, path: table, edit: { key: "vmadmin", line: "vmadmin:{A}new" } };
    assert.match(shown({}, edit)[0] ?? "", /^--- \/dev\/null\n.*\n@@ .* @@\n\+vmadmin:\{\.\.\.\}\n$/s);
    const [more = ""] = shown({ [table]: "other:{A}secret::\n" }, edit);
    assert.match(more, /^ other:\{\.\.\.\}\n\+vmadmin:\{\.\.\.\} \(changed\)$/m);
    assert.doesNotMatch(more, /secret|new/);
  });

  it("masks what is named a password beside our own lines, and nothing else", () => {
    const text = "doveadm_password = s3cret\nx = y\nconnect = host=db password=s3cret\npassword_maps = z\n";
    const [diff = ""] = shown(
      { [conf]: text },
      { format: "dovecot-include", path: conf, edit: { include: "/etc/ours" } },
    );
    assert.doesNotMatch(diff, /s3cret/);
    assert.match(diff, /^ doveadm_password = \{\.\.\.\}$|^ connect = host=db password=\{\.\.\.\}$/m);
    assert.match(diff, /^ x = y$/m);
    assert.match(diff, /^ password_maps = z$/m);
    assert.match(diff, /^\+.*\/etc\/ours$/m);
  });

  it("masks them in the context and in the lines that go, also where a setting goes on in the next line", () => {
    const around = (secret: string) =>
      shown({ [conf]: secret }, { format: "dovecot-include", path: conf, edit: { include: "/etc/ours" } })[0] ?? "";
    assert.match(
      around("a = b \\\n  password=canary \\\n  canary\n"),
      /^ a = b \\\n {3}password=\{...\} \\\n {3}\{...\}\n\+/m,
    );
    assert.match(
      around("bind_pw = canary\n#u = ldap://u:canary@h\n"),
      /^ bind_pw = \{...\}\n #u = ldap:\/\/\{...\}\n\+/m,
    );
  });

  it("shows bytes that are no text as they are, one character each", () => {
    const [diff = ""] = shown(
      { [conf]: "# Z\xfcrich\n" },
      { format: "dovecot-include", path: conf, edit: { include: "/a" } },
    );
    assert.match(diff, /Zürich/);
    const [utf8 = ""] = shown(
      { [conf]: "# Z\xc3\xbcrich\n" },
      { format: "dovecot-include", path: conf, edit: { include: "/a" } },
    );
    assert.match(utf8, /Zürich/);
  });
});

describe("a plan's findings", () => {
  it("tell of an operation that was cut off, whose repair may change the plan, and only there", () => {
    const edits: Edits = [{ format: "dovecot-include", path: conf, edit: { include: "/etc/ours" } }];
    assert.deepEqual(planned({ [conf]: "x = y\n" }, edits).findings, []);
    const [finding, ...others] = planned({ [conf]: "x = y\n" }, edits, ["postfix"]).findings;
    assert.deepEqual(others, []);
    assert.equal(finding?.severity, "warning");
    assert.match(finding.text, /^An operation on postfix was cut off: .* this plan may change\.$/);
    assert.equal(finding.cure, "Run `pulumi up`.");
  });
});
