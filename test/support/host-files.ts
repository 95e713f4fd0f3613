// What a snapshot of a host's files looks at, and what it leaves out because the daemons change it by themselves.

export const watchedPaths: readonly string[] = ["/etc", "/var/lib", "/usr/local", "/root", "/run"];

/** Found by taking two snapshots around reloads, logins and deliveries. */
const exclusions: readonly { path: RegExp; why: string }[] = [
  { path: /^\/run\/([^/]+\/)?[^/]+\.pid$/, why: "the number of a process" },
  { path: /^\/run\/motd\.dynamic(\.new)?$/, why: "written by sshd's PAM session at a login" },
  { path: /^\/run\/dovecot\/auth-token-secret\.dat$/, why: "made by auth at the first login after a start" },
  { path: /^\/run\/dovecot\/dovecot\.conf\.binary(\..+)?$/, why: "2.4: cache of the parsed configuration" },
  { path: /^\/var\/lib\/dovecot\/instances(\.lock)?$/, why: "when Dovecot was started last" },
  { path: /^\/var\/lib\/postfix\/master\.lock$/, why: "the number of a process" },
  { path: /^\/var\/lib\/postfix\/prng_exch$/, why: "tlsmgr's random seed" },
  { path: /^\/var\/lib\/postfix\/smtpd?_scache\.db$/, why: "TLS sessions" },
];

export function changesByItself(path: string, type: string): boolean {
  // Sockets and pipes come and go with the daemons.
  if (type === "s" || type === "p") return true;
  return exclusions.some((exclusion) => exclusion.path.test(path));
}
