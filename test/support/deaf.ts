// A host that can be made deaf: its new settings are good, and yet nothing seems to answer while they are in force. So a
// commit's proof fails, and what was before it answers again.
import type { Host } from "./host.js";

/** The programs with which a commit asks, and the files that each one's daemon reads. */
const asking: Readonly<Record<string, string>> = {
  "posttls-finger": "/etc/postfix/*.cf",
  openssl: "/etc/dovecot/*.conf /etc/dovecot/conf.d/*.conf",
};
const before = (program: string) => `/opt/fault/deaf.${program}`;

/** Puts the programs' stand-ins on the host, where they stay. */
export async function deafenable(host: Host): Promise<void> {
  for (const [program, files] of Object.entries(asking)) {
    const deaf = `[ ! -e ${before(program)} ] || cat ${files} 2>/dev/null | cmp -s - ${before(program)}`;
    await host.write(
      `/usr/local/bin/${program}`,
      `#!/bin/sh\n${deaf} || exit 1\nexec /usr/*bin/${program} "$@"\n`,
      "755",
    );
  }
}

/** From here on nothing seems to answer but with the files that are there now. */
export const deafen = (host: Host) =>
  host.run(
    Object.entries(asking)
      .map(([program, files]) => `cat ${files} >${before(program)}`)
      .join("\n"),
  );

export const hear = (host: Host) => host.run(`rm -f ${before("*")}`);
