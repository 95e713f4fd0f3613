// Where a fragment of ours goes so that Dovecot really reads it, as late as possible.
import { dirname, join } from "node:path/posix";
import { alternatives, globMatches, hasWildcard } from "./glob.js";
import type { Include, Tree } from "./tree.js";

export type Slot =
  /** An include that stands there already reads a file of this path. */
  | { kind: "glob"; path: string }
  /** Nothing would read it: `file` (the main one) needs a line that includes `path`. */
  | { kind: "include-line"; file: string; path: string };

/**
 * The place for a fragment named `name` (such as "99-zz-ours.conf"). `directories`: those known to exist beside the ones
 * that files were read from, for an `!include_try` whose directory is still empty.
 */
export function fragmentSlot(tree: Tree, name: string, directories: ReadonlySet<string> = new Set()): Slot {
  const own = join(dirname(tree.root), name);
  // Packages own what is under /usr: it is no place for a host's settings, and an upgrade may empty it.
  const paths = tree.includes
    .filter((include) => include.blocks.length === 0 && !include.marked)
    .flatMap((include) => placesIn(include, name, directories))
    .filter((path) => !path.startsWith("/usr/"));
  const path = paths.at(-1);
  return path === undefined ? { kind: "include-line", file: tree.root, path: own } : { kind: "glob", path };
}

function placesIn(include: Include, name: string, directories: ReadonlySet<string>): string[] {
  return alternatives(include.pattern)
    .map((pattern) => ({ pattern, directory: dirname(pattern) }))
    .filter(({ directory }) => !hasWildcard(directory))
    .filter(({ directory }) => directories.has(directory) || include.files.some((file) => dirname(file) === directory))
    .map(({ pattern, directory }) => ({ pattern, path: join(directory, name) }))
    .filter(({ pattern, path }) => globMatches(pattern, [path]).length > 0)
    .map(({ path }) => path);
}
