import { strict as assert } from "node:assert";
import { elements } from "../../provider/src/postfix/lists.js";
import { covers, networkFault, postfixNetwork } from "../../provider/src/postfix/networks.js";
import { beforePermitMynetworks, refusesHelo } from "../../provider/src/postfix/restrictions.js";

describe("the elements of a list value", () => {
  const cases: [value: string, expected: string[]][] = [
    ["", []],
    [" ,\t", []],
    ["a,b c\r\n  d", ["a", "b", "c", "d"]],
    ["cidr:{ {a OK}, {b OK} }, c", ["cidr:{ {a OK}, {b OK} }", "c"]],
    ["$a ${b?{c d}:{e}} $(f? g h)", ["$a", "${b?{c d}:{e}}", "$(f? g h)"]],
    ["a(b c)", ["a(b", "c)"]],
    ["a # b c", ["a"]],
    ["a#b c", ["a#b", "c"]],
    ["a { b c", ["a"]],
    ["a } b", ["a", "}", "b"]],
  ];
  for (const [value, expected] of cases) {
    it(JSON.stringify(value), () => {
      assert.deepEqual(elements(value), expected);
    });
  }
});

describe("networks as Postfix writes them", () => {
  const written: [cidr: string, expected: string][] = [
    ["203.0.113.20/32", "203.0.113.20/32"],
    ["203.0.113.20", "203.0.113.20/32"],
    ["2001:DB8:0::1/128", "[2001:db8::1]/128"],
    ["[2001:db8::]/32", "[2001:db8::]/32"],
    ["::ffff:192.0.2.1", "192.0.2.1/32"],
  ];
  for (const [cidr, expected] of written) {
    it(`${cidr} is ${expected}`, () => {
      assert.equal(postfixNetwork(cidr), expected);
    });
  }

  it("refuses host bits, names, other notations", () => {
    for (const bad of [
      "203.0.113.20/24",
      "2001:db8::1/64",
      "proxy.test",
      "10.1",
      "010.0.0.1",
      "10.0.0.1/33",
      "fe80::1%eth0",
      "",
    ]) {
      assert.throws(() => postfixNetwork(bad), RangeError, bad);
    }
  });

  const unreadable: [element: string, instead: string][] = [
    ["203.0.113.20/24", "203.0.113.0/24, or 203.0.113.20/32"],
    ["!203.0.113.20/24", "203.0.113.0/24, or 203.0.113.20/32"],
    ["[203.0.113.20]/24", "203.0.113.0/24, or 203.0.113.20/32"],
    ["203.0.113.0/255.255.255.0", "a length up to 32; for the single address, 203.0.113.0/32"],
    ["203.0.113.0/33", "a length up to 32; for the single address, 203.0.113.0/32"],
    ["203.0.113.0/", "a length up to 32; for the single address, 203.0.113.0/32"],
    ["203.0.113/24", "all four before the prefix length"],
    ["::1/128", "[::1]/128"],
    ["2001:db8::1", "[2001:db8::1]/128"],
    ["[2001:db8::1]/64", "[2001:db8::]/64, or [2001:db8::1]/128"],
    ["[2001:db8::1/64]", "[2001:db8::]/64, or [2001:db8::1]/128"],
  ];
  for (const [element, instead] of unreadable) {
    it(`Postfix cannot read ${element}`, () => {
      assert.equal(networkFault(element)?.instead, instead);
    });
  }

  it("Postfix can read the rest, or it is no address", () => {
    for (const element of [
      ...["127.0.0.0/8", "203.0.113.20", "!10.0.0.9", "[::1]/128", "[::1]", "[2001:db8::]/32", "[2001:db8::/64]"],
      ...["[::ffff:127.0.0.0]/104", "0.0.0.0/0", "203.0.113", "203.0.113.7-9", "bogus/24", "[2001:db8::g]/64"],
      ...["/etc/postfix/nets", "cidr:/etc/postfix/nets", "inline:{a=b}", "proxy.example.net", ".example.net", "$x"],
    ])
      assert.equal(networkFault(element), undefined, element);
  });

  const covered: [list: string, network: string, expected: ReturnType<typeof covers>][] = [
    ["10.0.0.1", "10.0.0.1/32", "yes"],
    ["10.0.0.0/8", "10.1.2.0/24", "yes"],
    ["10.1.2.0/24", "10.0.0.0/8", "no"],
    ["10.0.0.0/8", "[::1]/128", "no"],
    ["[2001:DB8::]/32", "2001:db8::1", "yes"],
    ["[2001:db8::1]", "2001:0db8::1/128", "yes"],
    ["[2001:db8::/32]", "2001:db8::1", "yes"],
    ["!203.0.113.0/24 203.0.113.20/32", "203.0.113.20/32", "negated"],
    ["203.0.113.20/32 !203.0.113.0/24", "203.0.113.20/32", "yes"],
    ["!!203.0.113.0/24", "203.0.113.20/32", "yes"],
    ["!203.0.113.9", "203.0.113.0/24", "negated"],
    ["!10.0.0.9 10.0.0.0/8", "10.0.0.10", "yes"],
    ["/etc/postfix/nets", "10.0.0.1", "unknown"],
    ["cidr:/etc/postfix/nets !10.0.0.0/8", "10.0.0.1", "negated"],
    ["$other_networks 10.0.0.0/8", "10.0.0.1", "yes"],
    ["mail.example.com", "10.0.0.1", "unknown"],
    ["203.0.113.20/24", "203.0.113.20", "unknown"],
    ["::1", "[::1]/128", "unknown"],
    ["", "10.0.0.1", "no"],
  ];
  for (const [list, network, expected] of covered) {
    it(`"${list}" holds ${network}: ${expected}`, () => {
      assert.equal(covers(elements(list), network), expected);
    });
  }
});

