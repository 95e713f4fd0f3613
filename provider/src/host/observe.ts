// Asks a host for a snapshot: one round trip, nothing written.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { becomeError, plainShell, type ShellCommand } from "../ssh/become.js";
import { SshError } from "../ssh/errors.js";
import type { Link } from "../ssh/link.js";
import { HostError } from "./errors.js";
import { acceptObserver } from "./observer.js";
import { FilesChanged, readSnapshot, stateDirectory, type Snapshot } from "./snapshot.js";
import { frames, heading, script, type Frame } from "./wire.js";

export type Shell = ShellCommand;

/** Tools that our programs need; each is in a Debian, RHEL or Alpine base system or comes with the daemons. */
const needed = ["flock", "timeout", "sha256sum", "stat", "realpath"];

/** Where a commit's own words are missing. */
export const notKnown =
  "Not known from here. A commit ends by itself, proved or undone; the next operation finds what came of it.";

/** Records that are answered by a value of their own, also where the host has none: what is missing there was lost. */
const questions = ["doveconf", "postconf", "service", "lookup", "hash"];

export async function observe(link: Link, shell: Shell, records: readonly (readonly string[])[]): Promise<Snapshot> {
  const snapshot = await taken(link, shell, ["state", stateDirectory, ...records.flat()], 3);
  if (!snapshot.root) {
    if (snapshot.observer) {
      throw new HostError(
        link.label,
        "the observer on the host does not run as root, which it must to read mail settings",
        {
          cure: "Let the key's forced command start it by sudo, as `npx pulumi-dovecot-postfix observer` prints it.",
        },
      );
    }
    throw new HostError(link.label, "the login is not root, and only root can read and change mail settings", {
      cure: "Log in as root, or set `become: true` in `connection` (sudo without a password for this user).",
    });
  }
  if (snapshot.hung.length > 0) {
    throw new HostError(link.label, `these questions were not answered in time: ${snapshot.hung.join(", ")}`, {
      state: "Nothing was changed.",
      cure: "Find out why the daemon's own tool (doveconf, doveadm, postconf, postfix) does not end on this host.",
    });
  }
  const unanswered = records.filter(
    ([name = "", id = ""]) => questions.includes(name) && !Object.hasOwn(snapshot.values, id),
  );
  if (unanswered.length > 0) {
    const asked = [...new Set(unanswered.map(([name = ""]) => name))].join(", ");
    throw new HostError(link.label, `${unanswered.length} questions were not answered at all (${asked})`, {
      state: "Nothing was changed.",
    });
  }
  const missing = snapshot.missingTools.filter((tool) => needed.includes(tool));
  if (missing.length > 0) {
    throw new HostError(link.label, `the host lacks ${missing.join(", ")}`, {
      cure: "Install it (coreutils, util-linux).",
    });
  }
  return snapshot;
}

async function taken(link: Link, shell: Shell, words: readonly string[], attempts: number): Promise<Snapshot> {
  const answer = await runProgram(link, shell, "observe.sh", (nonce) => [["main", nonce, ...words]], {
    records: words,
  });
  try {
    return readSnapshot(link.label, answer);
  } catch (error) {
    if (!(error instanceof FilesChanged)) throw error;
    if (attempts > 1) return taken(link, shell, words, attempts - 1);
    throw new HostError(link.label, "mail configuration files changed each time while they were read", {
      state: "Nothing was changed.",
      cure: "Find who writes them (a configuration tool?), then run the same command again.",
    });
  }
}

/**
 * Runs one of the .sh files beside this one on the host and returns its answer.
 * `records`: what the observer, where the key starts nothing else, has to know of the calls. `waiting`: called when the program
 * says that it waits for the lock.
 */
export async function runProgram(
  link: Link,
  shell: Shell,
  file: string,
  calls: (nonce: string) => readonly (readonly string[])[],
  { records = [], waiting }: { records?: readonly string[]; waiting?: () => void } = {},
): Promise<Frame[]> {
  const nonce = randomBytes(16).toString("hex");
  const program = readFileSync(join(__dirname, file), "latin1");
  const input = shell.inputPrefix + heading(file, nonce, records) + script(program, calls(nonce));
  const state = file === "commit.sh" ? notKnown : "Nothing was changed.";
  const heard = (text: string): void => {
    if (text.includes(`${nonce} waiting\n`)) waiting?.();
  };
  const limits = { timeoutMs: 120_000, maxBytes: 16 * 1024 * 1024 };
  const { stdout, stderr, code } = await link
    .run(shell.command, input, waiting ? { ...limits, heard } : limits)
    .catch((error: unknown) => {
      throw error instanceof SshError ? error.leaving(state) : error;
    });
  const refused = code === 0 ? undefined : becomeError(link.label, stderr, shell.command !== plainShell);
  if (refused) throw refused;
  return acceptObserver(link.label, frames(stdout, nonce, { label: link.label, stderr, state }));
}
