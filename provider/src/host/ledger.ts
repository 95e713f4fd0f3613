// The ledger: what the host remembers of us. It tells which resource contributed what, and what was there before, so that
// every change can be taken back exactly, two stacks do not undo each other, and a crash can be repaired.
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

export function parseLedger(host: string, text: string | undefined, directory: string): Ledger {
  if (text === undefined) return emptyLedger;
  let ledger: unknown;
  try {
    ledger = JSON.parse(Buffer.from(text, "latin1").toString("utf8"));
  } catch {
    ledger = undefined;
  }
  const version = (ledger as { version?: unknown } | undefined)?.version;
  if (version === 1) return ledger as Ledger;
  throw new HostError(host, `the ledger ${directory}/ledger.json cannot be read`, {
    cure:
      typeof version === "number"
        ? `It was written by a newer pulumi-dovecot-postfix (format ${version}; this release knows 1): npm install pulumi-dovecot-postfix@latest.`
        : `Restore it from a backup, or move ${directory} away: then what is in the files now counts as the administrator's own.`,
  });
}

/** The ledger's text: readable, and the same for the same content. */
export function ledgerText(ledger: Ledger): string {
  const sorted = <T>(record: Readonly<Record<string, T>>) =>
    Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
  const text = { ...ledger, contributions: sorted(ledger.contributions), files: sorted(ledger.files) };
  return Buffer.from(`${JSON.stringify(text, null, 2)}\n`, "utf8").toString("latin1");
}
