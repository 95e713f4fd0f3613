import { strict as assert } from "node:assert";
import { endpoints } from "../../provider/src/postfix/endpoints.js";
import {
  type ServiceEdit,
  ServiceNotFound,
  applyServices,
  services,
  stripServices,
} from "../../provider/src/postfix/services.js";

const proxy = "203.0.113.10/32";
const name = "smtpd_authorized_xclient_hosts";
const trust: ServiceEdit = { service: "submission/inet", parameter: name, add: [proxy] };
const head = "submission inet n - y - - smtpd";

function edited(text: string, ...edits: ServiceEdit[]): string {
  const done = applyServices(text, edits);
  assert.equal(stripServices(done.text, done.applied), text);
  return done.text;
}

describe("master.cf: reading", () => {
  it("fields, arguments and overrides in every form that master(5) knows", () => {
    const text = [
      "# comment",
      "smtp      inet  n       -       y       -       -       smtpd",
      "#submission inet n       -       y       -       -       smtpd",
      "submission inet n - y - 10 smtpd -v",
      "  -o syslog_name=postfix/submission",
      "#  -o smtpd_tls_auth_only=yes",
      "",
      "\t-o { smtpd_recipient_restrictions = permit_sasl_authenticated, reject }",
      "  -osmtpd_tls_security_level=encrypt -vo milter_macro_daemon_name=ORIGINATING -o { a = }",
      "maildrop unix - n n 60? - pipe flags=DRhu user=vmail argv=/usr/bin/maildrop -o x=y",
      "",
    ].join("\r\n");
    assert.deepEqual(services(text), [
      {
        name: "smtp",
        type: "inet",
        private: "n",
        unpriv: "-",
        chroot: "y",
        wakeup: "-",
        maxproc: "-",
        command: "smtpd",
        overrides: [],
        args: [],
        line: 2,
      },
      {
        name: "submission",
        type: "inet",
        private: "n",
        unpriv: "-",
        chroot: "y",
        wakeup: "-",
        maxproc: "10",
        command: "smtpd",
        overrides: [
          { parameter: "syslog_name", value: "postfix/submission" },
          { parameter: "smtpd_recipient_restrictions", value: "permit_sasl_authenticated, reject" },
          { parameter: "smtpd_tls_security_level", value: "encrypt" },
          { parameter: "milter_macro_daemon_name", value: "ORIGINATING" },
          { parameter: "a", value: "" },
        ],
        args: ["-v", "-v"],
        line: 4,
      },
      {
        name: "maildrop",
        type: "unix",
        private: "-",
        unpriv: "n",
        chroot: "n",
        wakeup: "60?",
        maxproc: "-",
        command: "pipe",
        overrides: [],
        args: ["flags=DRhu", "user=vmail", "argv=/usr/bin/maildrop", "-o", "x=y"],
        line: 10,
      },
    ]);
  });

  it("a brace that is never closed and a line of too few fields are left out", () => {
    assert.deepEqual(services("smtp inet n - y\n"), []);
    assert.deepEqual(services(`${head} -o a=b -o { c = d\n`)[0]?.overrides, [{ parameter: "a", value: "b" }]);
  });
});

