// What the tests need of the operating system: programs that are no npm packages.
import { access } from "node:fs/promises";
import { run } from "./command.mjs";

/** By program: the package that has it. sshd and sudo are for the tests of SSH connections, against servers of their own. */
const packages = new Map([
  ["/usr/bin/shellcheck", "shellcheck"],
  ["/usr/sbin/sshd", "openssh-server"],
  ["/usr/bin/ssh-agent", "openssh-client"],
  ["/usr/bin/sudo", "sudo"],
]);

export async function ensureTools(log) {
  const missing = [];
  for (const [program, name] of packages) await access(program).catch(() => missing.push(name));
  if (missing.length === 0) return;
  log(`apt-get install ${missing.join(" ")}`);
  try {
    await apt("update");
    await apt("install", "--yes", "--no-install-recommends", ...missing);
  } catch (error) {
    throw new Error(
      `the tests need ${missing.join(", ")}: install your system's packages of these names\n  ${error.message}`,
    );
  }
}

async function apt(...args) {
  const become = process.getuid() === 0 ? [] : ["sudo", "--non-interactive"];
  const [command, ...rest] = [...become, "apt-get", "-o", "DPkg::Lock::Timeout=300", ...args];
  await run(command, rest, { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
}
