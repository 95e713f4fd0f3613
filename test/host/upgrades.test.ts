// Package upgrades and configuration tools change the same files: Debian's own, as they do it. And anybody's editor, in any
// of the files, while a commit is about to begin. What they do stays, ours goes.
import { strict as assert } from "node:assert";
import { createAll, meanwhile, removeAll, updateAll } from "../support/cuts.js";
import { startHost, type Debian, type Host } from "../support/host.js";
import { serves } from "../support/mail-client.js";
import { mainCf, masterCf } from "../support/postfix.js";
import { sampled, soaking } from "../support/sample.js";

/** What the packages' maintainer scripts do where a newer version brings other files. */
const upgrade = `export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFNEW=1
  for shipped in dovecot.conf conf.d/15-lda.conf; do
    grep -q 'a newer version' /usr/share/dovecot/$shipped || echo '# of a newer version' >>/usr/share/dovecot/$shipped
  done
  dpkg-reconfigure dovecot-core && dpkg-reconfigure postfix && postfix upgrade-configuration
  doveadm reload && postfix reload`;

/** Postfix's own editor of its files, which lays out anew what it touches. */
const tool = `postconf -e 'smtpd_client_restrictions = permit_mynetworks' "mynetworks = $(postconf -h mynetworks) 192.0.2.5"
  postconf -P submission/inet/syslog_name=postfix/outgoing submission/inet/smtpd_helo_required=yes
  postconf -M 'relay2/unix=relay2 unix - - n - 3 smtp'
  postfix reload`;

/** The observation has ended, and the commit has not begun. */
const beforeCommit = { where: "main", at: 2 } as const;

for (const debian of sampled("trixie")) {
  describe(`upgrades and tools on ${debian}`, function () {
    this.timeout(120_000);
    promises(debian);
  });
}

function promises(debian: Debian): void {
  let host: Host;
  beforeEach(async () => {
    host = await startHost(debian);
    // As of a version of before: the upgrade adds this service.
    await host.run(`sed -i '/^postlog /d' ${masterCf}; postfix reload; tar -C / -cf /opt/before.tar etc var/lib/ucf`);
  });
  afterEach(() => host.stop());

  const restored = () =>
    host.run(
      "rm -rf /etc/dovecot /etc/postfix /var/lib/ucf; tar -C / -xf /opt/before.tar; doveadm reload; postfix reload",
    );
  const configuration = async () =>
    new Map([...(await host.files())].filter(([path]) => /^\/(etc\/(dovecot|postfix)|var\/lib\/pulumi)/.test(path)));

  const between = { "Postfix's configuration tool": tool, ...(soaking && { "a package upgrade": upgrade }) };
  for (const [what, change] of Object.entries(between)) {
    it(`${what} between up and destroy: the files are as it would have left them without us`, async () => {
      await host.run(change);
      const without = await configuration();
      assert.match(await host.read(masterCf), what === "a package upgrade" ? /^postlog /m : /^relay2 /m);
      await restored();
      const all = await createAll(host);
      await host.run(change);
      await serves(host);
      await updateAll(all);
      await removeAll(all);
      assert.deepEqual(await configuration(), without);
      await serves(host);
    });
  }

  it("a package upgrade while a commit is about to begin: both are there, and ours goes again", async () => {
    await host.run(upgrade);
    const without = await configuration();
    await restored();
    const all = await meanwhile(
      host,
      beforeCommit,
      () => createAll(host),
      () => host.run(upgrade),
    );
    assert.match(
      await host.run(`grep ^postlog ${masterCf}; grep '^mynetworks =' ${mainCf}`),
      /postlog.*\n.*203\.0\.113\.20/,
    );
    await removeAll(all);
    assert.deepEqual(await configuration(), without);
  });

  it("an edit of any of the files, ours too, while a commit is about to begin stays", async () => {
    const before = await configuration();
    const all = await createAll(host);
    const ours = "grep -rlE '198.51.100|203.0.113.20|vmadmin' /etc/dovecot /etc/postfix || :";
    const files = (await host.run(ours)).split("\n").filter(Boolean);
    assert.ok(files.length >= 5, files.join());
    const edit = `for file in ${files.join(" ")}; do echo '# edited by somebody' >>$file; done`;
    await meanwhile(
      host,
      beforeCommit,
      () => updateAll(all),
      () => host.run(edit),
    );
    const edited = async () =>
      (await host.run("grep -rlx '# edited by somebody' /etc/dovecot /etc/postfix")).split("\n");
    assert.deepEqual((await edited()).filter(Boolean).sort(), files.sort());
    assert.match(await host.run(`cat ${files.join(" ")}`), /198\.51\.100\.8/);
    await removeAll(all);
    assert.deepEqual((await edited()).filter(Boolean).sort(), files);
    assert.equal(await host.run(ours), "");
    await host.run(`rm /etc/dovecot/pulumi-* /etc/dovecot/conf.d/*pulumi-*; sed -i '$d' ${mainCf} ${masterCf}`);
    assert.deepEqual(await configuration(), before);
  });
}
