import { strict as assert } from "node:assert";
import { dialect, type Dialect } from "../../provider/src/dovecot/dialect.js";
import { effective } from "../../provider/src/dovecot/filters.js";
import { renderFragment, type FragmentEdit } from "../../provider/src/dovecot/fragment.js";
import { addInclude } from "../../provider/src/dovecot/include-line.js";
import { fragmentSlot } from "../../provider/src/dovecot/slot.js";
import { outranked } from "../../provider/src/dovecot/trust.js";
import { readTree } from "../../provider/src/dovecot/tree.js";
import { operatorBlocks, type OperatorBlocks, type Verdict } from "../support/dovecot-blocks.js";
import { startHost, type Debian, type Host } from "../support/host.js";

const lab = "/root/lab";
const ours = `${lab}/ours.conf`;

for (const debian of ["bookworm", "trixie"] as const satisfies readonly Debian[]) {
  describe(`the real Dovecot of ${debian}`, () => {
    let host: Host;
    let language: Dialect;
    before(async () => {
      host = await startHost(debian);
      const known = dialect(await host.run("dovecot --version"));
      assert.ok(known);
      language = known;
    });
    after(() => host.stop());

    it("accepts our fragment with every separator, and shows that it was read", async () => {
      const main = `${version(language)}!include ${ours}\n`;
      for (const separator of "!%&*+,/:;=?^|~") {
        const edits: FragmentEdit[] = [
          { separator },
          { trust: "203.0.113.10/32" },
          { trust: "2001:db8::/64" },
          { master: { resultSuccess: "continue", file: "/etc/dovecot/ours.master" } },
        ];
        await put(host, { [`${lab}/dovecot.conf`]: main, [ours]: renderFragment(edits, language) });
        const shown = await host.run(`doveconf -c ${lab}/dovecot.conf -n`);
        assert.match(shown, /master = yes/);
        assert.equal((await value(host, "auth_master_user_separator")).stdout, separator);
      }
      const networks = { "203.0.113.10": "203.0.113.10/32", "2001:db8::7": "2001:db8::/64" };
      for (const [address, network] of Object.entries(networks)) {
        assert.equal((await value(host, "login_trusted_networks", `remote=${address}`)).stdout, network);
      }
    });

    it("reads what we put where we say that it will be read, and reads it last", async () => {
      const mains: { text: string; files?: string[]; kind: string }[] = [
        { text: "!include conf.d/*.conf\n!include_try local.conf\n", files: ["conf.d/10-a.conf"], kind: "glob" },
        { text: "!include_try {x,conf.d}/[0-9]*.conf\n", files: ["conf.d/10-a.conf"], kind: "glob" },
        { text: `!include ${lab}/nested.inc\n`, files: ["nested.inc", "conf.d/10-a.conf"], kind: "glob" },
        { text: "!include conf.d/*-a.conf\n", files: ["conf.d/10-a.conf"], kind: "include-line" },
        {
          text: "remote 10.0.0.1 {\n!include_try conf.d/*.conf\n}\n",
          files: ["conf.d/10-a.conf"],
          kind: "include-line",
        },
        { text: "login_greeting = theirs", kind: "include-line" },
        { text: "login_greeting = theirs \\", kind: "include-line" },
        { text: "# end\r\n", kind: "include-line" },
      ];
      for (const { text, files = [], kind } of mains) {
        const root = `${lab}/dovecot.conf`;
        const map = new Map([[root, `${version(language)}${text}`]]);
        for (const file of files) {
          map.set(`${lab}/${file}`, file === "nested.inc" ? "!include conf.d/*.conf\n" : "login_greeting = theirs\n");
        }
        const slot = fragmentSlot(readTree(root, map, language), "99-zz-ours.conf");
        assert.equal(slot.kind, kind, text);
        map.set(slot.path, "login_greeting = ours\n");
        if (slot.kind === "include-line") map.set(root, addInclude(map.get(root) ?? "", slot.path).text);
        await put(host, Object.fromEntries(map));
        assert.equal((await value(host, "login_greeting")).stdout, "ours", text);
        assert.equal(effective(readTree(root, map, language), language, "login_greeting").value, "ours", text);
      }
    });

    it("reads odd text as we do", async () => {
      const texts = [
        "login_greeting=a   b\n",
        'login_greeting = "a # b" # c\n',
        "login_greeting = 'a \\' b'\n",
        "login_greeting = a#b\n",
        "login_greeting = a \\\n  b \\ # c\n   d\n",
        "login_greeting = first\nlogin_greeting = a \\\n# gone\n",
        "login_greeting = \xc3\xa0\xa0\r\n",
        "login_greeting = a\0 b\n",
        "\tlogin_greeting =\ta\t\n",
        "login_greeting = {\n",
        "protocol imap {\n login_greeting = inner\n}\nlogin_greeting = outer",
      ];
      for (const text of texts) {
        const root = `${lab}/dovecot.conf`;
        const whole = `${version(language)}${text}`;
        await put(host, { [root]: whole });
        const { stdout, stderr } = await value(host, "login_greeting");
        const read = effective(readTree(root, new Map([[root, whole]]), language), language, "login_greeting").value;
        assert.equal(read, stdout, `${JSON.stringify(text)} ${stderr}`);
      }
    });

    it("trusts the proxy, or does not, or closes the connection, as we foresee", async () => {
      const cases = operatorBlocks.filter(({ verdict }) => verdict[language] !== undefined).map(placed);
      const together = cases.filter(({ alone }) => !alone);
      const groups = [together, ...cases.filter(({ alone }) => alone).map((one) => [one])];
      const files = groups.map((group, index) => [`${lab}/group-${index}.conf`, instance(language, index, group)]);
      await put(host, Object.fromEntries(files) as Record<string, string>);
      await host.run(`cd ${lab}; for conf in group-*.conf; do dovecot -c $PWD/$conf 2>$conf.err & done; wait`);
      const real = new Map<number, string>();
      // A conflict closes the connection after seconds only: one Dovecot does not wait for another.
      await Promise.all(
        groups.map(async (group, index) => {
          for (const { n } of group) real.set(n, await proxyLogin(host, n, index));
        }),
      );
      const foreseen = (one: Placed): string => {
        const tree = readTree(
          "/root.conf",
          new Map(Object.entries({ "/root.conf": `${one.before}!include ${ours}\n${one.after}`, [ours]: own(one.n) })),
          language,
        );
        const [found] = outranked(tree, language, [`127.${one.n}.0.10/32`], ours, [`127.${one.n}.0.1`]);
        return found?.kind ?? "trusted";
      };
      const table = (verdictOf: (one: Placed) => string): string[] =>
        cases.map((one) => `${one.title}: ${verdictOf(one)}`);
      assert.deepEqual(
        table(foreseen),
        table(({ n }) => real.get(n) ?? ""),
      );
      assert.deepEqual(
        table(({ verdict }) => verdict[language] ?? ""),
        table(({ n }) => real.get(n) ?? ""),
      );
    });
  });
}

