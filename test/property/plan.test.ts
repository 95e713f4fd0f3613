// plan(): whatever the files hold, whoever contributes what, in any order: when all have left, every byte is as it was, and
// what somebody else has written meanwhile is there. FC_RUNS: cases a property.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { formats, type Edit, type Format } from "../../provider/src/host/formats.js";
import { parseLedger } from "../../provider/src/host/ledger.js";
import { conflict, plan, withoutOurs } from "../../provider/src/host/plan.js";
import {
  ledgerPath,
  ledgersOfBefore,
  stateDirectory,
  type Daemon,
  type Snapshot,
} from "../../provider/src/host/snapshot.js";
import { services } from "../../provider/src/postfix/services.js";
import { mainCf, masterCf, ours, parameters, serviceNames } from "./postfix-texts.js";

const numRuns = Number(process.env["FC_RUNS"] ?? "500");

/** The part of a host's `undo` that takes ours out of a text. */
const takeOut =
  '. provider/src/host/commit.sh; . provider/src/host/undo.sh; state=$1 daemon=$2; book take "$3" "$4" "$(naming "$3")"';

/** A host's files. */
type Disk = Map<string, string>;

function snapshotOf(disk: Disk): Snapshot {
  const ledger = (path: string) => parseLedger("host", disk.get(path), path);
  const both = <T>(of: (daemon: Daemon) => T) => ({ dovecot: of("dovecot"), postfix: of("postfix") });
  const files = [...disk].map(([path, text]) => [path, { path, real: path, mode: "644", owner: "0:0", text }] as const);
  return {
    ...{ host: "host", root: true, hung: [], missingTools: [], addresses: [], markers: {}, values: {} },
    ...{ files: new Map(files), interrupted: [], kept: [] },
    ledgers: both((daemon) => ledger(ledgerPath(daemon))),
    ledgersBefore: both((daemon) => ledgersOfBefore(disk.keys(), daemon).map(ledger)),
  };
}

interface Step {
  readonly owner: string;
  /** Empty: the owner leaves. */
  readonly edits: readonly Edit[];
}

/** One operation, as a session does it; a contribution that contradicts another one is refused. Returns whether it was done. */
function take(disk: Disk, daemon: Daemon, { owner, edits }: Step): boolean {
  const snapshot = snapshotOf(disk);
  const leaves = edits.length === 0;
  const wish = { owner, effective: [], ...(!leaves && { contribution: { kind: "Test", edits } }) };
  if (conflict(wish, snapshot.ledgers[daemon].contributions)) return false;
  const { changes } = plan(snapshot, daemon, [wish], { dialect: "2.4", secretOwner: "0:0" });
  for (const { path, before, after } of changes) {
    assert.equal(disk.get(path) ?? null, before, `${path} is planned from other bytes`);
    if (after === null) disk.delete(path);
    else disk.set(path, after);
  }
  return true;
}

/** No resource contradicts itself. */
const consistent = (edit: fc.Arbitrary<Edit>) =>
  fc.uniqueArray(edit, {
    maxLength: 3,
    selector: (one) => ("separator" in one.edit ? "separator" : "set" in one.edit ? "set" : JSON.stringify(one)),
  });

const owners = ["a", "b", "c"];
const leaveAll = (order: readonly string[]): Step[] => order.map((owner) => ({ owner, edits: [] }));
const stepsOf = (edit: fc.Arbitrary<Edit>): fc.Arbitrary<Step[]> =>
  fc.array(fc.record({ owner: fc.constantFrom(...owners), edits: consistent(edit) }), { maxLength: 6 });
const anyOrder = fc.shuffledSubarray(owners, { minLength: owners.length });

const main = "/etc/postfix/main.cf";
const master = "/etc/postfix/master.cf";
const table = "/etc/postfix/pulumi-dovecot-postfix.helo.cidr";
const dovecot = "/etc/dovecot/dovecot.conf";
const fragment = "/etc/dovecot/conf.d/99-zz-pulumi-dovecot-postfix.conf";
const secrets = "/etc/dovecot/pulumi-dovecot-postfix.master.imap";

