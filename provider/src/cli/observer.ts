// Prints how an administrator lets a key look at a mail host, and do nothing else there.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { utils } from "ssh2";
import { observerPath, observerProgram } from "../host/observer.js";
import { sha256 } from "../host/snapshot.js";
import { quote } from "../ssh/quote.js";
import { CommandError } from "./pulumi.js";

export interface ObserverOptions {
  /** A public key's file; - for stdin. */
  readonly key: string;
  readonly user: string;
}

const end = "END OF pulumi-dovecot-postfix-observe";

/** A script to be read, and then run by a shell on the host. */
export function installation({ key, user }: ObserverOptions): string {
  const program = observerProgram();
  const bySudo = user === "root" ? "" : "LC_ALL=C /usr/bin/sudo -n ";
  const values = {
    user,
    authorized_key: `restrict,command="env -i ${bySudo}${observerPath}" ${publicKey(key)}`,
    // "": without arguments.
    sudoers: user === "root" ? "" : `${user} ALL=(root) NOPASSWD: ${observerPath} ""`,
    program: observerPath,
    sha256: sha256(program),
  };
  return [
    `#!/bin/sh`,
    `# A key that may only look at this mail host: with it pulumi-dovecot-postfix plans, and nobody can do anything else.`,
    `# The line of authorized_keys: whatever is asked for, sshd runs the program alone; no terminal, no forwarding (restrict).`,
    `# The line of sudoers, for a user who is not root: what that program may be run as, and nothing else.`,
    ...Object.entries(values).map(([name, value]) => `${name}=${quote(value)}`),
    ``,
    readFileSync(join(__dirname, "../host/install-observer.sh"), "latin1"),
    `install_observer <<'${end}'`,
    `${program}${end}`,
    ``,
  ].join("\n");
}

/** Type, key and comment, as authorized_keys takes them. */
function publicKey(file: string): string {
  const lines = read(file)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  const [line = ""] = lines;
  const parsed = utils.parseKey(line);
  if (lines.some((one) => one.includes("PRIVATE KEY"))) {
    throw new CommandError(`${file} holds the private key, which stays where it is: give the public one (.pub).`);
  }
  if (lines.length !== 1 || parsed instanceof Error || !/^[a-z0-9@.-]+ /.test(line)) {
    throw new CommandError(`${file} does not hold one public key, such as ssh-keygen makes (.pub), and nothing else.`);
  }
  const comment = line
    .split(/\s+/)
    .slice(2)
    .join(" ")
    .replace(/[^\w@.+ -]/g, "");
  return `${parsed.type} ${parsed.getPublicSSH().toString("base64")} ${comment}`.trim();
}

function read(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "latin1");
  } catch (error) {
    throw new CommandError((error as Error).message);
  }
}
