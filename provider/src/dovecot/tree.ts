// Dovecot's configuration as Dovecot reads it: every setting with its file, its line and the blocks it stands in.
import { dirname, join } from "node:path/posix";
import type { Dialect } from "./dialect.js";
import { globMatches } from "./glob.js";
import { includeMarker } from "./include-line.js";
import { parseStatement, physicalLines, trimmed, withoutComment } from "./statement.js";

/** `remote 10.0.0.0/8 {` is kind "remote", name "10.0.0.0/8"; `passdb {` has the name "". */
export interface Block {
  kind: string;
  name: string;
}

interface Place {
  file: string;
  /** 1-based; of a continued line its first. */
  line: number;
  /** Position in the order of reading, over all files. */
  at: number;
  /** The blocks it stands in, outermost first. */
  blocks: readonly Block[];
}

export interface Setting extends Place {
  name: string;
  /** Without its quotes; `$name`, `%name` and `<file` as they are written. */
  value: string;
}

/** Where a block begins: an empty one has no settings, but its position counts in 2.4. */
export interface Opening extends Place {
  block: Block;
}

export interface Include extends Place {
  /** Absolute, with its wildcards. */
  pattern: string;
  /** `!include_try`: no file is no error. */
  optional: boolean;
  /** What it read, in order. */
  files: readonly string[];
  /** It is our own: our marker stands before it. */
  marked: boolean;
}

export interface Tree {
  root: string;
  settings: readonly Setting[];
  openings: readonly Opening[];
  includes: readonly Include[];
}

const mostReads = 10_000;

/**
 * Reads the configuration that begins in `root`. `files` holds all that could be included, by absolute path, one character
 * a byte (latin1). Text that Dovecot would refuse is passed over: whether it is valid is for doveconf to say.
 *
 * @throws RangeError where it includes without end
 */
export function readTree(root: string, files: ReadonlyMap<string, string>, dialect: Dialect): Tree {
  const settings: Setting[] = [];
  const openings: Opening[] = [];
  const includes: Include[] = [];
  const paths = [...files.keys()].sort();
  // Both are one for all files: a block or a continued line may begin in one file and end in another.
  let blocks: readonly Block[] = [];
  let begun: { text: string; line: number } | undefined;
  let at = 0;
  let reads = 0;

  const read = (file: string, reading: readonly string[]): void => {
    // Files that include each other twice, 32 deep, would be read until the end of time.
    if (++reads > mostReads) throw new RangeError(`${root} includes files more than ${mostReads} times`);
    let previous = "";
    physicalLines(files.get(file) ?? "").forEach((raw, index) => {
      const marked = previous.trimEnd() === includeMarker;
      previous = raw;
      const text = withoutComment(raw, dialect);
      if (text.endsWith("\\")) {
        const part = trimmed(text.slice(0, -1), dialect);
        if (part !== "") begun = { text: `${begun?.text ?? ""}${part} `, line: begun?.line ?? index + 1 };
        return;
      }
      // A comment within a continued line drops what was gathered, in both dialects.
      const whole = text === "" ? "" : `${begun?.text ?? ""}${text}`;
      const place = { file, line: begun?.line ?? index + 1, blocks };
      begun = undefined;
      const statement = parseStatement(whole, dialect);
      if (statement.kind === "setting") {
        settings.push({ name: statement.name, value: statement.value, ...place, at: at++ });
      } else if (statement.kind === "open") {
        openings.push({ block: statement.block, ...place, at: at++ });
        blocks = [...blocks, statement.block];
      } else if (statement.kind === "close") {
        blocks = blocks.slice(0, -1);
      } else if (statement.kind === "include") {
        const pattern = statement.pattern.startsWith("/") ? statement.pattern : join(dirname(file), statement.pattern);
        const found = globMatches(pattern, paths).filter((path) => !reading.includes(path));
        includes.push({ pattern, optional: statement.optional, files: found, marked, ...place, at: at++ });
        for (const path of found) if (reading.length < 32) read(path, [...reading, path]);
      }
    });
  };
  read(root, [root]);
  return { root, settings, openings, includes };
}

/** The tree as it would be without what stands in `file`. */
export function withoutFile(tree: Tree, file: string): Tree {
  const elsewhere = (place: Place): boolean => place.file !== file;
  return {
    root: tree.root,
    settings: tree.settings.filter(elsewhere),
    openings: tree.openings.filter(elsewhere),
    includes: tree.includes.filter(elsewhere),
  };
}

/** Blocks as a message shows them: "remote 10.0.0.0/8 { protocol imap }"; "" for the top level. */
export function blockText(blocks: readonly Block[]): string {
  const names = blocks.map((block) => (block.name === "" ? block.kind : `${block.kind} ${block.name}`));
  return names.reduceRight((inner, outer) => (inner === "" ? outer : `${outer} { ${inner} }`), "");
}
