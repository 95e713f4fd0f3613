// Where marked secrets turn up in a run of everything: nowhere but in the user's own program and a password file's hash.
import { strict as assert } from "node:assert";
import { MailSource } from "pulumi-dovecot-postfix";
import { addAdministrator, sudoers } from "../support/administrator.js";
import { startHost, type Host } from "../support/host.js";
import { ofAllProcesses } from "../support/processes.js";
import { sampled } from "../support/sample.js";
import { createStack } from "../support/stack.js";

const password = "marked-Passw0rd-7e1";
const becomePassword = "marked-becomePassw0rd-5d2";
const ledger = "/var/lib/pulumi-dovecot-postfix";
const masters = "/etc/dovecot/pulumi-dovecot-postfix.master.";

/** Looks at every process of the host, again and again, until it is told to end. */
const sampler = String.raw`
while [ ! -e /run/enough ]; do
  cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | grep -aF -f /run/marks >>/run/hits
  echo >>/run/rounds; sleep 0.1
done`;

for (const debian of sampled("trixie")) {
  describe(`secrets on ${debian}`, () => {
    let host: Host;
    before(async () => {
      host = await startHost(debian);
    });
    after(() => host.stop());

    it("turn up nowhere: not in what is printed or stored, nor in any process, log or file", async function () {
      this.timeout(240_000);
      await addAdministrator(host, becomePassword);
      await sudoers(host, "admin ALL=(root) ALL");
      const { privateKey } = host.connection;
      const connection = { ...host.connection, user: "admin", becomePassword };
      const key = privateKey.split("\n").filter((line) => line.length > 20 && !line.startsWith("-----"));
      const marks = [password, becomePassword, ...key.slice(1)];
      await host.write("/run/marks", `${marks.join("\n")}\n`, "600");
      const before = await host.files();

      await host.run(`cat >/run/sampler; setsid sh /run/sampler </dev/null >/dev/null 2>&1 &`, { input: sampler });
      const here = new Set<string>();
      let rounds = 0;
      const timer = setInterval(() => {
        rounds++;
        for (const mark of marks) if (ofAllProcesses("cmdline").some((text) => text.includes(mark))) here.add(mark);
      }, 100);

      const printed: string[] = [];
      const said = ({ stdout, stderr }: { stdout: string; stderr: string }) => printed.push(stdout, stderr);
      const source = (servers: string[]) => () => {
        const source = new MailSource("source", {
          ...{ connection, proxies: ["203.0.113.10"], servers },
          masterUser: { username: "vmadmin", password },
        });
        return Promise.resolve({ login: source.loginFormat, password: source.masterPassword });
      };
      const stack = await createStack(source(["203.0.113.20"]));
      let hash = "";
      try {
        said(await stack.preview(undefined, { diff: true }));
        said(await stack.up());
        hash = /vmadmin:(\S+?)(:|$)/m.exec(await host.read(`${masters}imap`))?.[1] ?? "";
        const mode = await host.run(`stat -c '%a %U %G' ${masters}imap ${masters}sieve`);
        assert.equal(mode, "640 root dovecot\n640 root dovecot\n");
        await host.run("sed -i 's| 203.0.113.20/32||' /etc/postfix/main.cf");
        said(await stack.refresh());
        said(await stack.preview(source(["203.0.113.22"]), { diff: true }));
        // Refused by check, by the host, and by the host's own tool: three texts of errors.
        for (const servers of [["0.0.0.0/0"], ["203.0.113.23"]]) {
          await host.run("echo 'smtpd_relay_restrictions = no_such_thing' >>/etc/postfix/main.cf");
          printed.push(await stack.up(source(servers)).then(String, String));
          await host.run("sed -i '$d' /etc/postfix/main.cf");
        }
        const state = await stack.exportState();
        printed.push(state, JSON.stringify(await censored(stack.outputs())));
        await hits(host, [...marks, hash], [`${masters}imap`, `${masters}sieve`]);
        said(await stack.up(source(["203.0.113.20"])));
      } finally {
        said(await stack.destroy());
        clearInterval(timer);
        stack.remove();
      }
      await host.run("touch /run/enough; sleep 0.5");

      assert.match(hash, /^\{[A-Z0-9-]+\}/);
      for (const mark of [...marks, hash]) {
        const where = printed.filter((text) => text.includes(mark)).map((text) => text.slice(0, 300));
        assert.deepEqual(where, [], "printed or stored");
      }
      assert.equal(await host.run("cat /run/hits"), "", "a process of the host");
      assert.ok(Number(await host.run("wc -l </run/rounds")) > 30);
      assert.deepEqual([...here], [], "a process here");
      assert.ok(rounds > 20);
      await hits(host, [...marks, hash], []);
      await host.run("rm /run/marks /run/hits /run/rounds /run/sampler /run/enough");
      assert.deepEqual(await kept(host), withoutRun(before));
    });
  });
}

/** Outputs as `pulumi stack output` shows them: a secret's value is there for the one who asks for it only. */
async function censored(outputs: Promise<Record<string, { value: unknown; secret: boolean }>>) {
  const all = Object.entries(await outputs);
  return Object.fromEntries(all.map(([name, { value, secret }]) => [name, secret ? "[secret]" : value]));
}

/** No file of the host holds a mark, but for those that are named. */
async function hits(host: Host, marks: readonly string[], allowed: readonly string[]): Promise<void> {
  await host.write("/run/wanted", `${marks.join("\n")}\n`, "600");
  const places = `/var/log /tmp /var/tmp /root /home /etc ${ledger} /var/spool/postfix /run`;
  const found = await host.run(`grep -raFl -f /run/wanted ${places} 2>/dev/null | sort; rm /run/wanted`);
  const known = ["/run/marks", "/run/wanted", ...allowed];
  assert.deepEqual(
    found.split("\n").filter((path) => path !== "" && !known.includes(path)),
    [],
    "files of the host",
  );
}

const withoutRun = (files: ReadonlyMap<string, string>) =>
  new Map([...files].filter(([path]) => !path.startsWith("/run/")));
const kept = async (host: Host) => withoutRun(await host.files());
