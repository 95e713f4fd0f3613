// PostfixXclientTrust on real hosts: who may send XCLIENT to which service, and what stays when it goes.
import { strict as assert } from "node:assert";
import { type Debian, type Host, startHost } from "../support/host.js";
import { logged } from "../support/mail-client.js";
import {
  type Client,
  configure,
  ehlo,
  holding,
  keep,
  mainCf,
  masterCf,
  postfixFiles,
  refused,
  reset,
  saying,
  smtp,
} from "../support/postfix.js";
import { create } from "../support/resources.js";

const kind = "PostfixXclientTrust";
const name = "smtpd_authorized_xclient_hosts";
const ports = { smtp: 25, submission: 587, submissions: 465 };

for (const debian of ["bookworm", "trixie"] as const) {
  describe(`PostfixXclientTrust on ${debian}`, () => {
    promises(debian);
  });
}

function promises(debian: Debian): void {
  let host: Host;
  let peer: Host;
  let proxy: Client;
  let other: Client;
  let args: { proxies: string[] };

  before(async () => {
    [host, peer] = await Promise.all([startHost(debian), startHost(debian)]);
    const second = peer.address.replace(/\d+$/, "240");
    await peer.run(`ip address add ${second}/24 dev eth0; ip address add fd77::2/64 dev eth0 nodad`);
    await host.run("ip address add fd77::1/64 dev eth0 nodad");
    proxy = { at: peer, from: peer.address };
    other = { at: peer, from: second };
    args = { proxies: [peer.address] };
    await keep(host);
  });
  afterEach(() => reset(host));
  after(() => Promise.all([host.stop(), peer.stop()]));

  const own = ({ from = "" }: Client) => ({ proxies: [from] });
  const value = async () => (await host.run(`postconf -h ${name}`)).trim();
  /** The services that offer XCLIENT to this client. */
  const offered = async (client: Client): Promise<string[]> => {
    const asked = Object.entries(ports).map(async ([service, port]) =>
      (await ehlo(client, host.address, port)).includes("XCLIENT") ? [service] : [],
    );
    return (await Promise.all(asked)).flat();
  };

  it("refuses a list for one service beside one for all, which would not be seen there, whoever comes first", async () => {
    const one = { proxies: ["192.0.2.10"], services: ["submission/inet"] };
    const all = { proxies: ["192.0.2.20"] };
    for (const [first, second] of [
      [one, all],
      [all, one],
    ] as const) {
      await holding(host, { kind, stack: "first" }, first, async () => {
        await assert.rejects(
          create(host, { kind, stack: "second" }, second),
          /exclude each other.*`services` in both/s,
        );
      });
    }
  });

  it("lets the proxy, and nobody else, tell the client's address to every service", async () => {
    // An unterminated last line is what postconf -e would append to.
    await configure(host, `printf '${name} = 192.0.2.1\\n# the end' >>${mainCf}`);
    await holding(host, { kind }, args, async ({ outs }) => {
      assert.deepEqual(outs["authorizedHosts"], ["192.0.2.1", `${peer.address}/32`]);
      assert.match(await host.read(mainCf), new RegExp(`^${name} = 192.0.2.1 ${peer.address}/32\n# the end$`, "m"));
      assert.deepEqual(await offered(proxy), ["smtp", "submission", "submissions"]);
      assert.deepEqual(await offered(other), []);
      const told = ["EHLO proxy.example.net", "XCLIENT ADDR=198.51.100.7", "EHLO client.example.net"];
      await smtp(proxy, host.address, [...told, "MAIL FROM:<carol@example.net>", "RCPT TO:<alice@example.com>"]);
      await logged(host, /client=\S+\[198\.51\.100\.7\]/);
      const forged = await smtp(other, host.address, told);
      assert.match(forged.at(-1) ?? "", /^550 5\.7\.0 /);
    });
  });

  it("trusts the proxy on the named service alone", async () => {
    const before = await host.read(mainCf);
    await holding(host, { kind }, { ...args, services: ["submission/inet"] }, async ({ outs }) => {
      assert.deepEqual(outs["authorizedHosts"], [`${peer.address}/32`]);
      assert.deepEqual(await offered(proxy), ["submission"]);
      assert.deepEqual(await offered(other), []);
      assert.equal(await host.read(mainCf), before);
    });
  });

  it("takes main.cf's trusted hosts along into a service's own list", async () => {
    await configure(host, `echo '${name} = ${other.from}' >>${mainCf}`);
    await holding(host, { kind }, { ...args, services: ["submission/inet"] }, async () => {
      assert.deepEqual(await offered(proxy), ["submission"]);
      assert.deepEqual(await offered(other), ["smtp", "submission", "submissions"]);
    });
  });

  it("reaches services that override the list, with and without braces", async () => {
    await configure(
      host,
      `sed -i -e '/^submission /a\\  -o ${name}=192.0.2.1,192.0.2.2' \
              -e '/^submissions /a\\  -o { ${name} = 192.0.2.1, 192.0.2.3 }' ${masterCf}`,
    );
    await holding(host, { kind }, args, async () => {
      const text = await host.read(masterCf);
      assert.match(text, new RegExp(`-o ${name}=192.0.2.1,192.0.2.2,${peer.address}/32\n`));
      assert.match(text, new RegExp(`-o { ${name} = 192.0.2.1, 192.0.2.3 ${peer.address}/32 }\n`));
      assert.deepEqual(await offered(proxy), ["smtp", "submission", "submissions"]);
    });
  });

  it("adds up what stacks want, and lets them leave in any order", async () => {
    const before = await postfixFiles(host);
    const [a, b, c] = await Promise.all([
      create(host, { kind, stack: "a" }, own(proxy)),
      create(host, { kind, stack: "b" }, own(other)),
      create(host, { kind, stack: "c" }, own(proxy)),
    ]);
    assert.equal((await value()).split(/[\s,]+/).length, 2);
    assert.deepEqual([await offered(proxy), await offered(other)], [Object.keys(ports), Object.keys(ports)]);
    await a.remove();
    assert.deepEqual(await offered(proxy), Object.keys(ports));
    await c.remove();
    assert.deepEqual([await offered(proxy), await offered(other)], [[], Object.keys(ports)]);
    await b.remove();
    assert.deepEqual(await postfixFiles(host), before);
  });

  it("refuses a service that master.cf does not have, and lists those that it has", async () => {
    const services = ["smtps/inet", "submission/inet"];
    const message = await refused(host, { kind }, { ...args, services }, /no smtpd service smtps\/inet\./);
    assert.match(message, /Name one of: smtp\/inet, submission\/inet, submissions\/inet\./);
  });

  it("writes IPv6 in brackets, and is believed by smtpd", async () => {
    await holding(host, { kind }, { proxies: ["fd77::2"] }, async () => {
      assert.equal(await value(), "[fd77::2]/128");
      assert.match(await ehlo({ at: peer }, "fd77::1"), /XCLIENT/);
      assert.deepEqual(await offered(proxy), []);
    });
  });

  it("leaves alone what the operator's list covers already, and says so", async () => {
    const network = `${peer.address.replace(/\d+$/, "0")}/24`;
    await configure(host, `echo '${name} = ${network}' >>${mainCf}`);
    const before = await host.read(mainCf);
    const { report } = await saying(() =>
      holding(host, { kind }, args, async ({ outs }) => {
        assert.equal(await host.read(mainCf), before);
        assert.deepEqual(outs["authorizedHosts"], [network]);
      }),
    );
    assert.match(report, new RegExp(`covers ${peer.address}/32 already`));
    assert.match(report, /no reload/);
    assert.deepEqual(await offered(proxy), Object.keys(ports));
  });

  it("reaches a service whose own list lacks the proxy that main.cf's list covers", async () => {
    await configure(
      host,
      `echo '${name} = 10.0.0.0/8' >>${mainCf}; sed -i '/^submission /a\\  -o ${name}=192.0.2.1' ${masterCf}`,
    );
    const before = await host.read(mainCf);
    await holding(host, { kind }, args, async () => {
      assert.deepEqual(await offered(proxy), Object.keys(ports));
      assert.equal(await host.read(mainCf), before);
    });
  });

  it("refuses a proxy that a service's own list excludes", async () => {
    await configure(host, `sed -i '/^submission /a\\  -o ${name}=!${peer.address}' ${masterCf}`);
    await refused(host, { kind }, args, /of submission\/inet in \S+ excludes/);
  });

  it("refuses a proxy that the operator's list excludes", async () => {
    const network = `${peer.address.replace(/\d+$/, "0")}/24`;
    await configure(host, `echo '${name} = !${network} 10.0.0.0/8' >>${mainCf}`);
    await refused(host, { kind }, args, /excludes .* by an element with "!"/);
  });

  it("reports a removed proxy, and repairs just that", async () => {
    const before = await postfixFiles(host);
    const resource = await create(host, { kind }, args);
    assert.deepEqual(await resource.drift(), []);
    await configure(host, `postconf -e '${name} = 192.0.2.1'`);
    assert.match((await resource.drift()).join("\n"), new RegExp(`lacks ${peer.address}/32; it is: 192\\.0\\.2\\.1`));
    assert.deepEqual(await offered(proxy), []);
    await resource.update(args);
    assert.equal(await value(), `192.0.2.1 ${peer.address}/32`);
    assert.deepEqual(await offered(proxy), Object.keys(ports));
    assert.deepEqual(await resource.drift(), []);
    await resource.remove();
    assert.equal(await value(), "192.0.2.1");
    await configure(host, `postconf -X ${name}`);
    assert.deepEqual(await postfixFiles(host), before);
  });

  it("leaves the operator's later edit of the same line, and takes ours out of it", async () => {
    await configure(host, `echo '${name} = 192.0.2.1' >>${mainCf}`);
    const resource = await create(host, { kind }, args);
    await configure(host, `sed -i 's|^${name} = .*|&, 192.0.2.9|' ${mainCf}`);
    await resource.remove();
    assert.match(await host.read(mainCf), new RegExp(`^${name} = 192.0.2.1, 192.0.2.9$`, "m"));
    assert.deepEqual(await offered(proxy), []);
  });
}
