// A login as administrators really have it: not root, with the key of the tests and a password that sudo may ask for.
import type { Host } from "./host.js";

export function addAdministrator(host: Host, password: string): Promise<string> {
  return host.run(`useradd --create-home --shell /bin/bash admin && echo 'admin:${password}' | chpasswd
    install -d -o admin -g admin -m 700 /home/admin/.ssh
    install -o admin -g admin -m 600 /root/.ssh/authorized_keys /home/admin/.ssh/authorized_keys`);
}

/** What sudo lets admin do: a line of sudoers(5). */
export function sudoers(host: Host, line: string): Promise<string> {
  return host.run(`echo '${line}' >/etc/sudoers.d/admin && chmod 440 /etc/sudoers.d/admin`);
}
