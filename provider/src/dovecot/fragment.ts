// The one file of ours that holds all our resources want of Dovecot.
import type { Dialect } from "./dialect.js";
import { parseNetwork } from "./network.js";

export type FragmentEdit =
  /** Trust the client addresses that this network, such as "203.0.113.10/32", forwards. */
  | { trust: string }
  /** auth_master_user_separator, one character. */
  | { separator: string }
  /** A master passdb; its password files are `file` + "." + the protocol ("imap", "sieve"). */
  | { master: MasterPassdb };

export interface MasterPassdb {
  /** continue: the user's own passdb must know the user too. return-ok: where that cannot look a user up (PAM). */
  resultSuccess: "continue" | "return-ok";
  file: string;
}

/** Two edits that cannot stand together in one configuration. */
export interface FragmentConflict {
  setting: "separator" | "result_success" | "password file";
  values: readonly string[];
}

export const fragmentHeader: readonly string[] = [
  "# Settings of pulumi-dovecot-postfix. They are changed by `pulumi up` and removed by `pulumi destroy`;",
  "# whose they are is recorded in /var/lib/pulumi-dovecot-postfix.",
];

/** The first contradiction among edits of several resources. */
export function fragmentConflict(edits: readonly FragmentEdit[]): FragmentConflict | undefined {
  const masters = edits.flatMap((edit) => ("master" in edit ? [edit.master] : []));
  const wanted: FragmentConflict[] = [
    { setting: "separator", values: edits.flatMap((edit) => ("separator" in edit ? [edit.separator] : [])) },
    { setting: "result_success", values: masters.map((master) => master.resultSuccess) },
    { setting: "password file", values: masters.map((master) => master.file) },
  ];
  return wanted
    .map(({ setting, values }) => ({ setting, values: [...new Set(values)].sort() }))
    .find(({ values }) => values.length > 1);
}

/**
 * The text of the fragment. Equal edits count once; their order does not matter.
 *
 * @throws RangeError for edits that contradict each other, or hold what would not stay one value in Dovecot's language.
 */
export function renderFragment(edits: readonly FragmentEdit[], dialect: Dialect): string {
  const conflict = fragmentConflict(edits);
  if (conflict) throw new RangeError(`two values of ${conflict.setting}: ${conflict.values.join(", ")}`);
  if (edits.length === 0) return "";
  return [...fragmentHeader, ...chunksOf(edits, dialect).flat()].map((line) => `${line}\n`).join("");
}

/**
 * Takes out of a fragment what renderFragment put in for these edits; what others have written there stays, byte for byte.
 * A block of ours that was changed goes with our lines only, a passdb of ours goes whole: without its file it would stop
 * every login.
 */
export function stripFragment(text: string, edits: readonly FragmentEdit[], dialect: Dialect): string {
  let lines = text.split(/(?<=\n)/);
  for (const line of fragmentHeader) lines = withoutRun(lines, [line]) ?? lines;
  for (const chunk of chunksOf(edits, dialect)) {
    lines = withoutRun(lines, chunk) ?? withoutChanged(lines, chunk);
  }
  return lines.every((line) => line.trim() === "") ? "" : lines.join("");
}

type Chunk = readonly string[];

function chunksOf(edits: readonly FragmentEdit[], dialect: Dialect): Chunk[] {
  const chunks = edits.map((edit) => chunkOf(edit, dialect));
  const unique = new Map(chunks.map((chunk) => [chunk.join("\n"), chunk]));
  return [...unique].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, chunk]) => chunk);
}

function chunkOf(edit: FragmentEdit, dialect: Dialect): Chunk {
  if ("trust" in edit) {
    if (!parseNetwork(edit.trust)) throw new RangeError(`not a network: ${JSON.stringify(edit.trust)}`);
    return [`remote ${edit.trust} {`, `  login_trusted_networks = ${edit.trust}`, "}"];
  }
  if ("separator" in edit) {
    // These mean something else at the beginning of a value: quotes, "#", "$", "<".
    if (!/^[!%&*+,/:;=?^|~]$/.test(edit.separator)) {
      throw new RangeError(`not a separator: ${JSON.stringify(edit.separator)}`);
    }
    return [`auth_master_user_separator = ${edit.separator}`];
  }
  const { file, resultSuccess } = edit.master;
  if (!/^(\/[\w.-]+)+$/.test(file)) throw new RangeError(`not a plain path: ${JSON.stringify(file)}`);
  return [...passdb[dialect](file), `  result_success = ${resultSuccess}`, "}"];
}

// In 2.4 passdbs of one name merge, also across files, and a master that merges into the host's own stops every login.
const passdb: Record<Dialect, (file: string) => Chunk> = {
  "2.3": (file) => ["passdb {", "  driver = passwd-file", "  master = yes", `  args = username_format=%u ${file}.%s`],
  "2.4": (file) => [
    "passdb pulumi_dovecot_postfix {",
    "  driver = passwd-file",
    "  master = yes",
    `  passwd_file_path = ${file}.%{protocol}`,
  ],
};

/** Without the first run of lines that reads as the chunk; undefined: there is none. */
function withoutRun(lines: readonly string[], chunk: Chunk): string[] | undefined {
  const start = lines.findIndex((_, at) => chunk.every((line, i) => isLine(lines[at + i], line)));
  return start < 0 ? undefined : [...lines.slice(0, start), ...lines.slice(start + chunk.length)];
}

function withoutChanged(lines: readonly string[], chunk: Chunk): string[] {
  // A line that is another one now is not ours any more.
  if (chunk.length === 1) return [...lines];
  const [head = "", ...body] = chunk.slice(0, -1);
  const isPassdb = head.startsWith("passdb");
  // What tells our block from another of the same head: the line with our file.
  const mark = isPassdb ? body.findLast((line) => line.includes("/")) : undefined;
  for (let start = 0; start < lines.length; start++) {
    if (!isLine(lines[start], head)) continue;
    const length = lines.slice(start).findIndex((line) => line.trim() === "}") + 1;
    if (length === 0) continue;
    const block = lines.slice(start, start + length);
    if (isPassdb && !block.some((line) => line.trim() === mark?.trim())) continue;
    const inner = block.slice(1, -1).filter((line) => !body.some((our) => line.trim() === our.trim()));
    const isOursAlone = isPassdb || inner.every((line) => line.trim() === "");
    const kept = isOursAlone ? [] : [...block.slice(0, 1), ...inner, ...block.slice(-1)];
    return [...lines.slice(0, start), ...kept, ...lines.slice(start + length)];
  }
  return [...lines];
}

function isLine(line: string | undefined, wanted: string): boolean {
  return line?.trimEnd() === wanted;
}
