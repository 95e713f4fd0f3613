// main.cf and master.cf texts as Debian, RHEL and hand-made hosts have them, odd bytes and all.
import fc from "fast-check";

export const parameters = ["mynetworks", "relayhost", "smtpd_authorized_xclient_hosts", "smtpd_helo_restrictions"];

const listElements = [
  "127.0.0.0/8",
  "[::1]/128",
  "!10.0.0.9",
  "10.0.0.0/8",
  "$mail_name",
  "${mua?{a b}:{c d}}",
  "cidr:/etc/postfix/nets",
  "/etc/postfix/more",
  "cidr:{ {192.0.2.1 OK}, {192.0.2.2 OK} }",
  "permit_mynetworks",
  "check_client_access",
  "\xe9\xff",
  "h#h",
];

/** What we add: never among the elements above, but built from the same words. */
export const ours = [
  "203.0.113.20/32",
  "[2001:db8::1]/128",
  "check_client_access cidr:/etc/postfix/ours",
  "198.51.100.0/24",
];

const separator = fc.constantFrom(
  " ",
  ", ",
  ",",
  "  ",
  "\t",
  "\n  ",
  "\n\t",
  "\n# between\n  ",
  "\n  # in\n\n \t",
  ",\n    ",
);

function spread(elements: readonly string[], separators: readonly string[]): string {
  return elements.map((element, index) => (index === 0 ? "" : (separators[index - 1] ?? " ")) + element).join("");
}

export const value = fc
  .tuple(
    fc.array(fc.constantFrom(...listElements, ...ours), { maxLength: 5 }),
    fc.array(separator, { minLength: 5, maxLength: 5 }),
    fc.constantFrom("", "", "", " ", "\t ", ",", " ,", "\n  "),
  )
  .map(([elements, separators, tail]) => spread(elements, separators) + tail);

const equalsSign = fc.constantFrom(" = ", " = ", "=", " =", "= ", "\t=\t", " =\n  ", "\n = ");

export function definition(names: readonly string[]): fc.Arbitrary<string> {
  return fc.tuple(fc.constantFrom(...names), equalsSign, value).map(([name, sign, text]) => `${name}${sign}${text}`);
}

const comment = fc.constantFrom(
  "# a comment",
  "#",
  "   # indented",
  "#mynetworks = 1.2.3.4",
  "# \xe4\xf6\xff",
  "# x \\",
);
const blank = fc.constantFrom("", " ", "\t", "\f");
const odd = fc.constantFrom(
  "  orphan = 1",
  "no equals sign",
  "mynetworks = a\0 b",
  "relayhost\0 = c",
  "= x",
  "mynetworks_x = 9",
  "\0",
);
const broken = fc.constantFrom(
  "mynetworks = 10.0.0.1 # 10.0.0.2",
  "mynetworks = #",
  "mynetworks = { a b",
  "mynetworks = $(a b",
  "mynetworks = } a",
);

/** Whole lines joined with one line end, with or without the last. */
export function file(line: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .tuple(fc.array(line, { maxLength: 8 }), fc.constantFrom("\n", "\n", "\r\n"), fc.boolean())
    .map(([lines, end, last]) => lines.join("\n").replaceAll("\n", end) + (last && lines.length > 0 ? end : ""));
}

const noise = fc
  .array(fc.constantFrom(..."ax=\n \t#{},\0\r$()!\xff".split(""), "mynetworks", "relayhost", " = "), { maxLength: 40 })
  .map((parts) => parts.join(""));

/** Any main.cf, well-formed more often than not. */
export const mainCf = fc.oneof(
  {
    weight: 6,
    arbitrary: file(fc.oneof(definition(parameters), definition(["myhostname", "mydestination"]), comment, blank)),
  },
  { weight: 3, arbitrary: file(fc.oneof(definition(parameters), comment, blank, odd, broken)) },
  { weight: 1, arbitrary: noise },
);

/** A main.cf that Postfix reads without an error. */
export const validMainCf = file(
  fc.oneof(
    definition(parameters),
    definition(["myhostname", "mydestination"]),
    comment,
    blank,
    fc.constant("mynetworks = a\0 b"),
  ),
);

/** Lines that define none of our parameters. */
export const otherLines = fc
  .array(fc.oneof(definition(["myhostname", "mydestination", "mynetworks_style"]), comment, blank), { maxLength: 4 })
  .map((lines) => lines.map((line) => `${line}\n`).join(""));

export const serviceNames = ["smtp/inet", "submission/inet", "127.0.0.1:10026/inet", "pickup/unix", "spamd/unix"];

const override = fc
  .tuple(
    fc.constantFrom(
      "smtpd_authorized_xclient_hosts",
      "smtpd_authorized_xclient_hosts",
      "syslog_name",
      "smtpd_helo_restrictions",
    ),
    fc.array(
      fc.constantFrom(
        ...listElements.filter((element) => !element.includes(" ")),
        ...ours.filter((element) => !element.includes(" ")),
      ),
      { maxLength: 3 },
    ),
    fc.constantFrom(
      "-o N=V",
      "-o N=V",
      "-o  N=V",
      "-oN=V",
      "-o { N = V }",
      "-o {N=V}",
      "-o\n  N=V",
      "-vo N=V",
      "-o { N\n\t= V }",
    ),
  )
  .map(([name, elements, form]) =>
    form.replace("N", () => name).replace("V", () => elements.join(form.includes("{") ? " " : ",")),
  );

const serviceLine = fc
  .tuple(
    fc.constantFrom(...serviceNames),
    fc.constantFrom(" ", "\t", "     "),
    fc.array(
      fc.tuple(fc.constantFrom("\n  ", "\n  ", "\n    ", " ", "\n\t", "\n# off\n  ", "\n#  -o x=y\n\n  "), override),
      { maxLength: 4 },
    ),
    fc.constantFrom(
      "",
      "",
      "",
      "",
      " ",
      " -v",
      "\n  -v",
      "\n  flags=R user=x argv=/bin/y -o z",
      " { a b }",
      "\n  # end",
      " -o",
      " -o { x",
    ),
  )
  .map(([service, gap, overrides, tail]) => {
    const slash = service.lastIndexOf("/");
    const name = service.slice(0, slash);
    const type = service.slice(slash + 1);
    const head = [name, type, "n", "-", "y", "-", "-", type === "inet" ? "smtpd" : "pipe"].join(gap);
    return head + overrides.map(([lead, one]) => lead + one).join("") + tail;
  });

/** Any master.cf. */
export const masterCf = fc.oneof(
  { weight: 8, arbitrary: file(fc.oneof({ weight: 4, arbitrary: serviceLine }, comment, blank)) },
  {
    weight: 2,
    arbitrary: file(
      fc.oneof(
        serviceLine,
        comment,
        blank,
        fc.constantFrom("smtp inet n", "  -o orphan=1", "smtp inet n - y - - smtpd\0 -o x=y"),
      ),
    ),
  },
);

/** A master.cf that postconf reads without an error. */
export const validMasterCf = file(
  fc.oneof(
    { weight: 4, arbitrary: serviceLine.filter((line) => !line.endsWith("{ x") && !line.endsWith(" -o")) },
    comment,
    blank,
  ),
);