describe("master.cf: where an override is written", () => {
  const option = `-o ${name}=`;
  const cases: [title: string, text: string, edit: ServiceEdit, expected: string][] = [
    ["a line behind the service", `${head}\nsmtps inet\n`, trust, `${head}\n  ${option}${proxy}\nsmtps inet\n`],
    [
      "indented as the others are",
      `${head}\n\t-o a=b\n# c\nx\n`,
      trust,
      `${head}\n\t-o a=b\n\t${option}${proxy}\n# c\nx\n`,
    ],
    ["no final newline", head, trust, `${head}\n  ${option}${proxy}`],
    ["CRLF", `${head}\r\nx\r\n`, trust, `${head}\r\n  ${option}${proxy}\r\nx\r\n`],
    [
      "the seed's blanks become commas",
      `${head}\n`,
      { ...trust, seed: "a, b  c" },
      `${head}\n  ${option}a,b,c,${proxy}\n`,
    ],
    ["joined by a comma", `${head} ${option}a -o b=c\n`, trust, `${head} ${option}a,${proxy} -o b=c\n`],
    ["in an empty override", `${head}\n  ${option}\n`, trust, `${head}\n  ${option}${proxy}\n`],
    [
      "an empty override before another option",
      `${head} ${option} -o b=c\n`,
      trust,
      `${head} ${option}${proxy} -o b=c\n`,
    ],
    ["inside braces", `${head}\n  -o { ${name} = a, b }\n`, trust, `${head}\n  -o { ${name} = a, b ${proxy} }\n`],
    ["inside empty braces", `${head}\n  -o {${name}=}\n`, trust, `${head}\n  -o {${name}= ${proxy}}\n`],
    ["-oname=value", `${head} -o${name}=a\n`, trust, `${head} -o${name}=a,${proxy}\n`],
    ["the last of two overrides", `${head} ${option}a ${option}b\n`, trust, `${head} ${option}a ${option}b,${proxy}\n`],
    ["the last of two services", `${head}\n${head}\n`, trust, `${head}\n${head}\n  ${option}${proxy}\n`],
    [
      "an element of several words",
      `${head}\n`,
      { ...trust, add: ["check_client_access cidr:{ {a OK} }"] },
      `${head}\n  ${option}check_client_access,cidr:{ {a OK} }\n`,
    ],
    [
      "before arguments that are no options",
      "submission inet n - y - - spawn -v\n  user=x argv=/bin/y\n",
      trust,
      `submission inet n - y - - spawn -v ${option}${proxy}\n  user=x argv=/bin/y\n`,
    ],
    ["before a NUL byte", `${head}\0 -o a=b\n`, trust, `${head} ${option}${proxy}\0 -o a=b\n`],
    [
      "before a brace that is never closed",
      `${head}\n  -o { a = b\n`,
      trust,
      `${head} ${option}${proxy}\n  -o { a = b\n`,
    ],
  ];
  for (const [title, text, edit, expected] of cases) {
    it(title, () => {
      assert.equal(edited(text, edit), expected);
    });
  }

  it("what is there already is no edit, in an override or in the seed", () => {
    const text = `${head} ${option}a,${proxy}\n`;
    assert.deepEqual(applyServices(text, [trust]), { text, applied: [] });
    assert.deepEqual(applyServices(`${head}\n`, [{ ...trust, seed: proxy }]), { text: `${head}\n`, applied: [] });
  });

  it("a service that is missing or commented out is refused with those there are", () => {
    assert.throws(
      () => applyServices(`#${head}\nsmtp inet n - y - - smtpd\n`, [trust]),
      (error) => {
        assert.ok(error instanceof ServiceNotFound);
        assert.equal(error.service, "submission/inet");
        assert.deepEqual(error.existing, ["smtp/inet"]);
        return true;
      },
    );
  });
});

describe("master.cf: others have edited it since", () => {
  const option = `-o ${name}=`;
  const cases: [title: string, text: string, edit: ServiceEdit, changed: string, expected: string][] = [
    [
      "an element behind ours",
      `${head} ${option}a\n`,
      trust,
      `${head} ${option}a,${proxy},b\n`,
      `${head} ${option}a,b\n`,
    ],
    ["an element before ours", `${head} ${option}\n`, trust, `${head} ${option}b,${proxy}\n`, `${head} ${option}b\n`],
    ["our line extended", `${head}\n`, trust, `${head}\n  ${option}${proxy},b\n`, `${head}\n  ${option}b\n`],
    [
      "our line extended before the seed",
      `${head}\n`,
      { ...trust, seed: "s" },
      `${head}\n  ${option}b,s,${proxy}\n`,
      `${head}\n  ${option}b,s\n`,
    ],
    [
      "our option moved to the first line",
      `${head}\n`,
      trust,
      `${head} ${option}${proxy} -o a=b\n`,
      `${head} -o a=b\n`,
    ],
    ["our option put in braces", `${head}\n`, trust, `${head}\n  -o { ${name} = ${proxy} }\n`, `${head}\n`],
    [
      "options added around ours",
      `${head}\n`,
      trust,
      `${head}\n  -o a=b\n  ${option}${proxy}\n  -o c=d\n`,
      `${head}\n  -o a=b\n  -o c=d\n`,
    ],
    [
      "our line commented out",
      `${head}\n`,
      trust,
      `${head}\n#  ${option}${proxy}\n`,
      `${head}\n#  ${option}${proxy}\n`,
    ],
    ["the service removed", `${head}\n`, trust, "", ""],
    ["a final newline added", head, trust, `${head}\n  ${option}${proxy}\n`, `${head}\n`],
    ["ours removed, the seed left", `${head}\n`, { ...trust, seed: "s" }, `${head}\n  ${option}s\n`, `${head}\n`],
  ];
  for (const [title, text, edit, changed, expected] of cases) {
    it(title, () => {
      assert.equal(stripServices(changed, applyServices(text, [edit]).applied), expected);
    });
  }
});

