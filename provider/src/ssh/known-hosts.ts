// known_hosts files as data (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): text in, the keys of one host out, no I/O.
import { createHash, createHmac } from "node:crypto";

/** One public host key and where it was found. */
export interface HostKey {
  /** As in RFC 4253: `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`, ... */
  readonly type: string;
  /** The key as it travels, and as base64 in a file. */
  readonly blob: Buffer;
  /** `file:line`, or what else named it. */
  readonly from: string;
}

/** What known_hosts files say of one host. */
export interface KnownKeys {
  readonly trusted: readonly HostKey[];
  readonly revoked: readonly HostKey[];
  /** Lines that know the host by a certificate authority, which is not supported here. */
  readonly authorities: readonly HostKey[];
}

/** The keys that `files` hold for `host` on `port`. A port other than 22 is looked up as `[host]:port` first, then as `host`. */
export function knownKeys(files: readonly { path: string; text: string }[], host: string, port: number): KnownKeys {
  const lines = files.flatMap(({ path, text }) => entries(path, text));
  const exact = lookUpName(host, port);
  const plain = lookUpName(host, 22);
  const marked = (marker: string, ...names: string[]): HostKey[] =>
    lines
      .filter((line) => line.marker === marker && names.some((name) => matches(line.hosts, name)))
      .map(({ key }) => key);
  const either = (marker: string): HostKey[] => {
    const named = marked(marker, exact);
    return named.length > 0 ? named : marked(marker, plain);
  };
  return {
    trusted: either(""),
    // Never narrowed: a key that is revoked under either name is refused.
    revoked: marked("@revoked", exact, plain),
    authorities: either("@cert-authority"),
  };
}

/** The name that a known_hosts line has for this host and port. */
export function lookUpName(host: string, port: number): string {
  return port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`;
}

/** As `ssh-keygen -l` prints it. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}

/** The key of `type AAAA...`, or undefined where the base64 does not hold a key of that type. */
export function publicKey(type: string, base64: string, from: string): HostKey | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined;
  const blob = Buffer.from(base64, "base64");
  return keyType(blob) === type ? { type, blob, from } : undefined;
}

/** The type that stands at the beginning of a key as it travels. */
export function keyType(blob: Buffer): string {
  if (blob.length < 4) return "";
  const length = blob.readUInt32BE(0);
  return length <= 64 ? blob.toString("latin1", 4, 4 + length) : "";
}

interface Entry {
  readonly marker: string;
  readonly hosts: string;
  readonly key: HostKey;
}

function entries(path: string, text: string): Entry[] {
  return text.split("\n").flatMap((line, index) => {
    const words = line.trim().split(/[ \t]+/);
    const marker = words[0]?.startsWith("@") ? (words.shift() ?? "") : "";
    const [hosts = "", type = "", base64 = ""] = words;
    if (hosts.startsWith("#")) return [];
    const key = publicKey(type, base64, `${path}:${index + 1}`);
    return key ? [{ marker, hosts, key }] : [];
  });
}

function matches(hosts: string, name: string): boolean {
  if (hosts.startsWith("|")) return hashMatches(hosts, name);
  const patterns = hosts.toLowerCase().split(",");
  const hit = (pattern: string): boolean => wildcard(pattern).test(name);
  // A negated pattern that matches wins over every other pattern of its line.
  return (
    !patterns.some((pattern) => pattern.startsWith("!") && hit(pattern.slice(1))) &&
    patterns.some((pattern) => !pattern.startsWith("!") && hit(pattern))
  );
}

function hashMatches(hosts: string, name: string): boolean {
  const [, version, salt = "", hash = ""] = hosts.split("|");
  return version === "1" && createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest("base64") === hash;
}

function wildcard(pattern: string): RegExp {
  const source = pattern
    .replace(/[\\^$.+()[\]{}|]/g, "\\$&")
    .replace(/\*+/g, ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`);
}
