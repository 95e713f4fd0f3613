// `npm run soak`: what `npm test` takes a sample of, whole, on both Debians. Prints the counts, writes them to
// docs/reliability.md, and ends with status 1 where anything failed.
//   SOAK_STRIDE=7   only one step of a commit in 7 is cut     SOAK_ONLY=cuts,faults   these sections only
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { stopAll } from "../support/host.js";
import { commits, cuts, links } from "./cuts.js";
import { report, type Section } from "./report.js";
import { suite, type Suite } from "./suite.js";

const file = "docs/reliability.md";
const stride = Number(process.env["SOAK_STRIDE"] ?? "1");

const parts: Readonly<Record<string, Suite>> = {
  faults: {
    title: "Faults of a host",
    what: "Tools that hang, disks that are full or read-only, files that cannot be replaced, daemons that die of new settings: a clear error, the old bytes, mail that works, no debris.",
    files: ["faults", "hidden-faults", "postfix-proof", "unproved", "odd-files"].map((name) => `host/${name}`),
  },
  others: {
    title: "Others on the same host",
    what: "Other stacks, administrators, package upgrades, backups that are played back, ledgers that are deleted; undo without Pulumi; an engine that is killed.",
    files: ["others", "two-stacks", "upgrades", "recovery", "undo", "engine-killed"].map((name) => `host/${name}`),
  },
  properties: {
    title: "Generated configurations",
    what: "Texts of main.cf, master.cf and dovecot.conf trees, any contributions, any order, any foreign edit: add, then remove, is the identity on all that is not ours.",
    files: ["property/postfix", "property/dovecot", "property/plan"],
    runs: 10_000,
  },
  outside: {
    title: "From the outside",
    what: "Connections, logins, secrets, grants, programs that are run by three shells, hostile arguments, hosts that lie.",
    files: [
      ...["login", "host-key", "jump-host", "no-answer", "command", "sudo"].map((name) => `host/ssh/${name}`),
      ...["logins", "shells", "secrets", "least-privilege", "observer", "liar", "hostile"].map(
        (name) => `host/${name}`,
      ),
      "property/hostile",
    ],
  },
};

/** Each test on hosts is in one part. */
const rest: Suite = {
  title: "All other tests on hosts",
  what: "The five resources, previews, the command, the examples: both Debians, where `npm test` takes one of them.",
  files: readdirSync("test/host", { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts") && name !== "cuts.test.ts")
    .map((name) => `host/${name.replace(/\.test\.ts$/, "")}`)
    .filter((name) => !Object.values(parts).some(({ files }) => files.includes(name))),
};

const sections: Readonly<Record<string, () => Promise<Section>>> = {
  cuts: () => cuts(commits, ["bookworm", "trixie"], stride),
  link: () => cuts(links, ["bookworm", "trixie"], stride),
  ...Object.fromEntries(Object.entries({ ...parts, rest }).map(([name, part]) => [name, () => suite(part)])),
};

async function main(): Promise<void> {
  // What each operation reports would hide what the soak does.
  const { log } = console;
  console.log = (text: string) => {
    if (!/@\S+:\d+: /.test(text)) log(text);
  };
  const only = process.env["SOAK_ONLY"]?.split(",");
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  let failed = false;
  for (const [name, run] of Object.entries(sections)) {
    if (only?.includes(name) === false) continue;
    const began = Date.now();
    const section = await run();
    log(`${section.title}: ${section.count}, of which ${section.failures.length} failed`);
    for (const failure of section.failures) log(`  ${failure}`);
    failed ||= section.failures.length > 0;
    const minutes = Math.ceil((Date.now() - began) / 60_000);
    const day = new Date(began).toISOString().slice(0, 10);
    const how = `Commit ${commit}, ${day}, ${minutes} minutes on ${cpus().length} cores, with hosts of Debian 12 and 13.`;
    mkdirSync("docs", { recursive: true });
    const before = existsSync(file) ? readFileSync(file, "utf8") : "";
    writeFileSync(file, report(before, section, how));
  }
  await stopAll();
  process.exitCode = failed ? 1 : 0;
}

void main();
