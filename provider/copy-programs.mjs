// Puts the programs that run on a mail host (.sh) beside the compiled code that sends them.
import { cpSync } from "node:fs";

const root = new URL(".", import.meta.url);
cpSync(new URL("src/", root), new URL("dist/", root), {
  recursive: true,
  filter: (path) => !/\.[^/]+$/.test(path) || path.endsWith(".sh"),
});