type Placed = OperatorBlocks & { n: number; before: string; after: string };

/** Each case in a network of its own, 127.n.0.0/24. */
function placed(one: OperatorBlocks, index: number): Placed {
  const n = 101 + index;
  const text = (template = ""): string =>
    template.replaceAll("PROXY", `127.${n}.0.10`).replaceAll("NET", `127.${n}.0.0`).replaceAll("HOST", `127.${n}.0.1`);
  return { ...one, n, before: text(one.before), after: text(one.after) };
}

function own(n: number): string {
  return `remote 127.${n}.0.10/32 {\n  login_trusted_networks = 127.${n}.0.10/32\n}\n`;
}

/** What a POP3 login server says to the proxy of case `n`. */
async function proxyLogin(host: Host, n: number, index: number): Promise<Verdict> {
  const target = { host: `127.${n}.0.1`, port: port(index), from: `127.${n}.0.10` };
  return host.dialogue(target, async (dialogue) => {
    const greeting = await dialogue.expect(/^\+OK /).catch(() => dialogue.closed());
    if (greeting !== "") return greeting.includes("[XCLIENT]") ? "trusted" : "wins";
    const said = await host.run(`cat ${lab}/group-${index}.log ${lab}/group-${index}.conf.err 2>/dev/null || :`);
    assert.match(said, /Conflict in setting login_trusted_networks found from filter/);
    return "conflict";
  });
}

/** A Dovecot that serves POP3 only, beside the host's own. */
function instance(language: Dialect, index: number, group: readonly Placed[]): string {
  const name = language === "2.4" ? " lab" : "";
  return [
    `${version(language)}protocols = pop3\nssl = no\nlog_path = ${lab}/group-${index}.log\nbase_dir = /run/lab-${index}`,
    `service pop3-login {\n inet_listener pop3 {\n port = ${port(index)}\n }\n inet_listener pop3s {\n port = 0\n }\n}`,
    `passdb${name} {\n driver = passwd-file\n ${language === "2.4" ? "passwd_file_path =" : "args ="} /nowhere\n}`,
    `userdb${name} {\n driver = passwd\n}`,
    ...group.map(({ before }) => before),
    ...group.map(({ n }) => own(n)),
    ...group.map(({ after }) => after),
  ].join("\n");
}

function port(index: number): number {
  return 31_100 + index;
}

function version(language: Dialect): string {
  return language === "2.4" ? "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n" : "";
}

/** Empties the directory and fills it anew, in one go. */
async function put(host: Host, files: Record<string, string>): Promise<void> {
  const writes = Object.entries(files).map(([path, text]) => {
    const base64 = Buffer.from(text, "latin1").toString("base64");
    return `mkdir -p ${path.replace(/\/[^/]*$/, "")} && echo '${base64}' | base64 -d >'${path}'`;
  });
  await host.run(["set -e", `rm -rf ${lab}`, ...writes].join("\n"));
}

async function value(host: Host, name: string, filter?: string): Promise<{ stdout: string; stderr: string }> {
  const { stdout, stderr } = await host.exec(
    `doveconf -c ${lab}/dovecot.conf -h ${filter ? `-f ${filter} ` : ""}${name}`,
  );
  // 2.4 quotes what a file would have to quote.
  return { stdout: stdout.replace(/\n$/, "").replace(/^"(.*)"$/s, "$1"), stderr };
}
