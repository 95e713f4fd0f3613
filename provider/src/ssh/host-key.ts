// Is this the server that it should be? Decided before anything is sent to it; there is no way to skip it.
import { SshError, printable } from "./errors.js";
import { fingerprint, type HostKey, keyType, knownKeys, lookUpName, publicKey } from "./known-hosts.js";

/** Everything that is known of a server's host key before it is dialled. */
export interface Expected {
  /** `user@host:port`, for messages. */
  readonly label: string;
  /** The name that known_hosts lines have for it. */
  readonly name: string;
  /** Keys that are accepted; `pinned` tells whether they come from `hostKey`. */
  readonly keys: readonly HostKey[];
  readonly fingerprints: readonly string[];
  readonly pinned: boolean;
  readonly revoked: readonly HostKey[];
  readonly authorities: readonly HostKey[];
  /** The file that a line for an unknown host belongs in, and the files that were searched. */
  readonly file: string;
  readonly searched: readonly string[];
}

/** What `hostKey` and the known_hosts files say. */
export function expected(from: {
  label: string;
  host: string;
  port: number;
  hostKey?: string | undefined;
  files: readonly { path: string; text: string }[];
  file: string;
  searched: readonly string[];
}): Expected {
  const known = knownKeys(from.files, from.host, from.port);
  const pins = from.hostKey === undefined ? undefined : parsePins(from.hostKey, from.label);
  return {
    label: from.label,
    name: lookUpName(from.host, from.port),
    keys: pins ? pins.keys : known.trusted,
    fingerprints: pins ? pins.fingerprints : [],
    pinned: pins !== undefined,
    revoked: known.revoked,
    authorities: known.authorities,
    file: from.file,
    searched: from.searched,
  };
}

/** Undefined where `blob` is the key that the server should have; otherwise why not, and what to do. */
export function refuseHostKey(blob: Buffer, expects: Expected): SshError | undefined {
  const { keys, fingerprints, revoked, pinned, label } = expects;
  const shown = fingerprint(blob);
  const offer = `a ${printable(keyType(blob), 64)} key, ${shown}`;
  const revocation = revoked.find((key) => key.blob.equals(blob));
  if (revocation) {
    return new SshError("host-key", label, `REVOKED HOST KEY. Nothing was sent. The server shows ${offer}`, {
      cure:
        `${revocation.from} marks this key @revoked: whoever shows it may have stolen it. ` +
        "Replace the host's key (ssh-keygen -A after removing the old files), compare it on the host, then add it.",
    });
  }
  if (keys.some((key) => key.blob.equals(blob)) || fingerprints.includes(shown)) return undefined;
  if (keys.length === 0 && fingerprints.length === 0) return unknown(blob, offer, expects);
  const accepted = [...keys.map((key) => `${key.type} ${fingerprint(key.blob)} (${key.from})`), ...fingerprints];
  return new SshError(
    "host-key",
    label,
    `THE HOST KEY IS NOT THE EXPECTED ONE: someone may be standing between you and the host, or its key was replaced. ` +
      `Nothing was sent. The server shows ${offer}. Expected: ${accepted.join(", ")}`,
    {
      cure:
        `Run ${onTheHost(blob)} on the host itself (console, not this network). Only if it prints ${shown}, ` +
        (pinned
          ? `set hostKey: "${shown}".`
          : `remove the old line (ssh-keygen -R ${shellSafe(expects.name)}) and add: ${line(blob, expects)}`),
    },
  );
}

/**
 * Host key algorithms to offer: the types that are expected first, as ssh(1) does it, so that a host with several keys shows the
 * one that is known. The others follow, so that a replaced key is an error that shows it. ssh-rsa (SHA-1) is never offered.
 */
export function hostKeyAlgorithms(expects: Expected, not: readonly string[] = []): string[] {
  const expectedTypes = new Set(expects.keys.map((key) => key.type));
  const types = Object.keys(ALGORITHMS).filter((type) => !not.includes(type));
  return [
    ...types.filter((type) => expectedTypes.has(type)),
    ...types.filter((type) => !expectedTypes.has(type)),
  ].flatMap((type) => ALGORITHMS[type] ?? []);
}

/** Key types that are understood, the fastest to verify first, and the signature algorithms of each. */
const ALGORITHMS: Readonly<Record<string, readonly string[]>> = {
  "ssh-ed25519": ["ssh-ed25519"],
  "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
  "ecdsa-sha2-nistp384": ["ecdsa-sha2-nistp384"],
  "ecdsa-sha2-nistp521": ["ecdsa-sha2-nistp521"],
  "ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"],
};

function parsePins(hostKey: string, label: string): { keys: HostKey[]; fingerprints: string[] } {
  const keys: HostKey[] = [];
  const fingerprints: string[] = [];
  const lines = hostKey.split("\n").map((text) => text.trim());
  for (const text of lines.filter((each) => each !== "" && !each.startsWith("#"))) {
    const words = text.split(/\s+/);
    // A line of known_hosts or of ssh-keyscan has the host's names before the key.
    const key = [0, 1].map((at) => publicKey(words[at] ?? "", words[at + 1] ?? "", "hostKey")).find((each) => each);
    const print = /^SHA256:([A-Za-z0-9+/]{43})=?$/.exec(text);
    if (key) keys.push(key);
    else if (print) fingerprints.push(`SHA256:${print[1] ?? ""}`);
    else throw badPin(label);
  }
  if (keys.length + fingerprints.length === 0) throw badPin(label);
  return { keys, fingerprints };
}

function badPin(label: string): SshError {
  return new SshError("settings", label, "hostKey is neither a public key line nor a SHA256 fingerprint", {
    cure:
      'Write hostKey: "ssh-ed25519 AAAA..." (the line in /etc/ssh/ssh_host_ed25519_key.pub on the host) or ' +
      'hostKey: "SHA256:..." (43 characters, as ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub prints it on the host).',
  });
}

function unknown(blob: Buffer, offer: string, expects: Expected): SshError {
  const authority = expects.authorities[0];
  const why = authority ? ` (${authority.from} knows it by a @cert-authority, which is not supported)` : "";
  return new SshError(
    "host-key",
    expects.label,
    `the host key is not known${why}. Nothing was sent. The server shows ${offer}; no hostKey is given and ` +
      `${expects.searched.join(", ") || "no known_hosts file"} does not have it`,
    {
      cure:
        `Run ${onTheHost(blob)} on the host itself (console, not this network) and compare. ` +
        `If it prints the same, either set hostKey: "${fingerprint(blob)}" in connection, ` +
        `or add this line to ${expects.file}:\n  ${line(blob, expects)}`,
    },
  );
}

function onTheHost(blob: Buffer): string {
  const type = keyType(blob);
  const name = type.startsWith("ecdsa") ? "ecdsa" : type === "ssh-rsa" ? "rsa" : "ed25519";
  return `ssh-keygen -lf /etc/ssh/ssh_host_${name}_key.pub`;
}

function line(blob: Buffer, expects: Expected): string {
  return `${expects.name} ${printable(keyType(blob), 64)} ${blob.toString("base64")}`;
}

function shellSafe(name: string): string {
  return name.startsWith("[") ? `'${name}'` : name;
}
