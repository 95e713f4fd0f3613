// What a snapshot of a host's files looks at, and what it leaves out because the daemons change it by themselves.

export const watchedPaths: readonly string[] = ["/etc", "/var/lib", "/usr/local", "/root", "/run"];

/** Found by taking two snapshots around reloads, logins and deliveries. */
const exclusions: readonly { path: RegExp; why: string }[] = [
];

export function changesByItself(path: string, type: string): boolean {
  // Sockets and pipes come and go with the daemons.
  if (type === "s" || type === "p") return true;
  return exclusions.some((exclusion) => exclusion.path.test(path));
}
