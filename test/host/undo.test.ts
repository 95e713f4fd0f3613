// Undo without Pulumi: what root finds beside the ledger, on a host whose state is lost, and what Pulumi makes of it afterwards.
import { strict as assert } from "node:assert";
import {
  createAll,
  cutMade,
  instrumented,
  killed,
  removeAll,
  resources,
  same,
  settled,
  stepsMade,
  type Step,
} from "../support/cuts.js";
import { startHost, type Debian, type Host } from "../support/host.js";
import { serves } from "../support/mail-client.js";
import { arrives, mainCf, saying, send } from "../support/postfix.js";
import { create, type Resource } from "../support/resources.js";
import { oneIn, random, sampled, seed, soaking } from "../support/sample.js";

const state = "/var/lib/pulumi-dovecot-postfix";
const dovecotConf = "/etc/dovecot/dovecot.conf";
const undo = `${state}/undo`;
const kills = soaking ? 40 : 3;
/** No part of any of them may be printed. */
const hashes = resources("a").flatMap(([, { passwordHash }]) =>
  typeof passwordHash === "string" ? [passwordHash] : [],
);

for (const debian of sampled("bookworm")) {
  describe(`undo without Pulumi, ${debian}`, () => {
    promises(debian);
  });
}

function promises(debian: Debian): void {
  const it = oneIn(2);
  let host: Host;
  let pristine: Map<string, string>;

  beforeEach(async () => {
    host = await startHost(debian);
    pristine = await host.files();
  });
  afterEach(() => host.stop());

  /** What it printed, to both streams; nothing secret may be in it. */
  async function run(command: string, code = 0): Promise<string> {
    const { stdout, stderr, code: ended } = await host.exec(command);
    const said = stdout + stderr;
    assert.equal(ended, code, said);
    for (const hash of hashes) assert.ok(!said.includes(hash.slice(-40)), "a password hash was printed");
    return said;
  }

  const other = () =>
    create(host, { kind: "RelayAcceptance", stack: "other" }, { servers: ["192.0.2.0/24"] }).then((one) => [one]);

  it("shows what is ours and whose, and changes nothing", async () => {
    const all = [...(await createAll(host)), ...(await other())];
    const written = await host.files();
    const said = await run(undo);
    same(await host.files(), written);
    for (const owner of [
      "test/MasterUser/MasterUser",
      "test/DovecotProxyTrust/DovecotProxyTrust",
      "other/RelayAcceptance",
    ])
      assert.match(said, new RegExp(`^ {2}organization/mail/${owner}`, "m"));
    assert.match(said, /main\.cf: what was there before comes back\n.*\n *-mynetworks = .*203\.0\.113\.20/);
    assert.match(said, /pulumi-dovecot-postfix\.master\.imap: goes; it was not there before\n/);
    assert.match(said, /^ *-remote 198\.51\.100\.7\/32 \{$/m);
    assert.match(said, /Nothing was changed\./);
    assert.match(await host.read(`${state}/README`), /undo --yes +takes it out/);
    assert.equal(await host.run(`stat -c '%a %U' ${undo} ${state}`), "700 root\n700 root\n");
    await run(`${undo} --no-such-word`, 64);
    same(await host.files(), written);
    await removeAll(all);
    same(await host.files(), pristine);
  });

  it("takes out everything to the byte, in every shell, and Pulumi understands", async function () {
    this.timeout(240_000);
    for (const shell of ["dash", "bash --posix", "busybox sh"]) {
      const all = [...(await createAll(host)), ...(await other())];
      const said = await run(`${shell} ${undo} --yes`);
      assert.match(said, /^dovecot: taken out, and reloaded/m, shell);
      assert.match(said, /^postfix: taken out, and reloaded/m, shell);
      same(await host.files(), pristine);
      await serves(host);
      assert.match((await all[0]?.drift())?.join("\n") ?? "", /the ledger on the host does not know this resource/);
      const { report } = await saying(() => removeAll(all));
      assert.match(report, /dovecot: already so, nothing written; postfix: already so, nothing written/);
      same(await host.files(), pristine);
    }
    const all = await createAll(host);
    await run(`${undo} --yes`);
    await Promise.all(all.map((one, n) => one.update(resources("b")[n]?.[1] ?? {})));
    assert.match(await host.run("postconf -h mynetworks"), /203\.0\.113\.20/);
    assert.match(await send({ at: host }, "127.0.0.1", { subject: debian }), /^250 /);
    await arrives(host, "alice", debian);
    await removeAll(all);
    same(await host.files(), pristine);
  });

  it("an edit beside ours stays, and ours goes", async () => {
    // Nothing includes conf.d any more, so that dovecot.conf itself gets a line of ours.
    await host.run(`cd /etc/dovecot && sed -i '/^!include conf\\.d/d' dovecot.conf &&
      printf '!include %s\\n' conf.d/*.conf >>dovecot.conf && doveconf -n >/dev/null && doveadm reload`);
    const prepared = await host.files();
    const all = await createAll(host);
    assert.match(await host.read(dovecotConf), /^!include_try .*pulumi/m);
    const edit = `sed -i '1i# edited \\xe4' ${dovecotConf} && sed -i '3a# edited' ${mainCf} && echo '# edited' >>/etc/dovecot/99-zz-pulumi-dovecot-postfix.conf`;
    await host.run(edit);
    const said = await run(undo);
    for (const file of ["dovecot\\.conf", "main\\.cf", "99-zz-pulumi-dovecot-postfix\\.conf"])
      assert.match(said, new RegExp(`${file}: edited since; the edit stays`));
    await run(`${undo} --yes`);
    assert.equal(await host.read("/etc/dovecot/99-zz-pulumi-dovecot-postfix.conf"), "# edited\n");
    await serves(host);
    await removeAll(all);
    await host.run(`sed -i 1d ${dovecotConf}; sed -i 4d ${mainCf}; rm /etc/dovecot/99-zz-pulumi-dovecot-postfix.conf`);
    same(await host.files(), prepared);
  });

  it("where an edit is mixed with ours, it says what to do by hand, and takes out the other daemon's share only", async () => {
    const all = await createAll(host);
    await host.run(`sed -i 's/^mynetworks = .*/& 192.0.2.77/' ${mainCf}`);
    const written = await host.files();
    const said = await run(undo);
    assert.match(
      said,
      /main\.cf: EDITED SINCE[^]*-mynetworks = .* 203\.0\.113\.20\/32\n *\+mynetworks = .*\n *\(words of ours: 203\.0\.113\.20\/32\)/,
    );
    same(await host.files(), written);

    const done = await run(`${undo} --yes`, 1);
    assert.match(done, /^dovecot: taken out/m);
    assert.match(done, /Still there: postfix\./);
    const now = await host.files();
    for (const [path, file] of written) if (/\/postfix\//.test(path)) assert.equal(now.get(path), file, path);
    assert.equal(await host.run(`ls ${state}`), "README\npostfix\nundo\n");
    await serves(host);

    await host.run(`sed -i 's| 203.0.113.20/32||' ${mainCf}`);
    await run(`${undo} --yes --by-hand`);
    await serves(host);
    await removeAll(all);
    await host.run(`sed -i 's/ 192.0.2.77//' ${mainCf}`);
    same(await host.files(), pristine);
  });

  it("an edit that comes between its look and its work is found, and that daemon's share stays whole", async () => {
    const all = await createAll(host);
    const edits = `sed -i 's/^mynetworks = .*/& 192.0.2.77/' ${mainCf}`;
    const asked = `if [ "$1" = -h ]; then rm "$0"; ${edits}; fi`;
    await host.write("/usr/local/bin/doveconf", `#!/bin/sh\n${asked}\nexec /usr/bin/doveconf "$@"\n`, "755");
    const written = await host.files();
    const said = await run(`${undo} --yes`, 1);
    assert.match(said, /^dovecot: taken out, and reloaded; what answered before answers\.$/m);
    assert.match(
      said,
      /^postfix: somebody has just edited this file\. Nothing was changed; run this again\.\n.*main\.cf$/m,
    );
    assert.match(said, /Still there: postfix\./);
    const now = await host.files();
    for (const [path, file] of written) {
      if (/\/postfix\//.test(path) && path !== mainCf) assert.equal(now.get(path), file, path);
    }
    await host.run(`sed -i 's/ 192.0.2.77$//' ${mainCf}`);
    await run(`${undo} --yes`);
    await removeAll(all);
    same(await host.files(), pristine);
  });

  it("by hand, too, no file goes that an edited one still names", async () => {
    await host.run(`cd /etc/dovecot && sed -i '/^!include conf\\.d/d' dovecot.conf &&
      printf '!include %s\\n' conf.d/*.conf >>dovecot.conf && doveadm reload`);
    const all = await createAll(host);
    await host.run(`sed -i 's|^!include_try .*pulumi.*|&  |' ${dovecotConf}`);
    const named = /dovecot\.conf still names \S+pulumi-dovecot-postfix\.conf, which would go/;
    const done = await run(`${undo} --yes --by-hand`, 1);
    assert.match(done, named);
    assert.match(done, /Still there: dovecot\./);
    await serves(host);
    await host.run(`sed -i '/^!include_try .*pulumi/d' ${dovecotConf}`);
    assert.doesNotMatch(await run(`${undo} --yes --by-hand`), named);
    await serves(host);
    await removeAll(all);
    assert.equal(await host.run("find /etc/dovecot /etc/postfix /var/lib -name '*pulumi*'"), "");
  });

  it("where a removal was cut off and met an edit, it says what was ours", async () => {
    await instrumented(host);
    pristine = await host.files();
    const all = await createAll(host);
    await killed(host, { where: "postfix", at: "proved" }, () => removeAll(all));
    await host.run(`echo '# edited' >>${mainCf}`);
    const said = await run(`${undo} --yes`, 1);
    assert.match(said, /main\.cf: EDITED SINCE[^]*\(words of ours: 203\.0\.113\.20\/32\)/);
    assert.doesNotMatch(said, /awk:/);
    await run(`${undo} --yes --by-hand`);
    await removeAll(all);
    await host.run(`sed -i '$d' ${mainCf}`);
    same(await host.files(), pristine);
  });

  it("a ledger that does not tell what is ours is named, with the originals, and nothing of that daemon is touched", async () => {
    const all = await createAll(host);
    const postfixFiles = async () => new Map([...(await host.files())].filter(([path]) => path.includes("/postfix/")));
    await host.run(`cp -a ${state}/postfix/ledger.json /root/whole`);
    let first = true;
    for (const [told, damage] of [
      ["cannot be read", "head -c 900 $whole >$ledger"],
      ["cannot be read", "sed '$d' $whole >$ledger"],
      ["cannot be read", "sed 1d $whole >$ledger"],
      ["cannot be read", ": >$ledger"],
      ["cannot be read", "tr -d '\\n' <$whole >$ledger"],
      ["cannot be read", "sed 's/^ */&&/' $whole >$ledger"],
      ["cannot be read", `sed '/^  "files"/,$s/^    */&  /' $whole >$ledger`],
      ["cannot be read", `sed 's/"version": 1/"version": 2/' $whole >$ledger`],
      ["cannot be read", `sed '/"version": 1/d' $whole >$ledger`],
      ["cannot be read", `sed '/^      "after"/d' $whole >$ledger`],
      ["names no file", `{ sed '/^  "files"/,$d' $whole && printf '  "files": {}\\n}\\n'; } >$ledger`],
      ["is missing", "rm $ledger"],
    ] as const) {
      await host.run(`whole=/root/whole ledger=${state}/postfix/ledger.json; cp -a $whole $ledger; ${damage}`);
      const written = await host.files();
      const share = await postfixFiles();
      const says = (said: string): void => {
        assert.match(said, new RegExp(`^postfix: the ledger ${state}/postfix/ledger\\.json ${told}`, "m"), damage);
        assert.match(said, /diff '.*\/before\/%2Fetc%2Fpostfix%2Fmain\.cf' '\/etc\/postfix\/main\.cf'\n/, damage);
      };
      for (const shell of ["dash", "bash --posix", "busybox sh"]) says(await run(`${shell} ${undo}`, 1));
      same(await host.files(), written);
      const done = await run(`${undo} --yes --by-hand`, 1);
      says(done);
      assert.equal(/^dovecot: taken out/m.test(done), first);
      assert.match(done, /Still there: postfix\./);
      same(await postfixFiles(), share);
      first = false;
    }
    await host.run(`mv /root/whole ${state}/postfix/ledger.json`);
    await run(`${undo} --yes`);
    same(await host.files(), pristine);
    await removeAll(all);
  });

  it("without a ledger of Dovecot it names the files that are ours", async () => {
    await createAll(host);
    await host.run(`echo '{' >${state}/dovecot/ledger.json`);
    const said = await run(undo, 1);
    for (const file of ["conf.d/99-zz-pulumi-dovecot-postfix.conf", "pulumi-dovecot-postfix.master.imap"])
      assert.match(said, new RegExp(`^ {4}/etc/dovecot/${file}$`, "m"));
  });

  it("a ledger that only knows what the administrator had already is whole", async () => {
    await host.run(`postconf -e 'mynetworks = 127.0.0.0/8 192.0.2.0/24'; postfix reload 2>/dev/null`);
    const prepared = await host.files();
    await other();
    assert.match(await host.read(`${state}/postfix/ledger.json`), /^ {2}"files": \{\}$/m);
    await run(`${undo} --yes`);
    same(await host.files(), prepared);
  });

  it("busybox's tools will do", async () => {
    const all = await createAll(host);
    const tools =
      "awk cat cp diff find grep head id ls mkdir mv od realpath rm rmdir sed sha256sum sort stat tail tr wc";
    await host.run(`for tool in ${tools}; do
      ln -s "$(command -v busybox)" /usr/local/sbin/$tool && busybox $tool --help >/dev/null 2>&1 || exit 1; done`);
    const said = [await run(`busybox sh ${undo}`), await run(`busybox sh ${undo} --yes`)];
    await host.run(`cd /usr/local/sbin && /bin/rm ${tools}`);
    for (const text of said) assert.doesNotMatch(text, /^(BusyBox|realpath:)/m);
    same(await host.files(), pristine);
    await removeAll(all);
  });

  it("a daemon that cannot be reloaded keeps its share; the other one's goes", async () => {
    const all = await createAll(host);
    await host.write(
      "/usr/local/sbin/postfix",
      '#!/bin/sh\n[ "$1" != reload ] || { echo "fatal: the test refuses" >&2; exit 1; }\nexec /usr/sbin/postfix "$@"\n',
      "755",
    );
    const written = await host.files(["/etc/postfix", `${state}/postfix`]);
    const said = await run(`${undo} --yes`, 1);
    assert.match(said, /^postfix: failed \(reload\), so nothing of it is taken out:\n[^]*fatal: the test refuses/m);
    assert.match(said, /^dovecot: taken out/m);
    same(await host.files(["/etc/postfix", `${state}/postfix`]), written);
    await serves(host);
    await host.run("rm /usr/local/sbin/postfix");
    await run(`${undo} --yes`);
    await serves(host);
    same(await host.files(), pristine);
    await removeAll(all);
    same(await host.files(), pristine);
  });

  it("says that somebody's broken configuration keeps a reload from its effect, and leaves that daemon's share", async () => {
    await createAll(host);
    await host.run("echo 'no_such_setting = yes' >/etc/dovecot/conf.d/50-broken.conf");
    const said = await run(`${undo} --yes`, 1);
    assert.match(said, /^dovecot: failed \(reload\).*\n[^]*no_such_setting/m);
    assert.match(said, /^postfix: taken out/m);
    await host.run("rm /etc/dovecot/conf.d/50-broken.conf");
    await run(`${undo} --yes`);
    await serves(host);
    same(await host.files(), pristine);
  });

  it("a daemon that does not run is not started", async () => {
    await createAll(host);
    await host.run("postfix stop 2>/dev/null");
    assert.match(await run(`${undo} --yes`), /^postfix: taken out; it does not run/m);
    same(await host.files(), pristine);
    assert.notEqual((await host.exec("postfix status")).code, 0);
  });

  it("waits for an operation that holds the lock, and says so", async () => {
    await createAll(host);
    await host.run("flock /var/lib sleep 3 >/dev/null 2>&1 </dev/null &");
    assert.match(await run(undo), /Another operation is under way/);
    assert.match(await run(`${undo} --yes`), /it is waited for, up to 60 s/);
    same(await host.files(), pristine);
  });

  it(`killed at any of its steps it leaves a whole host, and does it the next time (CUTS_SEED=${seed})`, async function () {
    this.timeout(60_000 + kills * 20_000);
    await instrumented(host);
    pristine = await host.files();
    // The instrument (support/cuts.ts) works on a program that comes by stdin.
    const cut = async (order: string): Promise<Resource[]> => {
      const all = await createAll(host);
      await host.run(`rm -f /opt/fault/*; echo '${order}' >/opt/fault/order
        sed 's/^undo .*/undo ${state.replaceAll("/", "\\/")} --yes/' ${undo} >/opt/fault/undo`);
      await host.exec("setsid sh </opt/fault/undo");
      await settled(host);
      return all;
    };
    await cut("main 0 none");
    same(await host.files(), pristine);
    const steps = await stepsMade(host);
    const draw = random(seed);
    let made = 0;
    for (let n = 0; n < kills; n++) {
      const { where, at } = steps[Math.floor(draw() * steps.length)] as Step;
      const order = `${where} ${at} ${["program", "side", "midway"][n % 3] ?? ""}`;
      const all = await cut(order);
      if (await cutMade(host)) made++;
      await serves(host);
      // With the kill at its very end there is nothing left to run.
      await host.run(`rm -f /opt/fault/*; [ ! -e ${undo} ] || ${undo} --yes`);
      await removeAll(all);
      same(await host.files(), pristine);
    }
    assert.ok(made > 0, "no step that was ordered came");
  });

  it("what a commit leaves that was cut off at its first or last step goes with the next operation", async () => {
    const all = await createAll(host);
    await host.run(`cp -a ${state} /root/kept`);
    await removeAll(all);
    await host.run(`mv /root/kept ${state} && rm -r ${state}/dovecot ${state}/postfix`);
    await removeAll(all);
    same(await host.files(), pristine);
  });
}
