// Becoming root on the host: the fixed command that reads a program from stdin, and what sudo says when it will not.
import type { Connection } from "./connection.js";
import { SshError } from "./errors.js";
import { quote } from "./quote.js";

/** A command for `Link.run`, and what goes before the program on its stdin. */
export interface ShellCommand {
  readonly command: string;
  readonly inputPrefix: string;
}

export const plainShell = "sh";

/**
 * A POSIX shell that reads its program from stdin: `sh`, through sudo where `become` or `becomePassword` says so.
 * The password is the first line of stdin: it never stands in an argument or in the environment.
 * @throws SshError `settings` where the password holds a newline or NUL
 */
export function shellCommand(connection: Pick<Connection, "host" | "become" | "becomePassword">): ShellCommand {
  const { become, becomePassword } = connection;
  if (becomePassword === undefined || become === false) {
    return { command: become ? "env LC_ALL=C sudo -n sh" : plainShell, inputPrefix: "" };
  }
  if (/[\n\0]/.test(becomePassword)) {
    throw new SshError("settings", connection.host, "becomePassword holds a newline or NUL, which no password can");
  }
  return {
    command: `sh -c ${quote(WITH_PASSWORD)}`,
    inputPrefix: `${Buffer.from(becomePassword, "utf8").toString("latin1")}\n`,
  };
}

/**
 * sudo asks for a wrong password again, and would take the program's first lines for it: three failures a run, enough for
 * pam_faillock to lock the account. So the password is tried once first, with nothing after it.
 * Where sudo asks for none (NOPASSWD, a root login), the password is left for the inner shell, which would run it: it skips all
 * lines up to the mark instead. `-k`: a cached login would leave it there too. Only builtins see the password.
 */
const MARK = "pulumi-dovecot-postfix";
const SUDO = `env LC_ALL=C sudo -k -S -p "" sh -c`;
const WITH_PASSWORD = `unset p; IFS= read -r p || exit 1
printf "%s\\n" "$p" | ${SUDO} : || exit 1
{ printf "%s\\n${MARK}\\n" "$p"; exec cat; } | ${SUDO} "while IFS= read -r l; do test \\"\\$l\\" = ${MARK} && exec sh; done; exit 1"`;

/** What sudo (in English: LC_ALL=C) prints, and what an administrator does about it. */
const REFUSALS: readonly { said: RegExp; what: string; cure: string }[] = [
  {
    said: /you must have a tty|no tty present|a terminal is required/,
    what: "sudo demands a terminal",
    cure: "Add `Defaults:<user> !requiretty` for this user in sudoers(5), with visudo.",
  },
  {
    said: /incorrect password attempt|no password was provided|Sorry, try again/,
    what: "sudo does not accept becomePassword",
    cure: "Give the password that sudo asks this user for (its own, unless targetpw or rootpw is set). It was tried once.",
  },
  {
    said: /a password is required/,
    what: "sudo asks for a password",
    cure: "Set becomePassword in connection, or allow this user `NOPASSWD: ALL` in sudoers(5), with visudo; for a key that may only look, the line that `npx pulumi-dovecot-postfix observer` prints.",
  },
  {
    said: /is not in the sudoers file|is not allowed to (?:execute|run)|may not run sudo/,
    what: "sudo does not let this user become root",
    cure: "Allow it in sudoers(5), with visudo (`<user> ALL=(root) ALL`), or log in as root.",
  },
  {
    said: /sudo['’]?: (?:command )?not found|sudo['’]?: No such file/,
    what: "there is no sudo on the host",
    cure: "Install sudo, or log in as root and leave become out.",
  },
];

/**
 * The reason where sudo refused, to be asked when a run did not answer as it should; undefined where sudo is not to blame.
 * `ours`: whether we asked for sudo; else the key has a forced command that does.
 */
export function becomeError(label: string, stderr: string, ours = true): SshError | undefined {
  const refusal = REFUSALS.find(({ said }) => said.test(stderr));
  if (!refusal) return undefined;
  if (ours) return new SshError("become", label, refusal.what, { said: stderr, cure: refusal.cure });
  return new SshError("become", label, `the key's forced command runs sudo, and ${refusal.what}`, {
    said: stderr,
    cure: "Install the sudoers line that `npx pulumi-dovecot-postfix observer` prints, or log in with another key.",
  });
}