const seeds: Record<string, string> = { mynetworks: "127.0.0.0/8 [::1]/128", smtpd_helo_restrictions: "" };
const parameter = fc.constantFrom(...parameters.filter((name) => name !== "relayhost"));
const someOfOurs = fc.subarray(ours, { minLength: 1 });
const postfixEdit: fc.Arbitrary<Edit> = fc.oneof(
  fc
    .record({ parameter, add: someOfOurs, at: fc.constantFrom("first" as const, "last" as const) })
    .map((edit): Edit => ({
      ...{ format: "main.cf", path: main },
      edit: { ...edit, seed: seeds[edit.parameter] ?? "" },
    })),
  fc.constantFrom("[192.0.2.1]:25", "[192.0.2.2]:25").map((set): Edit => ({
    ...{ format: "main.cf", path: main },
    edit: { parameter: "relayhost", set },
  })),
  fc.record({ service: fc.constantFrom(...serviceNames), add: someOfOurs }).map((edit): Edit => ({
    ...{ format: "master.cf", path: master },
    edit: { ...edit, parameter: "smtpd_authorized_xclient_hosts", seed: "" },
  })),
  fc.constantFrom("203.0.113.20/32", "198.51.100.0/24").map((key): Edit => ({
    ...{ format: "table", path: table },
    edit: { key, line: `${key} OK` },
  })),
);

const dovecotEdit: fc.Arbitrary<Edit> = fc.oneof(
  fc.constantFrom("203.0.113.20/32", "198.51.100.0/24", "2001:db8::/64").map((trust): Edit => ({
    ...{ format: "dovecot-fragment", path: fragment },
    edit: { trust },
  })),
  fc.constantFrom("%", "*").map((separator): Edit => ({
    ...{ format: "dovecot-fragment", path: fragment },
    edit: { separator },
  })),
  fc.constant<Edit>({
    ...{ format: "dovecot-fragment", path: fragment },
    edit: { master: { resultSuccess: "continue", file: "/etc/dovecot/pulumi-dovecot-postfix.master" } },
  }),
  fc.constant<Edit>({ format: "dovecot-include", path: dovecot, edit: { include: fragment } }),
  fc.constantFrom("vmadmin", "other").map((key): Edit => ({
    ...{ format: "secret-table", path: secrets },
    edit: { key, line: `${key}:{CRYPT}x` },
  })),
);

const dovecotLine = fc.constantFrom(
  ...["protocols = imap", "# comment", "!include conf.d/*.conf", "!include_try local.conf", "", "ssl = required"],
  ...["passdb {", "  driver = pam", "}", "\tx = \xe4\xff", `!include ${fragment}`, "a = b\0c", "login_greeting = \\"],
);
const dovecotConf = fc
  .tuple(fc.array(dovecotLine, { maxLength: 12 }), fc.constantFrom("\n", "\r\n"), fc.boolean())
  .map(([lines, end, last]) => lines.join(end) + (last && lines.length > 0 ? end : ""));

const postfixDisk = fc.tuple(mainCf, masterCf).map((texts): [string, string][] => [
  [main, texts[0]],
  [master, texts[1]],
]);
/** What it includes, and what lies beside that. */
const parts = ["/etc/dovecot/conf.d/10-mail.conf", "/etc/dovecot/conf.d/zz-last.conf", "/etc/dovecot/local.conf"];
const dovecotDisk = fc
  .tuple(dovecotConf, fc.subarray(parts), fc.array(dovecotConf, { minLength: 3, maxLength: 3 }))
  .map(([text, paths, texts]): [string, string][] =>
    [[dovecot, text] as [string, string], ...paths.map((path, n): [string, string] => [path, texts[n] ?? ""])].sort(),
  );

/** What somebody may write in a file of ours alone. */
const theirLines: Partial<Record<Format, readonly string[]>> = {
  "dovecot-fragment": ["# theirs\n", "theirs = 1\n", "remote 192.0.2.9 {\n  ssl = no\n\n}\n"],
  table: ["# theirs\n", "192.0.2.9/32 REJECT\n"],
  "secret-table": ["theirs:{CRYPT}y\n"],
};

/** Somebody's line in each file of ours alone, between what is one piece, for one that they take out; returns what they wrote. */
function editOurs(disk: Disk, daemon: Daemon, at: number): Map<string, string> {
  const written = new Map<string, string>();
  for (const [path, { format }] of Object.entries(snapshotOf(disk).ledgers[daemon].files)) {
    const theirs = theirLines[format];
    const text = disk.get(path);
    if (!theirs || text === undefined) continue;
    // A block is known by its head, its end and its file.
    const lines = text.split(/(?<=\n)/);
    const single = lines.findIndex((line, n) => n >= at % lines.length && !/[{}]|\//.test(line));
    if (format !== "dovecot-fragment") lines.splice(at % lines.length, 1);
    else if (single >= 0) lines.splice(single, 1);
    const places = [...lines.keys(), lines.length].filter((n) => !/^( |\})/.test(lines[n] ?? ""));
    const line = theirs[at % theirs.length] ?? "";
    lines.splice(places[at % places.length] ?? 0, 0, line);
    disk.set(path, lines.join(""));
    written.set(path, line);
  }
  return written;
}

