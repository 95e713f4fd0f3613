// The programs that run on a mail host mean the same to every shell that a host may have as its `sh`, and cut off they do nothing.
import { strict as assert } from "node:assert";
import { randomInt } from "node:crypto";
import { startHost, type Host } from "../support/host.js";
import { create, type Resource } from "../support/resources.js";
import { soaking } from "../support/sample.js";

const shells = ["dash", "bash", "busybox sh"] as const;
type Shell = (typeof shells)[number];

const hash = "{SHA512-CRYPT}$6$saltsaltsaltsalt$" + "x".repeat(86);
const args: Readonly<Record<string, Record<string, unknown>>> = {
  DovecotProxyTrust: { proxies: ["192.0.2.10", "2001:db8::10"] },
  PostfixXclientTrust: { proxies: ["192.0.2.10"], services: ["submission/inet"] },
  MasterUser: { username: "vmadmin", passwordHash: hash },
  RelayAcceptance: { servers: ["192.0.2.20"] },
};

describe("the programs on the host", () => {
  let host: Host;
  let pristine: Map<string, string>;
  /** What dash made of the arguments. */
  let made: Map<string, string> | undefined;

  before(async () => {
    host = await startHost("bookworm");
    await use("dash");
    pristine = await host.files();
  });
  after(() => host.stop());

  /** Paths that are not as they were then. */
  async function different(then: Map<string, string> = new Map()): Promise<string[]> {
    const now = await host.files();
    return [...new Set([...then.keys(), ...now.keys()])].filter((path) => then.get(path) !== now.get(path));
  }

  const createAll = (): Promise<Resource[]> =>
    Promise.all(Object.entries(args).map(([kind, given]) => create(host, { kind }, given)));
  const removeAll = (resources: readonly Resource[]) => Promise.all(resources.map((resource) => resource.remove()));

  /** From now on `sh` is this shell for whoever logs in; it keeps what it was given to read. */
  async function use(shell: Shell): Promise<void> {
    const keep = `kept=$(mktemp /tmp/inputs/$(date +%s%N).XXXXXX) && cat >$kept && exec ${shell} <$kept`;
    await host.run(`mkdir -p /tmp/inputs && rm -f /tmp/inputs/* && cat >/tmp/sh && chmod 755 /tmp/sh`, {
      input: `#!/bin/dash\n[ $# -eq 0 ] || exec /bin/sh "$@"\n${keep}\n`,
    });
    await host.run("ln -sf /tmp/sh /usr/local/bin/sh");
  }

  /** Paths on the host of what was sent to `sh`, the first first. */
  async function inputs(program: "observe" | "commit"): Promise<string[]> {
    const word = { observe: "dovecot_part", commit: "watchdog" }[program];
    return (await host.run(`grep -l ${word} /tmp/inputs/*`)).trim().split("\n");
  }

  for (const shell of shells) {
    describe(`run by ${shell}`, () => {
      before(async () => {
        await use(shell);
      });

      it("make the same files, are content with them, and take them back to the byte", async () => {
        const resources = await createAll();
        assert.equal((await inputs("commit")).length, 1, "the shell under test was used");
        made ??= await host.files();
        assert.ok((await different(pristine)).length > 0);
        assert.deepEqual(await different(made), []);
        assert.deepEqual((await Promise.all(resources.map((resource) => resource.drift()))).flat(), []);
        await removeAll(resources);
        assert.deepEqual(await different(pristine), []);
      });

      it("make a hash of a password that any byte may be in, which Dovecot accepts", async () => {
        const password = String.raw`-n $(id) 'x' "y" %s \0101 \c ` + "ü \u{1f40c} `w` !";
        const master = await create(host, { kind: "MasterUser" }, { username: "vmadmin", password });
        const quoted = `'${password.replaceAll("'", `'\\''`)}'`;
        const said = await host.exec(`doveadm auth test -x service=imap -- 'alice@example.com%vmadmin' ${quoted}`);
        await master.remove();
        assert.match(said.stdout, /auth succeeded/);
      });

      it("put everything back where a daemon cannot be reloaded, and say so", async () => {
        await host.run("mkdir -p /tmp/broken && cat >/tmp/broken/any && chmod 755 /tmp/broken/any", {
          input: `#!/bin/dash\n[ "$1" != reload ] || { echo "fatal: the test refuses" >&2; exit 1; }\nexec /usr/sbin/postfix "$@"\n`,
        });
        await host.run("ln -s /tmp/broken/any /usr/local/sbin/postfix");
        try {
          await assert.rejects(
            create(host, { kind: "RelayAcceptance" }, { servers: ["192.0.2.20"] }),
            /postfix: the daemon could not be reloaded[^]*fatal: the test refuses[^]*The old files are back and postfix answers again/,
          );
        } finally {
          await host.run("rm /usr/local/sbin/postfix");
        }
        assert.deepEqual(await different(pristine), []);
      });

      it("put back first what a killed commit left half done", async () => {
        await host.run(`
          own=/var/lib/pulumi-dovecot-postfix/postfix file=/etc/postfix/main.cf
          mkdir -p $own/journal && chmod 700 $own/.. $own && echo some-id >$own/journal/id
          cp -a $file $own/journal/1 && echo "relayhost = [192.0.2.66]" >>$file
          printf '\\n1 %s %s\\n' "$(sha256sum <$file | cut -c1-64)" $file >$own/journal/files`);
        const resource = await create(host, { kind: "PostfixXclientTrust" }, { proxies: ["192.0.2.10"] });
        assert.doesNotMatch(await host.read("/etc/postfix/main.cf"), /192\.0\.2\.66/);
        await resource.remove();
        assert.deepEqual(await different(pristine), []);
      });
    });
  }

  describe("run by any of them", () => {
    it("observe the same, byte for byte, in every shell", async () => {
      await use("dash");
      const resources = await createAll();
      await Promise.all(resources.map((resource) => resource.drift()));
      const asked = await inputs("observe");
      assert.ok(asked.length >= 2);
      for (const input of asked) {
        // A hash has its own salt each time.
        const answer = async (shell: string) =>
          (await host.run(`${shell} <${input}`)).replace(/\$6\$[A-Za-z0-9./]+\$[A-Za-z0-9./]+/g, "$6$...");
        const [dash, ...others] = await Promise.all(shells.map(answer));
        assert.match(dash ?? "", /^[0-9a-f]{32} end$/m);
        for (const other of others) assert.equal(other, dash);
      }
      await removeAll(resources);
    });

    it("run no part of a commit that was cut off, wherever that was", async () => {
      await use("dash");
      await removeAll(await createAll());
      const commits = await inputs("commit");
      await host.run(`cp ${commits[0] ?? assert.fail()} /tmp/whole`);
      const size = Number(await host.run("wc -c </tmp/whole"));
      // A program that ends in its last brace is whole.
      const last = size - "}\n".length;
      const cuts = [
        ...Array.from({ length: soaking ? 200 : 30 }, () => randomInt(1, last)),
        ...Array.from({ length: soaking ? 40 : 10 }, (_, n) => last - n),
      ].map(String);
      assert.deepEqual(await different(pristine), []);
      for (const shell of shells) {
        // Whatever a commit does first is a new directory; its own are named here, so that one look a cut is enough.
        const report = await host.run(
          `look() { stat -c '%n %z' /var/lib /etc/postfix /etc/dovecot /etc/dovecot/conf.d; }
        before=$(look)
        for cut in ${cuts.join(" ")}; do
          head -c "$cut" /tmp/whole | ${shell} >/dev/null 2>&1
          [ "$(look)" = "$before" ] || { echo "$cut"; exit; }
        done`,
        );
        assert.equal(report, "", `${shell} ran part of a commit of ${size} bytes, cut after so many bytes`);
        assert.deepEqual(await different(pristine), [], `${shell}, cuts ${cuts.join(" ")}`);
      }
      // Whole, it does what it did before.
      await host.run("dash </tmp/whole");
      assert.deepEqual(await different(made), []);
    });
  });
});
