// OpenSSH servers of a Debian: any number of them in one throwaway host, each with its own keys, configuration and log.
import { type Debian, type Host, startHost } from "./host.js";

export interface Sshd {
  /** Where it is reached. */
  readonly host: string;
  readonly port: number;
  /** The public key lines of its host keys, by type: ed25519, ecdsa, rsa; and what ssh-keygen -l prints of them. */
  readonly hostKeys: Readonly<Record<string, string>>;
  readonly fingerprints: Readonly<Record<string, string>>;
  readonly pid: number;
  /** What it has logged so far. */
  log(): Promise<string>;
  /** How often it has logged this. */
  count(text: string): Promise<number>;
}

/** Not root, with this password for login and sudo. */
export const TESTER = "tester";
export const TESTER_PASSWORD = "Right horse 9";

const MOST_SERVERS = 24;
const home = "/srv/sshd";

/** A host for servers. @param keys public keys that may log in to each of them, as any user */
export async function startSshHost(debian: Debian, keys: readonly string[]): Promise<Host> {
  const host = await startHost(debian, { ports: MOST_SERVERS });
  // A wrong password costs 2 s, which are nothing to us.
  await host.run(
    `useradd --create-home --shell /bin/sh ${TESTER} && echo '${TESTER}:${TESTER_PASSWORD}' | chpasswd
    sed -i 's/pam_unix.so/& nodelay/' /etc/pam.d/common-auth
    mkdir ${home} && cat >${home}/authorized_keys`,
    { input: keys.join("") },
  );
  return host;
}

/**
 * @param options.config lines of sshd_config(5), before the others: the first value counts
 * @param options.hostKeyTypes ed25519 alone where it is left out: an RSA key takes a second to make
 * @param options.port one of `host.ports`; the next that is free where it is left out
 */
export async function startSshd(
  host: Host,
  options: { config?: string; hostKeyTypes?: readonly string[]; port?: number } = {},
): Promise<Sshd> {
  const port = options.port ?? nextPort(host);
  const at = `${home}/${port}`;
  const types = options.hostKeyTypes ?? ["ed25519"];
  const config = [
    options.config ?? "",
    `Port ${port}`,
    ...types.map((type) => `HostKey ${at}/host_${type}`),
    `AuthorizedKeysFile ${home}/authorized_keys`,
    "StrictModes no",
    "UsePAM yes",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    `PidFile ${at}/pid`,
    "LogLevel VERBOSE",
    // Logins that fail on purpose would have the next ones turned away; new in OpenSSH 9.8.
    ...(host.debian === "bookworm" ? [] : ["PerSourcePenalties no"]),
    "",
  ];
  const printed = await host.run(
    `mkdir ${at} && cat >${at}/sshd_config
    for type in ${types.join(" ")}; do ssh-keygen -q -t $type -N '' -C '' -f ${at}/host_$type || exit 1; done
    /usr/sbin/sshd -E ${at}/log -f ${at}/sshd_config || { cat ${at}/log >&2; exit 1; }
    tries=0
    until [ -s ${at}/pid ] && grep -q 'Server listening' ${at}/log; do
      sleep 0.01; tries=$((tries + 1)); [ $tries -lt 500 ] || { cat ${at}/log >&2; exit 1; }
    done
    cat ${at}/pid
    for type in ${types.join(" ")}; do cat ${at}/host_$type.pub; ssh-keygen -lf ${at}/host_$type.pub; done`,
    { input: config.join("\n") },
  );
  const [pid = "", ...lines] = printed.trimEnd().split("\n");
  const log = (): Promise<string> => host.read(`${at}/log`);
  return {
    host: host.connection.host,
    port,
    pid: Number(pid),
    hostKeys: Object.fromEntries(types.map((type, n) => [type, lines[2 * n]?.trim() ?? ""])),
    fingerprints: Object.fromEntries(types.map((type, n) => [type, lines[2 * n + 1]?.split(" ")[1] ?? ""])),
    log,
    count: async (text) => (await log()).split(text).length - 1,
  };
}

/** A port of the host on which nothing listens. */
export function nextPort(host: Host): number {
  const port = host.ports.pop();
  if (port === undefined) throw new Error(`more than ${MOST_SERVERS} servers in one host`);
  return port;
}
