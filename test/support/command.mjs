// Runs one command for the set-up. Only Node itself: this runs in a fresh clone, before `npm ci`.
import { spawn } from "node:child_process";

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGTERM")));

/** Resolves to the command's stdout; fails with the last lines it printed. `onLine` sees every line as it comes. */
export function run(command, args, { cwd, env, onLine } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    running.add(child);
    let stdout = "";
    let all = "";
    const take = (text) => {
      all += text;
      if (onLine) text.split("\n").filter(Boolean).forEach(onLine);
    };
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
      take(text);
    });
    child.stderr.setEncoding("utf8").on("data", take);
    child.on("error", (error) => {
      running.delete(child);
      reject(new Error(`${command}: ${error.message}`));
    });
    child.on("close", (code, signal) => {
      running.delete(child);
      if (code === 0) return resolve(stdout);
      const tail = all.trim().split("\n").slice(-20).join("\n  ");
      reject(new Error(`${command} ${args[0] ?? ""} ended with ${signal ?? `exit code ${code}`}\n  ${tail}`));
    });
  });
}
