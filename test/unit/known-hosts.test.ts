import { strict as assert } from "node:assert";
import { createHash, createHmac } from "node:crypto";
import { expected, hostKeyAlgorithms, refuseHostKey } from "../../provider/src/ssh/host-key.js";
import { fingerprint, knownKeys, publicKey } from "../../provider/src/ssh/known-hosts.js";

const ed1 = key("ssh-ed25519", "one");
const ed2 = key("ssh-ed25519", "two");
const rsa = key("ssh-rsa", "three");

describe("known_hosts", () => {
  const cases: { is: string; text: string; host: string; port?: number; known: boolean }[] = [
    { is: "a plain name", text: `mail.example.org ${ed1.line}`, host: "mail.example.org", known: true },
    { is: "another name", text: `mail.example.org ${ed1.line}`, host: "ail.example.org", known: false },
    { is: "a dot is no wildcard", text: `mail.example.org ${ed1.line}`, host: "mailxexample.org", known: false },
    { is: "upper case", text: `Mail.Example.org ${ed1.line}`, host: "mail.example.ORG", known: true },
    { is: "a comma list", text: `mail,192.0.2.7 ${ed1.line} comment`, host: "192.0.2.7", known: true },
    { is: "a wildcard", text: `*.example.org ${ed1.line}`, host: "mail.example.org", known: true },
    { is: "one character", text: `mail?.example.org ${ed1.line}`, host: "mail.example.org", known: false },
    {
      is: "a negated name",
      text: `*.example.org,!mail.example.org ${ed1.line}`,
      host: "mail.example.org",
      known: false,
    },
    { is: "a negation before", text: `!mail.*,*.example.org ${ed1.line}`, host: "mail.example.org", known: false },
    { is: "only a negation", text: `!other ${ed1.line}`, host: "mail.example.org", known: false },
    { is: "a hashed name", text: `${hashed("mail.example.org")} ${ed1.line}`, host: "Mail.example.org", known: true },
    { is: "another hashed name", text: `${hashed("other")} ${ed1.line}`, host: "mail.example.org", known: false },
    { is: "a port", text: `[mail.example.org]:2222 ${ed1.line}`, host: "mail.example.org", port: 2222, known: true },
    { is: "another port", text: `[mail.example.org]:2222 ${ed1.line}`, host: "mail.example.org", known: false },
    { is: "a hashed port", text: `${hashed("[mail]:2222")} ${ed1.line}`, host: "mail", port: 2222, known: true },
    { is: "a name without the port", text: `mail ${ed1.line}`, host: "mail", port: 2222, known: true },
    { is: "an IPv6 address", text: `2001:db8::7 ${ed1.line}`, host: "2001:db8::7", known: true },
    {
      is: "an IPv6 address and port",
      text: `[2001:db8::7]:22022 ${ed1.line}`,
      host: "2001:db8::7",
      port: 22022,
      known: true,
    },
    { is: "a comment", text: `# mail ${ed1.line}`, host: "mail", known: false },
    { is: "a key of another type than it says", text: `mail ssh-rsa ${ed1.base64}`, host: "mail", known: false },
    { is: "cut base64", text: `mail ssh-ed25519 AAAA`, host: "mail", known: false },
    { is: "carriage returns and tabs", text: `mail\tssh-ed25519\t${ed1.base64}\r`, host: "mail", known: true },
    { is: "a regular expression", text: `(a+)+$ ${ed1.line}`, host: "aaaaaaaaaaaaaaaaaaaaaaaaaaaa!", known: false },
  ];
  for (const { is, text, host, port = 22, known } of cases) {
    it(`${known ? "knows" : "does not know"} a host by ${is}`, () => {
      const found = knownKeys([{ path: "kh", text: `\n${text}\n` }], host, port).trusted;
      assert.deepEqual(
        found.map((each) => each.blob),
        known ? [ed1.blob] : [],
      );
    });
  }

  it("tells the file and line of each key", () => {
    const text = `other ${ed2.line}\n\nmail ${ed1.line}\n`;
    assert.equal(knownKeys([{ path: "/h/known_hosts", text }], "mail", 22).trusted[0]?.from, "/h/known_hosts:3");
  });

  it("takes the keys for [host]:port alone where there are any, not those for the host as well", () => {
    const text = `mail ${ed1.line}\n[mail]:2222 ${ed2.line}`;
    assert.deepEqual(
      knownKeys([{ path: "kh", text }], "mail", 2222).trusted.map((each) => each.blob),
      [ed2.blob],
    );
  });

  it("does not take a certificate authority or a revoked key for a host key", () => {
    const text = `@cert-authority *.example.org ${ed1.line}\n@revoked * ${ed2.line}`;
    const { trusted, authorities, revoked } = knownKeys([{ path: "kh", text }], "mail.example.org", 22);
    assert.deepEqual([trusted.length, authorities.length, revoked.length], [0, 1, 1]);
  });
});

