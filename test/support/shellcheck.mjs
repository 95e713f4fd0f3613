// The one program of `npm run lint` that is no npm package.
import { run } from "./command.mjs";

export async function ensureShellcheck(log) {
  const present = await run("shellcheck", ["--version"]).catch(() => "");
  if (present) return;
  log("apt-get install shellcheck");
  try {
    await apt("update");
    await apt("install", "--yes", "--no-install-recommends", "shellcheck");
  } catch (error) {
    throw new Error(`shellcheck is missing: install your system's package of that name\n  ${error.message}`);
  }
}

async function apt(...args) {
  const become = process.getuid() === 0 ? [] : ["sudo", "--non-interactive"];
  const [command, ...rest] = [...become, "apt-get", "-o", "DPkg::Lock::Timeout=300", ...args];
  await run(command, rest, { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
}