describe("the rules before permit_mynetworks", () => {
  const cases: [value: string, rules: string[], permitMynetworks: boolean][] = [
    ["permit_mynetworks, reject_unauth_destination", [], true],
    [
      "permit_sasl_authenticated reject_rbl_client zen.spamhaus.org, check_policy_service { inet:127.0.0.1:10023, timeout=5s } Permit_Mynetworks reject",
      ["reject_rbl_client zen.spamhaus.org", "check_policy_service { inet:127.0.0.1:10023, timeout=5s }"],
      true,
    ],
    [
      "check_sender_access\n  hash:/etc/postfix/ours, sleep 5 greylist hash:/etc/postfix/access permit_mynetworks",
      ["check_sender_access hash:/etc/postfix/ours", "sleep 5", "greylist", "hash:/etc/postfix/access"],
      true,
    ],
    // Mail-in-a-Box: mynetworks is no help here at all.
    [
      "reject_non_fqdn_sender,reject_unknown_sender_domain,reject_authenticated_sender_login_mismatch,reject_rhsbl_sender dbl.spamhaus.org=127.0.1.[2..99]",
      [
        "reject_non_fqdn_sender",
        "reject_unknown_sender_domain",
        "reject_authenticated_sender_login_mismatch",
        "reject_rhsbl_sender dbl.spamhaus.org=127.0.1.[2..99]",
      ],
      false,
    ],
    ["warn_if_reject reject_unknown_client_hostname warn_if_reject reject permit_mynetworks", [], true],
    ["permit_dnswl_client list.dnswl.org permit_mynetworks", [], true],
    ["reject_unknown_client permit permit_mynetworks", ["reject_unknown_client"], false],
    ["permit_sasl_authenticated,reject permit_mynetworks", ["reject"], false],
    ["", [], false],
  ];
  for (const [value, rules, permitMynetworks] of cases) {
    it(JSON.stringify(value), () => {
      assert.deepEqual(beforePermitMynetworks(value), { rules, permitMynetworks });
    });
  }

  it("of smtpd_helo_restrictions those that judge the HELO name, under old names, too", () => {
    const value =
      "reject_rbl_client x.test REJECT_non_fqdn_hostname reject_invalid_helo_hostname check_helo_access pcre:/etc/h hash:/etc/g permit_mynetworks reject_unknown_helo_hostname";
    assert.deepEqual(refusesHelo(value), [
      "REJECT_non_fqdn_hostname",
      "reject_invalid_helo_hostname",
      "check_helo_access pcre:/etc/h",
      "hash:/etc/g",
    ]);
    assert.deepEqual(refusesHelo("permit_mynetworks reject_unknown_helo_hostname"), []);
  });
});
