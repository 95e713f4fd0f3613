// DovecotProxyTrust on real hosts: whom Dovecot trusts afterwards, and that nothing else changes.
import { strict as assert } from "node:assert";
import { type Debian, type Host, startHost } from "../support/host.js";
import { dovecotReloads, greeting, logged, login, type Visit } from "../support/mail-client.js";
import { create, type Resource } from "../support/resources.js";

const fragment = "/etc/dovecot/conf.d/99-zz-pulumi-dovecot-postfix.conf";
const local = "/etc/dovecot/local.conf";
const alice = ["alice@example.com", "alicepassword"] as const;
const kind = "DovecotProxyTrust";

for (const debian of ["bookworm", "trixie"] as const) {
  describe(`DovecotProxyTrust on ${debian}`, function () {
    let host: Host;
    let original: Map<string, string>;
    let proxy: Visit;
    let stranger: Visit;
    let operators: Visit;

    before(async () => {
      const [server, client] = await Promise.all([startHost(debian), startHost("trixie")]);
      host = server;
      const network = client.address.replace(/\d+$/, "");
      const at = (last: number): Visit => ({ client, to: server.address, from: `${network}${String(last)}` });
      proxy = { client, to: server.address, from: client.address };
      stranger = at(240);
      operators = at(241);
      for (const { from = "" } of [stranger, operators]) await client.run(`ip address add ${from}/24 dev eth0`);
      await ownTrust(host, operators.from ?? "");
      // Answers when the reload is over, and no file comes and goes any more.
      await login(stranger, "imap", alice);
      original = await host.files();
    });
    after(async () => {
      await Promise.all([host.stop(), proxy.client.stop()]);
    });

    const from = (visit: Visit): string => visit.from ?? "";
    const offered = async (visit: Visit): Promise<boolean[]> => [
      (await greeting(visit, "pop3")).includes("[XCLIENT]"),
      (await greeting(visit, "sieve")).includes('"XCLIENT"'),
    ];
    const trustedFor = (address: string): Promise<string> =>
      host.run(`doveconf -h -f protocol=imap -f remote=${address} login_trusted_networks 2>/dev/null`);
    const unchanged = async (): Promise<void> => {
      assert.deepEqual(changed(original, await host.files()), []);
    };

    describe("two stacks", () => {
      let first: Resource;
      let second: Resource;

      it("trusts the proxy, and nobody else", async () => {
        assert.deepEqual(await offered(proxy), [false, false]);
        first = await create(host, { kind }, { proxies: [from(proxy)] });
        assert.deepEqual(first.outs["trustedNetworks"], [`${from(proxy)}/32`]);
        assert.match(await trustedFor(from(proxy)), new RegExp(`^${from(proxy)}/32`));
        assert.deepEqual(await offered(proxy), [true, true]);
        assert.deepEqual(await offered(stranger), [false, false]);
      });

      it("logs the client's address of a login through the proxy, and not that which a stranger tells", async () => {
        const told = (address: string) => ({
          first: [[`i ID ("x-originating-ip" "${address}" "x-originating-port" "40001")`, /^i OK/m]] as const,
        });
        assert.equal(await login(proxy, "imap", alice, told("198.51.100.7")), true);
        await logged(host, /imap-login: .*user=<alice@example.com>.* rip=198\.51\.100\.7,/);
        assert.equal(await login(stranger, "imap", alice, told("198.51.100.8")), true);
        await logged(host, new RegExp(`imap-login: .*user=<alice@example.com>.* rip=${from(stranger)},`));
        assert.equal((await host.mailLog()).includes("198.51.100.8"), false);
      });

      it("leaves the operator's own list and block effective", async () => {
        assert.match(await trustedFor("192.0.2.1"), new RegExp(`^${from(operators)}`));
        assert.deepEqual(await offered(operators), [true, true]);
        assert.equal(
          (await host.run(`doveconf -h -f remote=${from(stranger)} mail_max_userip_connections 2>/dev/null`)).trim(),
          "77",
        );
        assert.deepEqual(
          changed(original, await host.files()).filter((path) => !path.startsWith("/var/lib/pulumi")),
          [fragment],
        );
      });

      it("adds up with another stack's proxies, IPv6 and /24 networks among them", async () => {
        const proxies = [from(proxy), "203.0.113.0/24", "2001:db8:5::/64"];
        second = await create(host, { kind, stack: "other" }, { proxies });
        assert.match(await trustedFor("203.0.113.77"), /^203\.0\.113\.0\/24/);
        assert.match(await trustedFor("2001:db8:5::77"), /^2001:db8:5::\/64/);
        assert.match(await trustedFor(from(proxy)), new RegExp(`^${from(proxy)}/32`));
        assert.equal((await host.read(fragment)).match(/^remote /gm)?.length, 3);
      });

      it("writes and reloads nothing for what is so already", async () => {
        const files = await host.files();
        const reloads = await dovecotReloads(host);
        await first.update({ proxies: [`${from(proxy)}/32`, from(proxy)] });
        assert.deepEqual(await first.drift(), []);
        assert.deepEqual(changed(files, await host.files()), []);
        assert.equal(await dovecotReloads(host), reloads);
      });

      it("keeps a proxy that another stack still wants", async () => {
        await first.remove();
        assert.deepEqual(await offered(proxy), [true, true]);
        assert.deepEqual(await second.drift(), []);
      });

      it("takes a change of proxies", async () => {
        await second.update({ proxies: ["203.0.113.0/24"] });
        assert.deepEqual(await offered(proxy), [false, false]);
        assert.match(await trustedFor("203.0.113.77"), /^203\.0\.113\.0\/24/);
        assert.match(await trustedFor("2001:db8:5::77"), new RegExp(`^${from(operators)}`));
      });

      it("reports what somebody took out, and repairs just that", async () => {
        const ours = await host.read(fragment);
        const note = "# a note of the operator\n";
        await host.write(fragment, ours.replace("login_trusted_networks = 203.0.113.0/24", "") + note);
        assert.match((await second.drift()).join("\n"), /login_trusted_networks .*lacks 203\.0\.113\.0\/24/);
        await second.update({ proxies: ["203.0.113.0/24"] });
        assert.match(await trustedFor("203.0.113.77"), /^203\.0\.113\.0\/24/);
        assert.equal((await host.read(fragment)).includes(note), true);
        assert.deepEqual(await second.drift(), []);
      });

      it("leaves other people's edits where they are, and nothing else", async () => {
        await host.run(`echo '# edited meanwhile' >>${local}`);
        await second.remove();
        assert.equal(await host.read(fragment), "# a note of the operator\n");
        assert.match(await host.read(local), /# edited meanwhile\n$/);
        await host.run(`rm ${fragment} && sed -i '$d' ${local}`);
        await unchanged();
        assert.deepEqual(await offered(operators), [true, true]);
      });
    });

    it("writes nothing where the operator's list covers the proxy, and leaves it so", async () => {
      const trust = await create(host, { kind }, { proxies: [from(operators)] });
      assert.deepEqual(trust.outs["trustedNetworks"], [from(operators)]);
      assert.deepEqual(
        changed(original, await host.files()).filter((path) => !path.startsWith("/var/lib/pulumi")),
        [],
      );
      assert.deepEqual(await trust.drift(), []);
      await trust.remove();
      await unchanged();
      assert.deepEqual(await offered(operators), [true, true]);
    });

    for (const { title, block, line, words } of outranking(debian)) {
      it(`refuses ${title}, with the line to add`, async () => {
        const network = from(proxy).replace(/\d+$/, "0/24");
        const text = block({ proxy: from(proxy), network, host: host.address });
        await host.write("/etc/dovecot/conf.d/99-zzz-operator.conf", text);
        try {
          const files = await host.files();
          await assert.rejects(create(host, { kind }, { proxies: [from(proxy)] }), (error: Error) => {
            assert.match(error.message, new RegExp(`/etc/dovecot/conf.d/99-zzz-operator.conf:${String(line)} `));
            assert.match(error.message, words({ proxy: from(proxy) }));
            assert.match(error.message, /Nothing was changed/);
            return true;
          });
          assert.deepEqual(changed(files, await host.files()), []);
        } finally {
          await host.run("rm /etc/dovecot/conf.d/99-zzz-operator.conf");
        }
      });
    }

    it("adds one marked include line where the configuration is one file, and takes it out", async () => {
      await host.run(
        "cp -a /etc/dovecot/dovecot.conf /root/dovecot.conf && doveconf -nP >/root/one && cat /root/one >/etc/dovecot/dovecot.conf && printf '# the end, without a newline' >>/etc/dovecot/dovecot.conf && doveadm reload",
      );
      const before = await host.files();
      const text = await host.read("/etc/dovecot/dovecot.conf");
      const trust = await create(host, { kind }, { proxies: [from(proxy)] });
      const after = await host.read("/etc/dovecot/dovecot.conf");
      assert.equal(after.startsWith(`${text}\n`), true);
      assert.match(after.slice(text.length), /^\n# pulumi-dovecot-postfix: .*\n!include_try \/etc\/dovecot\/\S+\n$/);
      assert.deepEqual(await offered(proxy), [true, true]);

      await trust.remove();
      assert.deepEqual(changed(before, await host.files()), []);

      const again = await create(host, { kind }, { proxies: [from(proxy)] });
      await host.run("echo '# edited meanwhile' >>/etc/dovecot/dovecot.conf");
      await again.remove();
      assert.equal(await host.read("/etc/dovecot/dovecot.conf"), `${text}\n# edited meanwhile\n`);
      assert.deepEqual(changed(before, await host.files()), ["/etc/dovecot/dovecot.conf"]);
      await host.run("cp -a /root/dovecot.conf /etc/dovecot/ && rm /root/dovecot.conf /root/one && doveadm reload");
    });
  });
}

/** The operator trusts an address of his own, and has a block for other settings. */
async function ownTrust(host: Host, address: string): Promise<void> {
  const network = address.replace(/\d+$/, "0/24");
  await host.run(`cat >>${local} && doveadm reload`, {
    input: `login_trusted_networks = ${address}\nremote ${network} {\n  mail_max_userip_connections = 77\n}\n`,
  });
}

interface Addresses {
  proxy: string;
  network: string;
  host: string;
}

function outranking(debian: Debian): {
  title: string;
  block: (addresses: Addresses) => string;
  line: number;
  words: (addresses: { proxy: string }) => RegExp;
}[] {
  const added = ({ proxy }: { proxy: string }) => new RegExp(`login_trusted_networks = 192\\.0\\.2\\.9 ${proxy}/32`);
  return debian === "bookworm"
    ? [
        {
          title: "a more specific block of the operator",
          block: ({ proxy }) =>
            `# ours alone\nremote ${proxy} {\n  protocol imap {\n    login_trusted_networks = 192.0.2.9\n  }\n}\n`,
          ...{ line: 4, words: added },
        },
        {
          title: "a local block that would close every connection",
          block: ({ host }) => `local ${host} {\n  login_trusted_networks = 192.0.2.9\n}\n`,
          ...{ line: 2, words: added },
        },
      ]
    : [
        {
          title: "a later block of the operator",
          block: ({ network }) => `remote ${network} {\n  login_trusted_networks = 192.0.2.9\n}\n`,
          ...{ line: 2, words: added },
        },
      ];
}

/** Paths that are not as they were, sorted. */
function changed(before: Map<string, string>, after: Map<string, string>): string[] {
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((path) => before.get(path) !== after.get(path))
    .sort();
}
