// The observer: the observation as a program that lies on a mail host, for a key that may start nothing else there.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { HostError } from "./errors.js";
import { sha256 } from "./snapshot.js";
import type { Frame } from "./wire.js";

/** What an administrator installs (latin1). */
export function observerProgram(): string {
  return ["observe.sh", "observer.sh"].map((file) => readFileSync(join(__dirname, file), "latin1")).join("");
}

/** Where it is installed: in sudoers and authorized_keys, too. */
export const observerPath = "/usr/local/sbin/pulumi-dovecot-postfix-observe";

/** @throws HostError where the answer comes from an observer that will not do it, or that is not this release's */
export function acceptObserver(label: string, answer: Frame[]): Frame[] {
  const observer = answer.find(({ name }) => name === "observer");
  if (!observer) return answer;
  const refused = answer.find(({ name }) => name === "refused")?.words[0];
  if (refused === "change") {
    throw new HostError(
      label,
      "this key may only look: a forced command on the host lets it start the observer alone",
      {
        state: "Nothing was changed.",
        cure: "Log in with a key that may change the host; this one serves previews.",
      },
    );
  }
  if (observer.words[0] !== sha256(observerProgram())) {
    throw new HostError(
      label,
      "the observer on the host is another one than this release's; `npx pulumi-dovecot-postfix observer` prints how to install it",
    );
  }
  if (refused !== undefined) {
    throw new HostError(label, "the observer on the host does not answer one of the questions of this preview", {
      cure: "Write names and addresses with plain letters, or preview with a key that has a shell.",
    });
  }
  return answer;
}
