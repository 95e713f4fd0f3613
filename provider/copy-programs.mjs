// What the package carries beside the compiled code: the programs that run on a mail host (.sh), beside the code that sends
// them, and the repository's README and LICENSE.
import { copyFileSync, cpSync } from "node:fs";

const root = new URL(".", import.meta.url);
cpSync(new URL("src/", root), new URL("dist/", root), {
  recursive: true,
  filter: (path) => !/\.[^/]+$/.test(path) || path.endsWith(".sh"),
});
for (const name of ["README.md", "LICENSE"]) copyFileSync(new URL(`../${name}`, root), new URL(name, root));
