// A process of its own that runs one operation on a host, to be killed: the "provider" of the cuts.
import type { Host } from "./host.js";
import { createAll, removeAll, updateAll } from "./cuts.js";

const [operation, connection = ""] = process.argv.slice(2);
const host = { connection: JSON.parse(connection) as unknown } as Host;

async function main(): Promise<void> {
  if (operation === "create") return void (await createAll(host));
  // Created before by another process: creating again finds all so already, and writes nothing.
  const all = await createAll(host);
  await (operation === "update" ? updateAll(all) : removeAll(all));
}

void main();
