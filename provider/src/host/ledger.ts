// The ledger: what the host remembers of us. It tells which resource contributed what, and what was there before, so that
// every change can be taken back exactly, two stacks do not undo each other, and a crash can be repaired.
import { dirname } from "node:path/posix";
import type { Edit, Format } from "./formats.js";
import { HostError } from "./errors.js";

/** One resource's share. The ledger holds no secret: lines of secret files are named by their key alone. */
export interface Contribution {
  /** The resource's class, "MasterUser". */
  readonly kind: string;
  readonly edits: readonly Edit[];
}

/** A file that we changed. Its bytes before us are beside the ledger (`before/`), if it existed. */
export interface TouchedFile {
  readonly format: Format;
  /** sha256 of the bytes before us; null where the file was not there. */
  readonly before: string | null;
  /** sha256 of the bytes we wrote: the same now means that nobody else touched it. */
  readonly after: string;
  /** What was really done, as the format needs it to take it out of a text that others have edited since. */
  readonly applied: unknown;
  /** The same by whole lines (linesBack), for the host's own `undo`. Not of secret files. */
  readonly lines?: readonly string[];
}

export interface Ledger {
  readonly version: 1;
  /** By owner: organization/project/stack/type/name of the resource. */
  readonly contributions: Readonly<Record<string, Contribution>>;
  /** By path. */
  readonly files: Readonly<Record<string, TouchedFile>>;
}

export const emptyLedger: Ledger = { version: 1, contributions: {}, files: {} };

/** Nothing of ours is on the host. */
export function isEmpty({ contributions, files }: Ledger): boolean {
  return Object.keys(contributions).length === 0 && Object.keys(files).length === 0;
}

/** `file`: its path. @throws HostError */
export function parseLedger(host: string, text: string | undefined, file: string): Ledger {
  if (text === undefined) return emptyLedger;
  let ledger: unknown;
  try {
    ledger = JSON.parse(Buffer.from(text, "latin1").toString("utf8"));
  } catch {
    ledger = undefined;
  }
  if (isLedger(ledger)) return ledger;
  throw unreadable(host, file, isRecord(ledger) ? ledger["version"] : undefined);
}

/** A ledger that is not one of ours: nothing is planned from it. */
export function unreadable(host: string, file: string, version?: unknown): HostError {
  return new HostError(host, `the ledger ${file} cannot be read`, {
    state: "Nothing was changed.",
    cure:
      typeof version === "number" && version > 1
        ? `It was written by a newer pulumi-dovecot-postfix (format ${version}; this release knows 1): npm install pulumi-dovecot-postfix@latest.`
        : withoutLedger(dirname(file)),
  });
}

/** There are files of before us, so there must have been a ledger. */
export function missing(host: string, file: string): HostError {
  return new HostError(host, `the ledger ${file} is missing, but files of before are in ${dirname(file)}/before`, {
    state: "Nothing was changed.",
    cure: withoutLedger(dirname(file)),
  });
}

const withoutLedger = (directory: string) =>
  `Restore it from a backup of /var/lib. Without one, take ours out by hand (${dirname(directory)}/undo names it; the files as they ` +
  `were before are in ${directory}/before), then move ${directory} away: what is in the files then counts as the administrator's own.`;

/** What is wanted of a file of each format, without what is optional. */
const shapes: Readonly<Record<Format, readonly (readonly string[])[]>> = {
  "main.cf": [
    ["parameter", "add"],
    ["parameter", "set"],
  ],
  "master.cf": [["service", "parameter", "add"]],
  "dovecot-include": [["include"]],
  "dovecot-fragment": [["trust"], ["separator"], ["master"]],
  table: [["key"]],
  "secret-table": [["key"]],
};

function isLedger(value: unknown): value is Ledger {
  if (!isRecord(value) || value["version"] !== 1) return false;
  const { contributions, files } = value;
  return (
    isRecord(contributions) &&
    Object.values(contributions).every(isContribution) &&
    isRecord(files) &&
    Object.entries(files).every(([path, file]) => isPath(path) && isTouchedFile(file))
  );
}

function isContribution(value: unknown): value is Contribution {
  if (!isRecord(value) || typeof value["kind"] !== "string") return false;
  const { edits } = value;
  return Array.isArray(edits) && edits.every(isEdit);
}

function isEdit(value: unknown): value is Edit {
  if (!isRecord(value) || !isFormat(value["format"]) || !isPath(value["path"])) return false;
  const { format, edit } = value;
  return (
    isRecord(edit) &&
    shapes[format].some((names) => names.every((name) => Object.hasOwn(edit, name))) &&
    Object.entries(edit).every(([name, part]) => {
      if (name === "add") return Array.isArray(part) && part.every(isText);
      return name === "master" ? isRecord(part) && Object.values(part).every(isText) : isText(part);
    })
  );
}

function isTouchedFile(value: unknown): value is TouchedFile {
  if (!isRecord(value)) return false;
  const { format, before, after } = value;
  return isFormat(format) && (before === null || isText(before)) && isText(after);
}

const isText = (value: unknown): value is string => typeof value === "string";
const isPath = (value: unknown): value is string => isText(value) && value.startsWith("/");
const isFormat = (value: unknown): value is Format => isText(value) && Object.hasOwn(shapes, value);

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The ledger's text: readable, and the same for the same content. */
export function ledgerText(ledger: Ledger): string {
  const sorted = <T>(record: Readonly<Record<string, T>>) =>
    Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
  const text = { ...ledger, contributions: sorted(ledger.contributions), files: sorted(ledger.files) };
  return Buffer.from(`${JSON.stringify(text, null, 2)}\n`, "utf8").toString("latin1");
}
