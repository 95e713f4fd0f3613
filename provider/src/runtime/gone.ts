// A host that does not answer a destroy: the ways out are named, and silence is never taken for success.
import { SshError } from "../ssh/errors.js";
import { nameOf } from "./operation.js";
import type { Inputs } from "./kind.js";

/** Names hosts, by commas, that are gone for good: what was on them is dropped from the state, and that is said. */
export const GONE_HOSTS = "PULUMI_DOVECOT_POSTFIX_GONE_HOSTS";

/** Returns where the resource may be dropped; throws the error, with what to do, where it may not. */
export function leaveGone(inputs: Inputs, error: unknown): void {
  if (!(error instanceof SshError) || error.kind !== "unreachable") throw error;
  const { host = "" } = inputs.connection as { host?: string };
  const gone = (process.env[GONE_HOSTS] ?? "").split(",").map((name) => name.trim());
  if (gone.includes(host)) {
    console.error(
      `warning: ${nameOf(inputs)}: ${host} does not answer, and nothing was undone on it; dropped from the state, since ${GONE_HOSTS} names it.`,
    );
    return;
  }
  throw new Error(
    `${error.message}\nNothing was undone on the host, and the state still has ${nameOf(inputs)}.\n` +
      "Is the host gone for good, one of these drops the resource without undoing anything: " +
      `${GONE_HOSTS}=${host} in the environment of the destroy, \`pulumi state delete\` with its URN, ` +
      "or, before, the option `deletedWith` with the resource that is the host.",
    { cause: error },
  );
}
