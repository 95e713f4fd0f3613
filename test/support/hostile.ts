// Arguments as an enemy writes them: what shells, terminals, JavaScript, Dovecot and Postfix take for more than text.
import fc from "fast-check";

/** Commands leave these behind where one is run; and where a setting is written, it has this name. */
export const canary = "/tmp/pwned";

const commands = [
  `$(touch ${canary})`,
  `\`touch ${canary}\``,
  `;touch ${canary};`,
  `|touch ${canary}`,
  `&touch ${canary}&`,
  `' ; touch ${canary} ; '`,
  `"; touch ${canary}; "`,
  `\${IFS}touch\${IFS}${canary}`,
  `>${canary}`,
];

/** Above 255, and a quote, a newline, a dollar and a backtick to whoever keeps the lower byte. */
const halves = ["\u0127", "\u010a", "\u0124", "\u0160", "\u013b\u0174", "\u2027", "\u{10027}"];

const expansions = [
  ...[
    "${mail_version}",
    "$mynetworks",
    "${ {a} == {a} ? {permit} : {reject} }",
    "|/bin/sh",
    "pipe:/bin/sh",
    "-o",
    "-e",
  ],
  ...[
    "%u",
    "%{user}",
    "%{env:HOME}",
    "%%",
    "$mail_plugins",
    "</etc/shadow",
    "<file:/etc/shadow",
    "!include /etc/shadow",
  ],
  ...["}", "{", "#", "=", ",", ":", '"', "'", "\\", "\\c", "\\0101", "%s", "%b", "-n", "*", "?", "[a-z]", "~"],
];

const odd = [
  ...["\0", "\n", "\r\n", "\t", " ", "\x7f", "\x1b[31m", "\x1b]8;;http://example.org\x07", "\x9b2J", "\u0085"],
  ...["\u202e", "\u200f", "\u2066", "\u200b", "\ufeff", "\u2028", "\u{e0041}", "\ud800", "\u0430", "\uff0e", "\uff11"],
  ...["<{%fg 1%}>", "<{%", "__proto__", "constructor", "toString", "hasOwnProperty", "\n1 = 2\n", "\nrelayhost = x\n"],
];

const real = [
  "203.0.113.10",
  "2001:db8::10/128",
  "10.0.0.0/24",
  "submission/inet",
  "new.example.net",
  "vmadmin",
  "imap",
];

/** Short enough to go into a message by chance are most; see `long`. */
const piece = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...commands) },
  { weight: 3, arbitrary: fc.constantFrom(...halves, ...expansions) },
  { weight: 4, arbitrary: fc.constantFrom(...odd) },
  { weight: 2, arbitrary: fc.constantFrom(...real) },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
);

export const hostileText = fc.oneof(
  { weight: 12, arbitrary: fc.array(piece, { minLength: 1, maxLength: 5 }).map((pieces) => pieces.join("")) },
  {
    weight: 1,
    arbitrary: fc.tuple(piece, fc.constantFrom(1_000, 20_000)).map(([text, n]) => text.repeat(n).slice(0, n)),
  },
);

/** What JSON can hold, keys included that mean something to JavaScript. */
export const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: hostileText },
  { weight: 3, arbitrary: fc.array(hostileText, { maxLength: 4 }) },
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1e308,
    2.5,
    [],
    {},
    [[]],
    "",
    Array.from({ length: 3000 }, () => "10.0.0.1"),
  ),
  fc.dictionary(fc.constantFrom("__proto__", "constructor", "length", "toString", "host"), hostileText),
);

/** An object with these properties, "__proto__" as one among them. */
export function withProperties(
  properties: Readonly<Record<string, unknown>>,
  more: readonly (readonly [string, unknown])[],
): Record<string, unknown> {
  return Object.fromEntries([...Object.entries(properties), ...more]);
}

/** Those that check lets pass: every odd character that a password may hold. */
export const oddPassword = fc
  .array(piece, { minLength: 3, maxLength: 8 })
  .map((pieces) => pieces.join("").replace(/\p{Cc}/gu, ""))
  .map((text) => Array.from(text).slice(0, 100).join("").padEnd(12, "$(id)`id`'\\"))
  .filter((text) => text.length <= 256);

export const oddUsername = fc.stringMatching(/^[a-z0-9._@-]{1,24}$/);

/** Printable ASCII but the colon, behind a scheme. */
export const oddHash = fc
  .array(
    fc.oneof(
      fc.constantFrom("$(id)", "`id`", "';id;'", "%u", "${x}", "#", "\\", '"'),
      fc.stringMatching(/^[!-9;-~]{1,9}$/),
    ),
    {
      minLength: 1,
      maxLength: 6,
    },
  )
  .map((parts) => `{SHA512-CRYPT}${parts.join("").replace(/[^!-9;-~]/g, "")}`);

export const oddRecipient = fc
  .array(
    fc.constantFrom(
      "`touch$IFS/tmp/pwned`",
      "${IFS}",
      "|sh",
      "&id&",
      "$HOME",
      "'",
      "'id'",
      "!",
      "#",
      "%s",
      "{a}",
      "*",
      "?",
      "-o",
      "a",
    ),
    {
      minLength: 1,
      maxLength: 4,
    },
  )
  .map((parts) => `${parts.join("").slice(0, 64)}@example.org`);

/** What no message may hold: it would steer a terminal, the engine's display, or the eye. */
export const unprintable = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]|<\{%/u;