describe("where the SMTP servers of a host are reached", () => {
  const at = (masterCf: string, settings: Record<string, string> = {}): ReturnType<typeof endpoints> =>
    endpoints(services(masterCf), (parameter) => settings[parameter] ?? (parameter === "inet_interfaces" ? "all" : ""));
  const service = (address: string, rest = "smtpd"): string => `${address} inet n - y - - ${rest}\n`;
  const reached = (masterCf: string, settings: Record<string, string> = {}): string[] =>
    at(masterCf, settings).endpoints.map((one) => `${one.host} ${one.port} ${one.mode}`);

  it("by the names of ports, by numbers, by address", () => {
    const all = [
      "smtp",
      "submission",
      "submissions",
      "smtps",
      "2525",
      "127.0.0.1:10026",
      "[::1]:587",
      "localhost:26",
      "0.0.0.0:27",
      "[::]:28",
      ":29",
    ];
    assert.deepEqual(reached(all.map((one) => service(one)).join("")), [
      "127.0.0.1 25 plain",
      "127.0.0.1 587 plain",
      "127.0.0.1 465 plain",
      "127.0.0.1 465 plain",
      "127.0.0.1 2525 plain",
      "127.0.0.1 10026 plain",
      "::1 587 plain",
      "localhost 26 plain",
      "127.0.0.1 27 plain",
      "::1 28 plain",
      "127.0.0.1 29 plain",
    ]);
  });

  it("not services of other types or commands, and not smtpd behind postscreen", () => {
    assert.deepEqual(at("smtpd pass - - y - - smtpd\nlmtp inet n - - - - lmtpd\nx unix - - y - - smtpd\n"), {
      endpoints: [],
      unreachable: [],
    });
  });

  it("implicit TLS by override, by main.cf and through a $name", () => {
    const wrapped = service("smtps", "smtpd -o smtpd_tls_wrappermode=yes");
    assert.deepEqual(reached(wrapped), ["127.0.0.1 465 implicit-tls"]);
    assert.deepEqual(reached(service("smtps", "smtpd -o smtpd_tls_wrappermode=$x"), { x: "yes" }), [
      "127.0.0.1 465 implicit-tls",
    ]);
    assert.deepEqual(reached(service("smtps"), { smtpd_tls_wrappermode: "yes" }), ["127.0.0.1 465 implicit-tls"]);
    assert.deepEqual(reached(service("smtp", "smtpd -o smtpd_tls_wrappermode=no"), { smtpd_tls_wrappermode: "yes" }), [
      "127.0.0.1 25 plain",
    ]);
    assert.deepEqual(reached(service("smtp", "postscreen")), ["127.0.0.1 25 postscreen"]);
  });

  it("on the interfaces that inet_interfaces names", () => {
    const on = (inet_interfaces: string, inet_protocols = "all"): string[] =>
      reached(service("smtp"), { inet_interfaces, inet_protocols }).map((one) => one.split(" ")[0] ?? "");
    assert.deepEqual(on("loopback-only"), ["127.0.0.1"]);
    assert.deepEqual(on("all", "ipv6"), ["::1"]);
    assert.deepEqual(on("192.0.2.1, 127.0.0.1"), ["127.0.0.1"]);
    assert.deepEqual(on("mail.example.com localhost"), ["127.0.0.1"]);
    assert.deepEqual(on("[2001:db8::1] 192.0.2.1", "ipv4"), ["192.0.2.1"]);
    assert.deepEqual(on("192.0.2.1", "ipv6"), []);
  });

  it("those that cannot be asked are told with the reason", () => {
    const reason = (masterCf: string, settings: Record<string, string> = {}): string =>
      at(masterCf, settings)
        .unreachable.map((one) => `${one.service}: ${one.reason}`)
        .join();
    assert.match(reason(service("smtp", "smtpd -o smtpd_upstream_proxy_protocol=haproxy")), /^smtp\/inet: .*haproxy/);
    assert.match(reason(service("smtp", "postscreen"), { postscreen_upstream_proxy_protocol: "haproxy" }), /haproxy/);
    assert.match(reason(service("smtp"), { master_service_disable: "!smtp/inet inet" }), /^$/);
    assert.match(
      reason(service("submission"), { master_service_disable: "!smtp/inet inet" }),
      /master_service_disable/,
    );
    assert.match(
      reason(service("submission"), { master_service_disable: "submission.inet" }),
      /master_service_disable/,
    );
    assert.match(reason(service("mysmtp")), /"mysmtp" is not known/);
  });
});
