// The one program of `npm run lint` that is no npm package.
import { run } from "./command.mjs";

export async function ensureShellcheck(log, env = process.env) {
  if (await works("shellcheck", ["--version"])) return;
  const install = ["apt-get", "install", "--yes", "--no-install-recommends", "shellcheck"];
  const become = process.getuid?.() === 0 ? [] : ["sudo", "--non-interactive"];
  const apt = async (...args) => {
    const [command, ...rest] = [...become, "apt-get", "-o", "DPkg::Lock::Timeout=300", ...args];
    await run(command, rest, { env: { ...env, DEBIAN_FRONTEND: "noninteractive" } });
  };
  log(install.join(" "));
  try {
    await apt("update");
    await apt(...install.slice(1));
  } catch (error) {
    throw new Error(
      `shellcheck is missing; install it (apt-get install shellcheck, brew install shellcheck)\n  ${error.message}`,
    );
  }

  async function works(command, args) {
    return run(command, args, { env }).then(
      () => true,
      () => false,
    );
  }
}