/** Edits of services that master.cf has: a resource would have refused the others. */
function possible(disk: Disk, step: Step): Step {
  const there = new Set(services(disk.get(master) ?? "").map(({ name, type }) => `${name}/${type}`));
  return { ...step, edits: step.edits.filter(({ edit }) => !("service" in edit) || there.has(edit.service)) };
}

const blanks = (text: string) => text.replace(/[ \t]+/g, " ");

/** An empty list of the administrator's cannot be told from one that we began. */
const hasEmptyList = (text: string) =>
  parameters.some((name) => new RegExp(`${name}[\\s,]*=(?![ \\t]*[^\\s,}-])`).test(text));

/** Nor one service from another of the same name. */
const hasTwins = (text: string) => {
  const names = services(text).map(({ name, type }) => `${name}/${type}`);
  return new Set(names).size < names.length;
};

/** As commit.sh leaves the `nth` change that was killed and then edited: each file old or new, all ledgers, all saved bytes. */
function cutOff(before: Disk, after: Disk, halves: number, nth: number): Disk {
  const isBook = (path: string) => path.startsWith(stateDirectory);
  const paths = [...new Set([...before.keys(), ...after.keys()])].sort();
  const disk: Disk = new Map();
  for (const [n, path] of paths.entries()) {
    const text = isBook(path)
      ? (after.get(path) ?? (path.endsWith("/ledger.json") ? undefined : before.get(path)))
      : (((halves >> (n % 8)) & 1) === 1 ? after : before).get(path);
    if (text !== undefined) disk.set(path, text);
    const old = before.get(path);
    if (path.endsWith("/ledger.json")) {
      const none = '{ "version": 1, "contributions": {}, "files": {} }';
      disk.set(path.replace(/json$/, `before.${nth}.json`), old ?? none);
    }
  }
  return disk;
}

