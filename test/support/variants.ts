// The hosts that are cut. Between them they have every format of file, and every way in which a file takes its place.
import { startHost, type Debian, type Host } from "./host.js";
import { TESTER } from "./sshd.js";

interface Variant {
  readonly what: string;
  /** What its administrator did. */
  readonly make?: string;
  /** How we log in, where it is not as root. */
  readonly login?: object;
}

export const variants: readonly Variant[] = [
  { what: "as the distribution has it" },
  {
    // No file is included, so we add a line; milters are to be skipped, so we write a table; two files have two names.
    what: "made by hand",
    make: `cd /etc/dovecot; { sed -n '/^dovecot_.*_version/p' dovecot.conf; doveconf -nP | grep -v '^dovecot_.*_version'; } >/tmp/one
      cat /tmp/one >dovecot.conf; rm /tmp/one; ln dovecot.conf dovecot.conf.linked
      cd /etc/postfix; postconf -e smtpd_milters=inet:127.0.0.1:9 milter_default_action=accept; ln main.cf main.cf.linked`,
  },
  {
    what: "with main.cf in another directory, and a login that needs sudo",
    make: `mkdir /etc/mail; mv /etc/postfix/main.cf /etc/mail; ln -s ../mail/main.cf /etc/postfix/main.cf
      useradd --create-home --shell /bin/sh ${TESTER}; cp -r /root/.ssh /home/${TESTER}; chown -R ${TESTER} /home/${TESTER}/.ssh
      printf '%s\\n' 'Defaults env_keep += SSH_CLIENT' '${TESTER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/${TESTER}`,
    login: { user: TESTER, become: true },
  },
];

/** @param n the n-th of the variants, which come round again */
export async function startVariant(debian: Debian, n: number): Promise<Host> {
  const { make = ":", login } = variants[n % variants.length] ?? {};
  const host = await startHost(debian);
  // A file of this very second would make each of Postfix's programs wait.
  await host.run(
    `set -e; ${make}\ntouch -d '1 minute ago' $(realpath /etc/postfix/*.cf); doveadm reload; postfix reload 2>/dev/null`,
  );
  host.connection = { ...host.connection, ...login };
  return host;
}
