// A process of its own that runs one operation on a host, to be killed: the "provider" of the cuts.
import type { Connection, Host } from "./host.js";
import { createAll, removeAll, updateAll } from "./cuts.js";

const [operation, connection = ""] = process.argv.slice(2);
const host: Pick<Host, "connection"> = { connection: JSON.parse(connection) as Connection };

async function main(): Promise<void> {
  // For an update or a remove: created before by another process, so all is so already and nothing is written.
  const all = await createAll(host);
  if (operation === "update") await updateAll(all);
  if (operation === "remove") await removeAll(all);
}

void main();