for (const [daemon, files, edit] of [
  ["postfix", postfixDisk, postfixEdit],
  ["dovecot", dovecotDisk, dovecotEdit],
] as const) {
  describe(`plans for ${daemon}, whatever its files hold`, function () {
    this.timeout(600_000);
    it("once all have left, in any order, every byte is as it was and no ledger is left", () => {
      fc.assert(
        fc.property(files, stepsOf(edit), anyOrder, (texts, steps, order) => {
          const disk: Disk = new Map(texts);
          for (const step of [...steps, ...leaveAll(order)]) take(disk, daemon, possible(disk, step));
          assert.deepEqual([...disk], texts);
        }),
        { numRuns },
      );
    });

    it("to want the same again changes nothing", () => {
      fc.assert(
        fc.property(files, stepsOf(edit), (texts, steps) => {
          const disk: Disk = new Map(texts);
          for (const step of steps.map((one) => possible(disk, one))) {
            if (!take(disk, daemon, step)) continue;
            const written = [...disk];
            take(disk, daemon, step);
            assert.deepEqual([...disk], written);
          }
        }),
        { numRuns },
      );
    });

    it("what somebody writes or takes out before, between and after our changes, in their files and ours, stays so, and ours goes", () => {
      const line = fc.constantFrom("# theirs\n", "theirs = 1\n", "\n");
      const lines = fc.array(line, { maxLength: 3 });
      const moments = fc.tuple(fc.nat(), fc.nat());
      fc.assert(
        fc.property(files, stepsOf(edit), anyOrder, lines, lines, moments, (texts, steps, order, head, tail, when) => {
          // They write whole lines, so to a file whose last line is one.
          const whole = texts.map(([path, text]): [string, string] => [
            path,
            text === "" || text.endsWith("\n") ? text : `${text}\n`,
          ]);
          const disk: Disk = new Map(whole);
          const all = [...steps, ...leaveAll(order)];
          const [writes, rues] = when.map((moment) => moment % all.length);
          const first = (head[0] ?? "").length;
          let inOurs = new Map<string, string>();
          let ruedIt = false;
          for (const [n, step] of all.entries()) {
            if (n === writes) {
              for (const [path] of whole) disk.set(path, head.join("") + (disk.get(path) ?? "") + tail.join(""));
              inOurs = editOurs(disk, daemon, when[0]);
            } else if (n === rues && n > (writes ?? 0)) {
              for (const [path] of whole) disk.set(path, (disk.get(path) ?? "").slice(first));
              ruedIt = true;
            }
            take(disk, daemon, possible(disk, step));
          }
          assert.deepEqual(
            [...disk].sort(),
            [
              ...whole.map(([path, text]) => [path, head.slice(ruedIt ? 1 : 0).join("") + text + tail.join("")]),
              ...inOurs,
            ].sort(),
          );
        }),
        { numRuns },
      );
    });

    it("what the host's own undo takes out of an edited file is what a plan would, or it leaves the file alone", () => {
      const directory = mkdtempSync(join(tmpdir(), "undo-"));
      const [ledger, edited] = [join(directory, daemon, "ledger.json"), join(directory, "edited")];
      mkdirSync(join(directory, daemon));
      const line = fc.constantFrom("# theirs\n", "theirs = 1\n", "}\n", "mynetworks = 192.0.2.7\n", "\n");
      let [taken, left] = [0, 0];
      fc.assert(
        fc.property(
          files,
          stepsOf(edit),
          fc.array(fc.tuple(line, fc.nat()), { maxLength: 3 }),
          (texts, steps, edits) => {
            const disk: Disk = new Map(texts);
            for (const step of steps) take(disk, daemon, possible(disk, step));
            for (const [path, { format }] of Object.entries(snapshotOf(disk).ledgers[daemon].files)) {
              const lines = (disk.get(path) ?? "").split(/(?<=\n)/);
              for (const [text, n] of edits) {
                const at = n % (lines.length + 1);
                // Between a line and its continuation, ours would become another setting's.
                const next = lines.slice(at).find((line) => !/^\s*(#|$)/.test(line)) ?? "";
                if (!/^[ \t]/.test(next)) lines.splice(at, 0, text);
              }
              const text = lines.join("");
              if (format === "secret-table" || !text.endsWith("\n") || text.includes("\0")) continue;
              writeFileSync(ledger, disk.get(`${stateDirectory}/${daemon}/ledger.json`) ?? "", "latin1");
              writeFileSync(edited, text, "latin1");
              const { status, stdout } = spawnSync("sh", ["-c", takeOut, "sh", directory, daemon, path, edited], {
                encoding: "latin1",
              });
              const rest = withoutOurs(snapshotOf(new Map(disk).set(path, text)), daemon, path);
              if (status === 0) {
                // In files of ours alone, empty lines are nobody's.
                const full = (all: string) => (formats[format].shared ? all : all.replace(/^\n/gm, ""));
                assert.equal(full(stdout), full(rest ?? ""), `${path}: ${text}`);
                taken++;
              } else left++;
            }
          },
        ),
        { numRuns: numRuns / 5 },
      );
      rmSync(directory, { recursive: true });
      assert.ok(taken > left / 5, `taken out of ${taken} files, ${left} left alone`);
    });

    it("changes that were cut off, with an edit on top of any half of each: the edits stay, and all of ours goes", () => {
      fc.assert(
        fc.property(files, stepsOf(edit), stepsOf(edit), anyOrder, fc.nat(), (texts, steps, last, order, halves) => {
          const whole = texts.map(([path, text]): [string, string] => [
            path,
            text === "" || text.endsWith("\n") ? text : `${text}\n`,
          ]);
          fc.pre(!whole.some(([, text]) => hasEmptyList(text)) && !hasTwins(new Map(whole).get(master) ?? ""));
          let disk: Disk = new Map(whole);
          for (const step of steps) take(disk, daemon, possible(disk, step));
          const cuts = last.slice(0, 3);
          for (const [n, step] of cuts.entries()) {
            const after: Disk = new Map(disk);
            take(after, daemon, possible(after, step));
            disk = cutOff(disk, after, halves >> (n * 8), n);
            // Without a ledger of ours there is nothing to take out of.
            for (const [path] of whole) disk.set(path, `# theirs\n${disk.get(path) ?? ""}`);
          }
          for (const step of leaveAll(order)) take(disk, daemon, step);
          // Which of the ledgers tells where a blank of the edited line came from, nobody knows.
          assert.deepEqual(
            [...disk].map(([path, text]) => [path, blanks(text)]),
            whole.map(([path, text]) => [path, blanks("# theirs\n".repeat(cuts.length) + text)]),
          );
        }),
        { numRuns },
      );
    });
  });
}
