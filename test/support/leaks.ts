// Where a host, and this machine, hold texts that nobody but their owner may see.
import type { Host } from "./host.js";
import { ofAllProcesses } from "./processes.js";
import { tally } from "./tally.js";

/** What looks is not looked at. */
const watch = "/run/watch";

/** A salted hash, which the host itself may have made, so that no mark can foretell it: the signs of crypt(3). */
const signs = ["$6$", "$5$", "$2y$", "$argon2"];

const sampler = String.raw`
cd ${watch}
while [ ! -e enough ]; do
  cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | grep -aF -f marks >>found
  echo >>rounds
  sleep 0.1
done
touch ended`;

export interface Watch {
  /**
   * What was found: in the arguments and environment of the host's processes, in the arguments of this machine's. `made`:
   * marks that nobody knew before, for the latter.
   */
  stop(made?: readonly string[]): Promise<{ host: string[]; here: string[]; rounds: { host: number; here: number } }>;
}

/** Looks at all processes, again and again, for the marks, and on the host for any salted hash. */
export async function watchProcesses(host: Host, marks: readonly string[]): Promise<Watch> {
  await host.run(`rm -rf ${watch}; mkdir -m 700 ${watch}; touch ${watch}/found ${watch}/rounds`);
  await host.write(`${watch}/marks`, `${[...marks, ...signs].join("\n")}\n`);
  await host.write(`${watch}/sampler`, sampler);
  await host.run(`setsid sh ${watch}/sampler </dev/null >/dev/null 2>&1 &`);
  const seen = new Set<string>();
  let rounds = 0;
  const timer = setInterval(() => {
    rounds++;
    for (const text of ofAllProcesses("cmdline")) seen.add(text);
  }, 100).unref();
  return {
    stop: async (made = []) => {
      clearInterval(timer);
      const told = await host.run(
        `cd ${watch}; touch enough; until [ -e ended ]; do sleep 0.01; done; wc -l <rounds; sort -u found; rm -r ${watch}`,
      );
      const [there, ...found] = told.split("\n").filter(Boolean);
      tally("looks at every process", rounds + Number(there));
      const here = [...seen].filter((text) => [...marks, ...made].some((mark) => text.includes(mark)));
      return { host: found, here, rounds: { host: Number(there), here: rounds } };
    },
  };
}

/** Every file of the host that was written since its start and holds a mark, sorted. */
export async function filesHolding(host: Host, marks: readonly string[]): Promise<string[]> {
  const wanted = `${watch}-wanted`;
  await host.write(wanted, `${marks.join("\n")}\n`, "600");
  const found = await host.run(
    `find / /run /dev/shm -xdev -path ${watch} -prune -o -type f -cnewer /opt/mailhost/started ! -path ${wanted} -print0 |
     xargs -0r grep -aFl -f ${wanted} 2>/dev/null | sort; rm ${wanted}`,
  );
  return found.split("\n").filter(Boolean);
}

/** The longer lines of a private key's text, each of which would give it away. */
export function linesOfKey(text: string): string[] {
  // The first tells the format only.
  return text
    .split("\n")
    .filter((line) => line.length > 20 && !line.startsWith("-----"))
    .slice(1);
}
