// Others work on the same host: another stack, an administrator, a backup that is played back, a hand that deletes the ledger.
import { strict as assert } from "node:assert";
import { createAll, cutMade, eachOnHost, killed, noOrder, order, removeAll, same, stepsMade } from "../support/cuts.js";
import type { Debian, Host } from "../support/host.js";
import { mainCf, saying } from "../support/postfix.js";
import { create, type Resource } from "../support/resources.js";
import { oneIn, random, sampled, seed, soaking } from "../support/sample.js";

const state = "/var/lib/pulumi-dovecot-postfix";

for (const debian of sampled("bookworm")) {
  describe(`others on the same host, ${debian}`, () => {
    promises(debian);
  });
}

function promises(debian: Debian): void {
  let host: Host;
  let pristine: Map<string, string>;

  const it = oneIn(2);
  eachOnHost(debian, (...begun) => ([host, pristine] = begun));

  /** One alone is one commit, which meets what was ordered; of several, the last to come could mend it at once. */
  const relay = () => create(host, { kind: "RelayAcceptance" }, { servers: ["203.0.113.20"] });

  it("a create that was killed between the host's commit and the state's is adopted by the next", async () => {
    await createAll(host);
    const written = await host.files();
    const again = await createAll(host);
    same(await host.files(), written);
    await removeAll(again);
    same(await host.files(), pristine);
  });

  it("a remove that was killed between the host's commit and the state's is done", async () => {
    const all = await createAll(host);
    await removeAll(all);
    await removeAll(all);
    same(await host.files(), pristine);
  });

  it("a ledger that was deleted by hand: what is ours alone is adopted and goes, what cannot be told apart is told", async () => {
    const all = await createAll(host);
    await host.run(`rm -rf ${state}`);
    assert.match((await all[0]?.drift())?.join("\n") ?? "", /the ledger on the host does not know this resource/);
    const { report } = await saying(async () => removeAll(await createAll(host)));
    assert.match(report, /already so; it is the administrator's and stays after destroy/);
    const left = [...(await host.files())].filter(([path, file]) => pristine.get(path) !== file).map(([path]) => path);
    assert.deepEqual(left.sort(), [mainCf, "/etc/postfix/master.cf"]);
  });

  it("a destroy without the ledger takes what is ours alone, and says what else is still there", async () => {
    const all = await createAll(host);
    await host.run(`rm -rf ${state}`);
    const { report } = await saying(() => removeAll(all));
    assert.match(report, /main\.cf still has mynetworks: 203\.0\.113\.20\/32, and the ledger does not know/);
    const left = [...(await host.files())].filter(([path, file]) => pristine.get(path) !== file).map(([path]) => path);
    assert.deepEqual(left.sort(), [mainCf, "/etc/postfix/master.cf"]);
  });

  it("a host that is restored from a backup of before, or of the middle, converges", async () => {
    const backup = (name: string) => host.run(`mkdir -p ${state}; tar -C / -cf /opt/${name}.tar etc ${state.slice(1)}`);
    const restored = (name: string) =>
      host.run(
        `rm -rf ${state} /etc/dovecot /etc/postfix; tar -C / -xf /opt/${name}.tar; rmdir ${state} 2>/dev/null; doveadm reload; postfix reload 2>/dev/null`,
      );
    await backup("before");
    const [trust, ...rest] = await createAll(host);
    assert.ok(trust);
    await backup("middle");
    await removeAll(rest);
    await restored("middle");
    await trust.update({ proxies: ["198.51.100.9"] });
    await restored("before");
    assert.match((await trust.drift()).join("\n"), /the ledger on the host does not know this resource/);
    await trust.update({ proxies: ["198.51.100.9"] });
    assert.match(await host.run("doveconf -f remote=198.51.100.9 -h login_trusted_networks"), /198\.51\.100\.9/);
    await removeAll([trust, ...rest]);
    same(await host.files(), pristine);
  });

  it("an edit of main.cf between kill and recovery stays, and nothing of ours is orphaned", async () => {
    // No watchdog is left; the administrator comes before us.
    const steps = ["stage_file", "put", "reload_daemon", "turn", "proved", "clear_journal", "forget_empty"];
    const every = soaking ? 1 : 4;
    for (const step of steps.filter((_, n) => n % every === seed % every)) {
      await killed(host, { where: "postfix", at: step }, relay);
      await editedAndMended(`step ${step}`);
    }
  });

  it("an edit of main.cf after a recovery that was cut off, too, stays, and nothing of ours is orphaned", async () => {
    for (const step of ["proved", "put"]) {
      await killed(host, { where: "postfix", at: step }, relay);
    }
    assert.match(await host.run("ls -A /etc/postfix"), /^\..*\.pulumi-old$/m);
    await editedAndMended("an undo that was cut off");
  });

  /** Somebody edits main.cf, with ours in it or without; then it is all put in again, and goes. */
  async function editedAndMended(when: string): Promise<void> {
    await host.run(`sed -i 's/^mynetworks = .*/& 192.0.2.77/; 1i# edited' ${mainCf}`);
    const edited = (await host.read(mainCf)).includes("203.0.113.20") ? "with ours in it" : "of before";
    await removeAll(await createAll(host));
    const now = await host.read(mainCf);
    assert.match(now, /^# edited$/m, `${when}, a file ${edited}`);
    assert.doesNotMatch(now, /203\.0\.113\.20/, `${when}, a file ${edited}`);
    await host.run(`sed -i '1{/^# edited$/d}; s/^\\(mynetworks = .*\\) 192.0.2.77/\\1/' ${mainCf}`);
    same(await host.files(), pristine);
  }

  /** An edit that was made while the resource was created is there, also when the resource has gone. */
  async function stays(resource: Resource): Promise<void> {
    assert.match(await host.read(mainCf), /^# edited by somebody$/m);
    await resource.remove();
    assert.equal(await host.run(`tail -n 1 ${mainCf}; sed -i '$d' ${mainCf}`), "# edited by somebody\n");
    same(await host.files(), pristine);
  }

  it("an edit of main.cf between reading and writing stays", async () => {
    await order(host, "main", 2, "editing");
    const made = await relay();
    await noOrder(host);
    assert.ok(await cutMade(host));
    await stays(made);
  });

  it("an edit of main.cf in the very moment in which it is replaced stays", async () => {
    const renamesMade = async () =>
      (await stepsMade(host)).filter(({ command }) => /^postfix \d+ put mv /.test(command)).map(({ at }) => at);
    // The last is main.cf's, those before it the ledger's.
    await order(host, "main", 0, "none");
    const first = await relay();
    const renames = await renamesMade();
    await first.remove();
    assert.ok(renames.length > 1);
    for (const [n, last] of [...renames.entries()].slice(soaking ? 0 : -1)) {
      // The steps before it may be more or less than they were the last time.
      let at = last;
      for (let tries = 1; ; tries++) {
        await order(host, "postfix", at, "editing");
        const again = await relay();
        await noOrder(host);
        const now = (await renamesMade())[n];
        if (await cutMade(host)) await stays(again);
        else await again.remove();
        if (now === at) break;
        assert.ok(tries < 5, `rename ${n + 1} was step ${at}, then ${now ?? "none"}`);
        at = now ?? at;
      }
    }
  });

  it(`two stacks in any order (CUTS_SEED=${seed}): what anyone wants is there, the original bytes after the last`, async function () {
    this.timeout(240_000);
    const draw = random(seed);
    const any = <T>(all: readonly T[]): T => all[Math.floor(draw() * all.length)] as T;
    const kinds = [
      ["DovecotProxyTrust", (network: string) => ({ proxies: [network] })],
      ["PostfixXclientTrust", (network: string) => ({ proxies: [network], services: ["submission/inet"] })],
      ["RelayAcceptance", (network: string) => ({ servers: [network] })],
    ] as const;
    const networks = ["198.51.100.7", "203.0.113.20"];
    const held = new Map<string, { resource: Resource; kind: string; network: string }>();
    // Two connections that differ in a setting are two sessions: two processes, as far as the host can see.
    const connectionOf = (stack: string) => ({ ...host.connection, ...(stack === "b" && { dialErrorLimit: 9 }) });
    for (let round = 0; round < (soaking ? 12 : 6); round++) {
      await Promise.all(
        ["a", "b"].map(async (stack) => {
          const [kind, argsOf] = any(kinds);
          const key = `${stack}/${kind}`;
          const old = held.get(key);
          if (old) {
            held.delete(key);
            await old.resource.remove();
          } else {
            const network = any(networks);
            const args = { ...argsOf(network), connection: connectionOf(stack) };
            held.set(key, { kind, network, resource: await create(host, { kind, stack }, args) });
          }
        }),
      );
      const text = await host.run(`cat /etc/dovecot/conf.d/*pulumi* 2>/dev/null; cat ${mainCf} /etc/postfix/master.cf`);
      for (const { kind, network } of held.values()) {
        const there = {
          DovecotProxyTrust: `login_trusted_networks = ${network}`,
          PostfixXclientTrust: `smtpd_authorized_xclient_hosts=${network}`,
          RelayAcceptance: network,
        }[kind];
        assert.ok(
          there !== undefined && new RegExp(there.replaceAll(".", "\\.").replace("=", "=.*")).test(text),
          `round ${round}: ${kind} ${network}`,
        );
      }
    }
    await Promise.all([...held.values()].map(({ resource }) => resource.remove()));
    same(await host.files(), pristine);
  });
}
