// The processes of this machine, as /proc tells of them.
import { readdirSync, readFileSync } from "node:fs";

/** One text a process; latin1, one character a byte. */
export function ofAllProcesses(file: "cmdline" | "stat"): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return [readFileSync(`/proc/${name}/${file}`, "latin1")];
      } catch {
        return []; // It has ended.
      }
    });
}