describe("the host key", () => {
  it("is accepted where a known key or the pin is the same, of any type and in any form", () => {
    const pins = [
      ed1.line,
      `${ed1.line} root@mail`,
      `mail.example.org ${ed1.line}`,
      `# old\n${ed2.line}\n${ed1.line}\n`,
      fingerprint(ed1.blob),
      `${fingerprint(ed1.blob)}=`,
    ];
    for (const hostKey of pins) assert.equal(refuseHostKey(ed1.blob, expects({ hostKey })), undefined, hostKey);
    assert.equal(refuseHostKey(ed1.blob, expects({ text: `mail ${ed2.line}\nmail ${ed1.line}` })), undefined);
  });

  it("is shown in full where it is unknown, with both ways to pin it", () => {
    const error = refuseHostKey(ed1.blob, expects({}));
    assert.equal(error?.kind, "host-key");
    assert.match(error.message, /root@mail:22: the host key is not known/);
    assert.match(error.message, /Nothing was sent/);
    assert.ok(error.message.includes(`hostKey: "${fingerprint(ed1.blob)}"`));
    assert.ok(error.message.includes(`add this line to /h/known_hosts:\n  mail ssh-ed25519 ${ed1.base64}`));
    assert.ok(error.message.includes("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub on the host itself"));
    assert.ok(refuseHostKey(rsa.blob, expects({}))?.message.includes("ssh_host_rsa_key.pub"));
  });

  it("is refused loudly, with both fingerprints, where another one is known", () => {
    for (const from of [{ text: `mail ${ed2.line}` }, { hostKey: ed2.line }, { hostKey: fingerprint(ed2.blob) }]) {
      const error = refuseHostKey(ed1.blob, expects(from));
      assert.equal(error?.kind, "host-key");
      assert.match(error.message, /THE HOST KEY IS NOT THE EXPECTED ONE/);
      assert.ok(error.message.includes(fingerprint(ed1.blob)) && error.message.includes(fingerprint(ed2.blob)));
    }
    assert.ok(refuseHostKey(ed1.blob, expects({ text: `mail ${ed2.line}` }))?.message.includes("/h/known_hosts:1"));
  });

  it("is refused where it is of a known host but of another type", () => {
    assert.match(String(refuseHostKey(ed1.blob, expects({ text: `mail ${rsa.line}` }))), /NOT THE EXPECTED ONE/);
  });

  it("is refused where it is revoked, even where it is pinned or known as well", () => {
    for (const hostKey of [undefined, ed1.line, fingerprint(ed1.blob)]) {
      const error = refuseHostKey(ed1.blob, expects({ text: `mail ${ed1.line}\n@revoked * ${ed1.line}`, hostKey }));
      assert.match(String(error), /REVOKED HOST KEY.*\n.*\/h\/known_hosts:2/s);
    }
  });

  it("is unknown, and said why, where known_hosts only names a certificate authority", () => {
    const error = refuseHostKey(ed1.blob, expects({ text: `@cert-authority mail ${ed1.line}` }));
    assert.match(String(error), /the host key is not known \(\/h\/known_hosts:1 knows it by a @cert-authority/);
  });

  it("pins count alone: what known_hosts trusts does not help", () => {
    assert.ok(refuseHostKey(ed1.blob, expects({ text: `mail ${ed1.line}`, hostKey: ed2.line })));
  });

  for (const hostKey of [
    "",
    "SHA256:short",
    "MD5:aa:bb",
    "ssh-ed25519",
    "ssh-ed25519 AAAA",
    `ssh-rsa ${ed1.base64}`,
    "no",
  ]) {
    it(`cannot be pinned as ${JSON.stringify(hostKey.slice(0, 20))}: an error that tells the two forms`, () => {
      assert.throws(() => expects({ hostKey }), /hostKey is neither a public key line nor a SHA256 fingerprint/);
    });
  }

  it("is asked for in the known types first, and never with SHA-1", () => {
    const known = hostKeyAlgorithms(expects({ text: `mail ${rsa.line}` }));
    assert.deepEqual(known.slice(0, 3), ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]);
    assert.equal(hostKeyAlgorithms(expects({}))[0], "ssh-ed25519");
    assert.ok(!known.includes("ssh-rsa"));
    assert.ok(!hostKeyAlgorithms(expects({}), ["ssh-ed25519"]).includes("ssh-ed25519"));
  });

  it("of a server that lies about its type cannot write to the terminal", () => {
    const type = "\x1b[2J\x1b[31m";
    const blob = Buffer.concat([Buffer.from([0, 0, 0, type.length]), Buffer.from(type)]);
    assert.ok(!refuseHostKey(blob, expects({}))?.message.includes("\x1b"));
  });
});

function expects(from: { text?: string; hostKey?: string | undefined }) {
  return expected({
    label: "root@mail:22",
    host: "mail",
    port: 22,
    hostKey: from.hostKey,
    files: from.text === undefined ? [] : [{ path: "/h/known_hosts", text: from.text }],
    file: "/h/known_hosts",
    searched: from.text === undefined ? [] : ["/h/known_hosts"],
  });
}

/** A key as it travels: its type, then what only has to differ here. */
function key(type: string, seed: string) {
  const body = createHash("sha256").update(seed).digest();
  const part = (bytes: Buffer) => Buffer.concat([Buffer.from([0, 0, 0, bytes.length]), bytes]);
  const blob = Buffer.concat([part(Buffer.from(type)), part(body)]);
  const base64 = blob.toString("base64");
  assert.ok(publicKey(type, base64, "test"));
  return { blob, base64, line: `${type} ${base64}` };
}

function hashed(name: string): string {
  const salt = createHash("sha1").update("salt").digest();
  return `|1|${salt.toString("base64")}|${createHmac("sha1", salt).update(name).digest("base64")}`;
}
