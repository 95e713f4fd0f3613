// What a change leaves that was cut off or failed, and what others have made of the host before the next operation comes.
import { strict as assert } from "node:assert";
import { deafen, deafenable, hear } from "../support/deaf.js";
import { eachOnHost, EDIT, killed, meanwhile, order, same, settled, stepsMade } from "../support/cuts.js";
import type { Host } from "../support/host.js";
import { serves } from "../support/mail-client.js";
import { mainCf, mortalSmtpd } from "../support/postfix.js";
import { create, listening } from "../support/resources.js";
import { oneIn, sampled } from "../support/sample.js";

const state = "/var/lib/pulumi-dovecot-postfix";
const journal = `${state}/postfix/journal`;
/** Of main.cf. */
const savedCopy = `${journal}/$(sed -n 's|^\\([0-9]*\\) .*/main.cf$|\\1|p' ${journal}/files)`;

for (const debian of sampled("trixie")) {
  describe(`after a change that was cut off, on ${debian}`, () => {
    let host: Host;
    let pristine: Map<string, string>;

    const it = oneIn(3);
    eachOnHost(debian, (...begun) => ([host, pristine] = begun));

    const xclient = () => create(host, { kind: "PostfixXclientTrust" }, { proxies: ["198.51.100.7"] });
    const trust = () => create(host, { kind: "DovecotProxyTrust" }, { proxies: ["198.51.100.7"] });
    const relay = () => create(host, { kind: "RelayAcceptance" }, { servers: ["203.0.113.20"] });

    /** Of a change of Postfix all is killed before a step, the watchdog too. */
    async function cut(at: string, change: () => Promise<unknown>): Promise<void> {
      const said = await killed(host, { where: "postfix", at }, change);
      assert.match(said, /the program on the host was ended before it was done.*run the same command again/s);
    }

    it("a file that somebody has shortened then is an edit, and stays", async () => {
      await host.run(`echo '${EDIT}' >>${mainCf}`);
      await cut("put", xclient);
      // What is left is the beginning of the file that waits to take its place.
      await host.run(`sed -i '$d' ${mainCf}`);
      const shortened = await host.read(mainCf);
      const { told } = await listening(async () => (await xclient()).remove());
      assert.match(told, /postfix: an operation before this one was cut off; its old files are back$/m);
      assert.equal(await host.read(mainCf), shortened);
      same(await host.files(), pristine);
    });

    it("a file that was being written over is no edit", async () => {
      const main = await host.read(mainCf);
      for (const [prepare, begin] of [
        // To a file with other hard links, its bytes are written in place.
        [`ln ${mainCf} /root/link`, "cp main.cf .main.cf.pulumi-half && truncate -s $size main.cf"],
        // On a full disk, its old ones are.
        ["rm /root/link", `ln ${savedCopy} ${savedCopy}.half && head -c $size ${savedCopy} >main.cf`],
      ] as const) {
        await host.run(prepare);
        pristine = await host.files();
        await cut("proved", relay);
        await host.run(`size=${main.length - 100} && cd /etc/postfix && ${begin}`);
        await (await relay()).remove();
        assert.equal(await host.read(mainCf), main, prepare);
        same(await host.files(), pristine);
      }
    });

    it("Postfix starts again where we had stopped it, and not where somebody else has", async () => {
      await cut("proved", relay);
      await host.run("postfix stop 2>/dev/null");
      await assert.rejects(relay(), /does not run/);
      await host.run("postfix start 2>/dev/null");
      await cut("proved", relay);
      await host.run(`: >${journal}/stopped; postfix stop 2>/dev/null`);
      await (await relay()).remove();
      await serves(host);
      same(await host.files(), pristine);
    });

    it("a daemon that the watchdog had to start does not hold its lock", async () => {
      const ends = `#!/bin/sh\n[ "$1" != reload ] || exec /usr/bin/doveadm stop\nexec /usr/bin/doveadm "$@"\n`;
      await host.write("/usr/local/bin/doveadm", ends, "755");
      await killed(host, { where: "dovecot", at: "proved", kind: "program" }, trust);
      await host.run("rm /usr/local/bin/doveadm");
      await settled(host);
      await serves(host);
      await (await trust()).remove();
      same(await host.files(), pristine);
    });

    it("what an edit keeps from being undone is proved before the next operation says that all is well", async () => {
      const heal = await mortalSmtpd(host, "203.0.113.20");
      await meanwhile(
        host,
        { where: "postfix", at: "proved" },
        () =>
          assert.rejects(
            relay(),
            /Somebody changed these files meanwhile, so they were left as they are: \/etc\/postfix\/main\.cf/,
          ),
        () => host.run(`echo '${EDIT}' >>${mainCf}`),
      );
      assert.match(await host.read(mainCf), /203\.0\.113\.20/);
      await assert.rejects(relay(), /postfix: its services do not answer, so a change could not be proved/);
      await heal();
      await (await relay()).remove();
      assert.equal(await host.run(`tail -n 1 ${mainCf}; sed -i '$d' ${mainCf}`), `${EDIT}\n`);
      same(await host.files(), pristine);
    });

    it("what is added in the very moment in which a file goes, or comes back, stays", async () => {
      const fragment = "/etc/dovecot/conf.d/99-zz-pulumi-dovecot-postfix.conf";
      const first = await trust();
      await order(host, "main", 0, "none");
      await first.remove();
      const at = (await stepsMade(host)).filter(({ command }) => / take_away mv /.test(command)).at(-1)?.at ?? 0;
      const second = await trust();
      await meanwhile(
        host,
        { where: "dovecot", at },
        () => second.remove(),
        () => host.run(`echo '${EDIT}' >>${fragment}`),
      );
      assert.equal(await host.read(fragment), `${EDIT}\n`);
      await host.run(`rm ${fragment}`);

      await mortalSmtpd(host, "203.0.113.20");
      await meanwhile(
        host,
        { where: "postfix", at: "restore" },
        () => assert.rejects(relay(), /a service that answered before does not answer/),
        () => host.run(`echo '${EDIT}' >>${mainCf}`),
      );
      assert.match(await host.read(mainCf), new RegExp(`${EDIT}\\n$`));
    });

    it("what is in place, or is again, is on the disk before its journal goes", async () => {
      const log = "/root/synced";
      await host.write(
        "/usr/local/bin/sync",
        `#!/bin/sh\necho "$(grep -c 203.0.113.20 ${mainCf}) $(ls -d ${journal}) $*" >>${log}\nexec /usr/bin/sync "$@"\n`,
        "755",
      );
      const synced = (ours: number) => new RegExp(`^${ours} ${journal} .*${mainCf} /etc/postfix( |$)`, "m");
      await (await relay()).remove();
      assert.match(await host.read(log), synced(1));
      assert.match(await host.read(log), synced(0));
      await mortalSmtpd(host, "203.0.113.20");
      await host.run(`rm ${log}`);
      await assert.rejects(relay());
      assert.match(await host.read(log), synced(0));
    });

    it("an operation fails where the one before it cannot be undone, also where it wants what is there already", async () => {
      for (const [what, harm, heal] of [
        ["main.cf is immutable", `chattr +i ${mainCf}`, `chattr -i ${mainCf}`],
        ["its copy is gone", `copy=${savedCopy} && mv $copy $copy.away`, `mv ${savedCopy}.away ${savedCopy}`],
      ] as const) {
        await cut("proved", relay);
        const there = await host.read(mainCf);
        await host.run(harm);
        const lost =
          /postfix: an operation before this one was cut off, and could not be undone.*could not be put back: +\/etc\/postfix\/main\.cf.*What that operation has changed is still there/s;
        for (let n = 0; n < 2; n++) await assert.rejects(relay(), lost, what);
        assert.equal(await host.read(mainCf), there, what);
        await host.run(heal);
        await (await relay()).remove();
        same(await host.files(), pristine);
      }
    });

    it("a change whose journal cannot go is undone, not said to be done", async () => {
      const main = await host.read(mainCf);
      const undone =
        /the change could not be declared done.*cannot rename \S+\/postfix\/journal.*could not be put back; they are in/s;
      await meanwhile(
        host,
        { where: "postfix", at: "clear_journal" },
        () => assert.rejects(relay(), undone),
        () => host.run(`chattr +i ${state}/postfix`),
      );
      assert.equal(await host.read(mainCf), main);
      await host.run(`chattr -i ${state}/postfix`);
      await (await relay()).remove();
      same(await host.files(), pristine);
    });

    it("nobody says that nothing was changed where an undo did not come to its end", async () => {
      await deafenable(host);
      pristine = await host.files();
      await deafen(host);
      const said = await killed(host, { where: "postfix", at: "restore", kind: "side" }, relay);
      assert.match(said, /a service that answered before does not answer after the reload.*: Not known from here\./s);
      await hear(host);
      await settled(host);
      await (await relay()).remove();
      same(await host.files(), pristine);
    });

    it("Postfix's services have their time to answer, however long Dovecot's side takes", async () => {
      await host.run(
        `postconf -e smtpd_delay_reject=no 'smtpd_client_restrictions=sleep 2' && postfix reload 2>/dev/null`,
      );
      pristine = await host.files();
      const all = await meanwhile(
        host,
        { where: "dovecot", at: "proved" },
        () => Promise.all([trust(), relay()]),
        () => host.run("sleep 11"),
      );
      await Promise.all(all.map((one) => one.remove()));
      same(await host.files(), pristine);
    });

    it("a ledger that cannot be read is not planned from, whatever lies beside it", async () => {
      const one = await relay();
      await host.run(`cd ${state}/postfix && cp ledger.json ledger.json.bak && truncate -s 100 ledger.json`);
      const written = await host.files();
      for (const run of [relay, () => one.remove()]) await assert.rejects(run, /ledger\.json cannot be read/);
      same(await host.files(), written);
      await host.run(`cd ${state}/postfix && mv ledger.json.bak ledger.json`);
      await one.remove();
      same(await host.files(), pristine);
    });

    it("a ledger that somebody has deleted is told where the files of before show that there was one", async () => {
      const one = await relay();
      await host.run(`mv ${state}/postfix/ledger.json /root`);
      const written = await host.files();
      const missing =
        /the ledger \S+\/postfix\/ledger\.json is missing, but files of before are in \S+\/postfix\/before\.\nState of the host: Nothing was changed\.\nWhat to do: Restore it from a backup of \/var\/lib/;
      await assert.rejects(relay(), missing);
      await assert.rejects(one.remove(), missing);
      same(await host.files(), written);
      await host.run(`mv /root/ledger.json ${state}/postfix`);
      await one.remove();
      same(await host.files(), pristine);
    });
  });
}
