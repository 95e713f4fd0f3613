// RelayAcceptance on real hosts: what the new server may then send, what nobody else may, and what stays when it goes.
import { strict as assert } from "node:assert";
import { type Debian, type Host, startHost } from "../support/host.js";
import {
  arrives,
  type Client,
  configure,
  holding,
  keep,
  mainCf,
  masterCf,
  postfixFiles,
  refused,
  reset,
  saying,
  send,
  smtp,
} from "../support/postfix.js";
import { create } from "../support/resources.js";

const kind = "RelayAcceptance";

for (const debian of ["bookworm", "trixie"] as const) {
  describe(`RelayAcceptance on ${debian}`, () => {
    promises(debian);
  });
}

function promises(debian: Debian): void {
  let host: Host;
  let peer: Host;
  let server: Client;
  let other: Client;
  let args: { servers: string[] };

  before(async () => {
    [host, peer] = await Promise.all([startHost(debian), startHost(debian)]);
    const second = peer.address.replace(/\d+$/, "240");
    await peer.run(`ip address add ${second}/24 dev eth0`);
    server = { at: peer, from: peer.address };
    other = { at: peer, from: second };
    args = { servers: [peer.address] };
    await keep(host);
  });
  afterEach(() => reset(host));
  after(() => Promise.all([host.stop(), peer.stop()]));

  /** The reply to a recipient of somebody else's domain: whether this client may relay. */
  const relays = async (client: Client): Promise<string> => {
    const commands = ["EHLO new.example.net", "MAIL FROM:<carol@example.net>", "RCPT TO:<dave@elsewhere.example>"];
    return (await smtp(client, host.address, commands)).at(-1) ?? "";
  };
  const mayRelay = /^250 /;
  const mayNot = /^[45]54 5?\.?.*Relay access denied/;
  const raw = async (parameter: string) => (await host.run(`postconf -h ${parameter}`)).trim();

  it("takes and delivers what the new server relays, and is no open relay", async () => {
    const before = await raw("mynetworks");
    await holding(host, { kind }, args, async ({ outs }) => {
      assert.equal(await raw("mynetworks"), `${before} ${peer.address}/32`);
      assert.deepEqual(outs["mynetworks"], [...before.split(" "), `${peer.address}/32`]);
      assert.match(await send(server, host.address, { subject: "From the new server" }), /^250 2\.0\.0 Ok/);
      await arrives(host, "alice", "From the new server");
      assert.match(await relays(server), mayRelay);
      assert.match(await relays(other), mayNot);
    });
    assert.match(await relays(server), mayNot);
  });

  it("writes down the computed networks where mynetworks is unset, and unsets it again", async () => {
    await configure(host, "postconf -X mynetworks; postconf -e mynetworks_style=host");
    await holding(host, { kind }, args, async ({ outs }) => {
      const mynetworks = outs["mynetworks"] as string[];
      for (const network of ["127.0.0.1/32", `${host.address}/32`, `${peer.address}/32`])
        assert.ok(mynetworks.includes(network), `${network} in ${mynetworks.join(" ")}`);
      assert.match(await relays(server), mayRelay);
      assert.match(await relays(other), mayNot);
    });
  });

  it("keeps exclusions, tables, files and references as they stand", async () => {
    const tokens =
      "127.0.0.0/8, !10.0.0.9 $office\n    # the office and others\n    cidr:/etc/postfix/nets /etc/postfix/list";
    await configure(
      host,
      `postconf -X mynetworks
       echo '${other.from} OK' >/etc/postfix/nets; echo 198.51.100.0/24 >/etc/postfix/list
       echo 'office = 192.0.2.0/24' >>${mainCf}
       printf 'mynetworks = ${tokens.replaceAll("\n", "\\n")}\\n' >>${mainCf}`,
    );
    await holding(host, { kind }, args, async () => {
      assert.ok((await host.read(mainCf)).includes(`mynetworks = ${tokens} ${peer.address}/32\n`));
      assert.match(await relays(server), mayRelay);
      assert.match(await relays(other), mayRelay);
    });
  });

  it("lets an unqualified and unknown greeting pass from the new server alone", async () => {
    await configure(
      host,
      `postconf -e smtpd_helo_required=yes \
        'smtpd_helo_restrictions = reject_non_fqdn_helo_hostname, reject_unknown_helo_hostname'`,
    );
    const { warnings } = await saying(() =>
      holding(host, { kind }, args, async () => {
        assert.match(await send(server, host.address, { helo: "new" }), /^250 2\.0\.0 Ok/);
        assert.match(await send(other, host.address, { helo: "new" }), /^504 5\.5\.2 <new>: Helo command rejected/);
        assert.match(await send(other, host.address, { helo: "new.internal" }), /^450 4\.7\.1 <new\.internal>: Helo/);
      }),
    );
    assert.equal(warnings, "");
    assert.match(await send(server, host.address, { helo: "new" }), /^504 5\.5\.2 /);
  });

  it("lets no milter delay or refuse what the new server relays, and tells what that means", async () => {
    await configure(host, "postconf -e smtpd_milters=inet:127.0.0.1:8891 milter_default_action=tempfail");
    const { warnings } = await saying(() =>
      holding(host, { kind }, args, async () => {
        assert.match(await send(server, host.address, { subject: "Past the milter" }), /^250 2\.0\.0 Ok/);
        assert.match(await send(other, host.address, {}), /^451 4\.7\.1 Service unavailable/);
      }),
    );
    assert.match(warnings, /milters skip the new server's mail/);
  });

  it("keeps the milters in the way where it is told so", async () => {
    await configure(host, "postconf -e smtpd_milters=inet:127.0.0.1:8891 milter_default_action=tempfail");
    await holding(host, { kind }, { ...args, milters: "keep" }, async () => {
      assert.match(await send(server, host.address, {}), /^451 4\.7\.1 /);
      assert.equal(await raw("smtpd_milter_maps"), "");
    });
  });

  it("names the rules and policy services that still judge the new server's mail, and moves none", async () => {
    const rules = {
      smtpd_client_restrictions: "permit_mynetworks, reject_unknown_client_hostname",
      smtpd_sender_restrictions: "reject_unknown_sender_domain, permit_mynetworks",
      smtpd_recipient_restrictions:
        "reject_unauth_destination, check_policy_service unix:private/policy, reject_rbl_client bl.example, permit_mynetworks",
    };
    const settings = Object.entries(rules).map(([name, value]) => `'${name} = ${value}'`);
    await configure(host, `postconf -e ${settings.join(" ")}`);
    const { warnings } = await saying(() =>
      holding(host, { kind }, args, async () => {
        for (const [name, value] of Object.entries(rules)) assert.equal(await raw(name), value);
      }),
    );
    assert.match(warnings, /smtpd_sender_restrictions: .*: reject_unknown_sender_domain$/m);
    const policy = "check_policy_service unix:private/policy, reject_rbl_client bl.example";
    assert.ok(warnings.includes(`: ${policy}\n`), warnings);
    assert.doesNotMatch(warnings, /smtpd_client_restrictions|reject_unauth_destination/);
  });

  it("names greeting rules that only the service on port 25 has", async () => {
    const rule = "-o smtpd_helo_restrictions=reject_non_fqdn_helo_hostname";
    await configure(
      host,
      `postconf -e 'smtpd_helo_restrictions = reject_non_fqdn_helo_hostname'
      sed -i '/^smtp .*inet/a\\  ${rule}' ${masterCf}`,
    );
    const { warnings } = await saying(() => holding(host, { kind }, args, () => Promise.resolve()));
    assert.match(warnings, /smtpd_helo_restrictions of smtp\/inet: .*: reject_non_fqdn_helo_hostname$/m);
  });

  it("reaches a port 25 that overrides mynetworks, behind postscreen, too", async () => {
    await configure(host, `sed -i '/^smtp .*inet/a\\  -o mynetworks=127.0.0.0/8' ${masterCf}`);
    await holding(host, { kind }, args, async () => {
      assert.match(await host.read(masterCf), new RegExp(`-o mynetworks=127\\.0\\.0\\.0/8,${peer.address}/32\n`));
      assert.match(await relays(server), mayRelay);
      assert.match(await relays(other), mayNot);
    });
    await configure(
      host,
      `sed -i 's/^smtp .*inet.*/smtp inet n - y - 1 postscreen\\nsmtpd pass - - y - - smtpd/' ${masterCf}`,
    );
    await holding(host, { kind }, args, async () => {
      assert.match(await relays(server), mayRelay);
    });
    const said = async () => (await saying(() => holding(host, { kind }, args, () => Promise.resolve()))).warnings;
    assert.doesNotMatch(await said(), /postscreen_access_list/);
    await configure(host, "postconf -e 'postscreen_access_list = static:dunno'");
    assert.match(await said(), /postscreen_access_list = static:dunno: without permit_mynetworks/);
  });

  it("says of a service that it cannot be asked: behind a proxy, or at a port that nobody knows", async () => {
    await configure(
      host,
      `printf '%s\n' '2525 inet n - y - - smtpd' '  -o smtpd_upstream_proxy_protocol=haproxy' >>${masterCf}`,
    );
    const { report } = await saying(() => holding(host, { kind }, args, () => Promise.resolve()));
    assert.match(report, /2525\/inet is not asked: answers only behind a proxy/);
    assert.doesNotMatch(report, /submission\/inet is not asked/);
  });

  it("adds up two stacks' servers, and lets them leave in any order", async () => {
    const before = await postfixFiles(host);
    const settings = "smtpd_milters=inet:127.0.0.1:8891 milter_default_action=tempfail";
    await configure(host, `postconf -e ${settings}`);
    const first = await create(host, { kind, stack: "a" }, args);
    const second = await create(host, { kind, stack: "b" }, { servers: [other.from ?? ""] });
    for (const client of [server, other]) assert.match(await send(client, host.address, {}), /^250 2\.0\.0 Ok/);
    await first.remove();
    assert.match(await send(server, host.address, {}), /^451 4\.7\.1 /);
    assert.match(await send(other, host.address, {}), /^250 2\.0\.0 Ok/);
    assert.match(await relays(other), mayRelay);
    await second.remove();
    await configure(host, "postconf -X smtpd_milters milter_default_action");
    assert.deepEqual(await postfixFiles(host), before);
  });

  it("refuses a server that mynetworks excludes", async () => {
    await configure(host, `postconf -e 'mynetworks = 127.0.0.0/8 !${peer.address} 10.0.0.0/8'`);
    await refused(host, { kind }, args, /mynetworks in \S+ excludes .* by an element with "!"/);
  });

  it("reports a server that was taken out of mynetworks, and repairs just that", async () => {
    const resource = await create(host, { kind }, args);
    assert.deepEqual(await resource.drift(), []);
    await configure(host, "postconf -e 'mynetworks = 127.0.0.0/8 192.0.2.0/24'");
    assert.match((await resource.drift()).join("\n"), new RegExp(`mynetworks lacks ${peer.address}/32`));
    assert.match(await relays(server), mayNot);
    await resource.update(args);
    assert.equal(await raw("mynetworks"), `127.0.0.0/8 192.0.2.0/24 ${peer.address}/32`);
    assert.match(await relays(server), mayRelay);
    await resource.remove();
    assert.equal(await raw("mynetworks"), "127.0.0.0/8 192.0.2.0/24");
  });
}
