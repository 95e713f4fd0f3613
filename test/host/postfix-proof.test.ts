// What a change of Postfix's settings is proved by, and what happens where the proof fails: on real hosts, with real faults.
import { strict as assert } from "node:assert";
import { type Debian, type Host, startHost } from "../support/host.js";
import {
  arrives,
  configure,
  ehlo,
  keep,
  mainCf,
  masterCf,
  postfixFiles,
  reset,
  saying,
  send,
  write,
} from "../support/postfix.js";
import { create } from "../support/resources.js";
import { oneIn, sampled } from "../support/sample.js";

const owner = { kind: "PostfixXclientTrust" };
const args = { proxies: ["192.0.2.10"] };

for (const debian of sampled("trixie")) {
  describe(`the proof of a change on ${debian}`, () => {
    promises(debian);
  });
}

function promises(debian: Debian): void {
  const it = oneIn(2);
  let host: Host;

  before(async () => {
    host = await startHost(debian);
    await keep(host);
  });
  afterEach(async () => {
    await reset(host);
    // Ends master's pause of 60 s after a smtpd that died at its start.
    if (throttled) await host.run("postfix stop 2>/dev/null; postfix start 2>/dev/null");
    throttled = false;
  });
  after(() => host.stop());

  let throttled = false;
  const answers = (port: number) => ehlo({ at: host }, "127.0.0.1", port);
  /** Creates and removes again; resolves to what the user reads of the create. */
  const changed = async (): Promise<string> => {
    const before = await postfixFiles(host);
    const { report } = await saying(async () => {
      await (await create(host, owner, args)).remove();
    });
    assert.deepEqual(await postfixFiles(host), before);
    return report.split("\n")[0] ?? "";
  };
  /** What the failed create says. */
  const failed = async (): Promise<string> => {
    let message = "";
    await saying(() =>
      assert.rejects(create(host, owner, args), (error: Error) => {
        message = error.message;
        return true;
      }),
    );
    return message;
  };

  /** Seconds from the reload until the old bytes are back, and until port 25 answers. */
  const recovery = async (): Promise<[bytes: number, mail: number]> => {
    const since = async (condition: string): Promise<number> => {
      await host.run(`until ${condition}; do sleep 0.1; done`);
      return Date.now() / 1000 - Number(await host.read("/run/reloaded-at"));
    };
    await host.run("until [ -s /run/reloaded-at ]; do sleep 0.05; done");
    return [
      await since(`! grep -q '192.0.2.10/32' ${mainCf}`),
      await since("posttls-finger -c -l may -t 2 -T 2 '[127.0.0.1]:25' 2>&1 | grep -q established"),
    ];
  };

  it("asks services with TLS from the first byte, with required TLS, and one of a single address", async () => {
    await configure(host, `echo '${host.address}:2525 inet n - y - - smtpd' >>${masterCf}`);
    const report = await changed();
    assert.match(report, /4 services asked, none got worse/);
    assert.doesNotMatch(report, /did not answer before/);
  });

  it("asks postscreen, though it lets a stranger wait, and services of the loopback interface alone", async () => {
    await write(
      host,
      `postconf -e inet_interfaces=loopback-only
       postconf -e mynetworks=192.0.2.0/24
       sed -i 's/^smtp .*inet.*/smtp inet n - y - 1 postscreen\\nsmtpd pass - - y - - smtpd/' ${masterCf}`,
    );
    throttled = true;
    await host.run("postfix stop 2>/dev/null; postfix start 2>/dev/null");
    const report = await changed();
    assert.match(report, /3 services asked, none got worse/);
    assert.doesNotMatch(report, /did not answer before/);
  });

  it("tells of a service that was broken before, and does not blame itself", async () => {
    await configure(host, `sed -i '/^submission /a\\  -o smtpd_sasl_path=private/nowhere' ${masterCf}`);
    throttled = true;
    const report = await changed();
    assert.match(report, /2 services asked, none got worse, did not answer before either: submission\/inet/);
  });

  const faults = [
    {
      where: "main.cf's networks",
      script: `postconf -e 'smtpd_authorized_verp_clients = 127.0.0.0/8 ::1/128'`,
      words: /expecting "type:name" form instead of "::1\/128"/,
    },
    {
      where: "master.cf",
      script: `sed -i '/^smtp .*inet/a\\  -o smtpd_hard_error_limit=many' ${masterCf}`,
      words: /fatal: bad numerical configuration: smtpd_hard_error_limit = many/,
    },
  ];
  for (const { where, script, words } of faults) {
    it(`undoes its change where an operator's unloaded fault in ${where} kills smtpd at the reload`, async () => {
      // The processes that run have read the settings of before.
      await Promise.all([answers(25), answers(587), answers(465)]);
      await write(host, script);
      throttled = true;
      const before = await postfixFiles(host);
      const message = await failed();
      assert.match(message, /a service that answered before does not answer after the reload/);
      assert.match(message, /smtp\/inet does not answer/);
      assert.match(message, words);
      assert.match(message, /The old files are back, but this still fails, so it was not our change alone/);
      assert.deepEqual(await postfixFiles(host), before);
      await host.run(
        `cp -a /opt/mailhost/postfix-at-first/*.cf /etc/postfix/; postfix stop 2>/dev/null; postfix start 2>/dev/null`,
      );
      assert.match(await answers(25), /^250 /m);
    });
  }

  it("brings mail back within 10 seconds where its own change kills smtpd", async () => {
    // Stands for any setting that goes bad with ours: the file that mynetworks names is bad while our element is in main.cf.
    await configure(
      host,
      `echo 127.0.0.0/8 >/etc/postfix/local-networks; postconf -e mynetworks=/etc/postfix/local-networks`,
    );
    await host.write(
      "/usr/local/sbin/postfix",
      `#!/bin/sh
case $1 in reload | start)
  if grep -q '192.0.2.10/32' ${mainCf}; then echo ::1/128; else echo 127.0.0.0/8; fi >/etc/postfix/local-networks
  touch -d '1 minute ago' /etc/postfix/local-networks
  grep -q '192.0.2.10/32' ${mainCf} && date +%s.%N >/run/reloaded-at
  ;;
esac
exec /usr/sbin/postfix "$@"
`,
      "755",
    );
    throttled = true;
    const before = await postfixFiles(host);
    const [message, [bytes, mail]] = await Promise.all([failed(), recovery()]);
    assert.match(message, /a service that answered before does not answer after the reload/);
    assert.match(message, /The old files are back and postfix answers again/);
    assert.deepEqual(await postfixFiles(host), before);
    for (const port of [25, 587, 465]) assert.match(await answers(port), /^250 /m);
    assert.match(await send({ at: host }, "127.0.0.1", { subject: "After the fault" }), /^250 2\.0\.0 Ok/);
    await arrives(host, "alice", "After the fault");
    assert.ok(bytes < 8 && mail < 10, `the old bytes after ${bytes} s, mail after ${mail} s`);
  });
}
