// A snapshot: everything needed to decide about a host, read in one round trip (observe.sh).
import { createHash } from "node:crypto";
import { HostError } from "./errors.js";
import { emptyLedger, missing, parseLedger, type Ledger } from "./ledger.js";
import { lines, surroundingsOf, type Surroundings } from "./surroundings.js";
import type { Frame } from "./wire.js";

export type Daemon = "dovecot" | "postfix";
export const daemons: readonly Daemon[] = ["dovecot", "postfix"];

/** A file as it is on the host; `text` has one char per byte (latin1), so that every byte survives. */
export interface HostFile {
  readonly path: string;
  /** Where symlinks lead; this is what a commit replaces. */
  readonly real: string;
  readonly mode: string;
  readonly owner: string;
  readonly text: string;
  /** Of its bytes, where the observer has hidden secrets in the text. */
  readonly sha256?: string;
}

/** What a command printed and how it ended. */
export interface Answer {
  readonly text: string;
  readonly status: number;
}

export interface DovecotFacts {
  /** As `dovecot --version` prints it, "2.3.19.1 (9b53102964)". */
  readonly version: string;
  readonly configFile: string;
  /** `doveconf -n`: the settings that differ from the defaults. */
  readonly settings: Answer;
  /** By path: what a file of SQL or LDAP settings (2.3) says about how passwords are checked. */
  readonly lookups: Readonly<Record<string, string>>;
  readonly running: boolean;
  /** Sessions by service: { imap: 14 }. */
  readonly sessions: Readonly<Record<string, number>>;
}

export interface PostfixFacts {
  readonly version: string;
  /** As written, `$name` kept (postconf -h). */
  readonly raw: Readonly<Record<string, string>>;
  /** With `$name` expanded (postconf -xh). */
  readonly effective: Readonly<Record<string, string>>;
  readonly mainCf: string;
  readonly masterCf: string;
  readonly running: boolean;
  /** Tables of transport_maps that hold a `*` entry. */
  readonly wildcardTransports: readonly string[];
}

export interface Snapshot {
  readonly host: string;
  readonly root: boolean;
  /** Seen with a key that may only look: secrets are hidden, and nothing else can be done. */
  readonly observer?: boolean;
  readonly missingTools: readonly string[];
  readonly addresses: readonly string[];
  /** What did not end in time, in words: "doveconf". */
  readonly hung: readonly string[];
  /** By marker id: what was found. */
  readonly markers: Readonly<Record<string, string>>;
  readonly files: ReadonlyMap<string, HostFile>;
  readonly values: Readonly<Record<string, Answer>>;
  readonly dovecot?: DovecotFacts;
  readonly postfix?: PostfixFacts;
  /** Postfix is installed, but postconf cannot read its configuration: what it says. */
  readonly unread?: string;
  /** Where asked for: logins in passwd-files with other characters than letters, digits and . _ @ -; at most 1000. */
  readonly oddLogins?: readonly string[];
  /** Asked for by a preview only. */
  readonly surroundings?: Surroundings;
  readonly ledgers: Readonly<Record<Daemon, Ledger>>;
  /** What was in force before changes that could not be undone wholly, because somebody had edited a file meanwhile. */
  readonly ledgersBefore: Readonly<Record<Daemon, readonly Ledger[]>>;
  /** Daemons whose last commit was killed: its journal stands, or something else of it. */
  readonly interrupted: readonly Daemon[];
  /** The first line of the ledger's README, which tells which `undo` program lies beside it. */
  readonly readme?: string;
  /** Daemons for which the ledger's directory exists. */
  readonly kept: readonly Daemon[];
}

export const stateDirectory = "/var/lib/pulumi-dovecot-postfix";

/** Where the ledger keeps the bytes that a file had before us. */
export function beforePath(daemon: Daemon, path: string): string {
  return `${stateDirectory}/${daemon}/before/${encodeURIComponent(path)}`;
}

export function ledgerPath(daemon: Daemon): string {
  return `${stateDirectory}/${daemon}/ledger.json`;
}

/** Which of the paths are ledgers of before. */
export function ledgersOfBefore(paths: Iterable<string>, daemon: Daemon): string[] {
  return [...paths].filter((path) => path.startsWith(`${stateDirectory}/${daemon}/ledger.before.`));
}

/** The current one first. */
export function ledgersOf(snapshot: Snapshot, daemon: Daemon): Ledger[] {
  return [snapshot.ledgers[daemon], ...snapshot.ledgersBefore[daemon]];
}

export function sha256(latin1: string): string {
  return createHash("sha256").update(Buffer.from(latin1, "latin1")).digest("hex");
}

/** Of the bytes on the host, whatever is hidden in the text. */
export function digestOf(file: HostFile): string {
  return file.sha256 ?? sha256(file.text);
}

export function readSnapshot(host: string, frames: readonly Frame[]): Snapshot {
  const files = new Map<string, HostFile>();
  // Maps: a name may be "__proto__".
  const valueMap = new Map<string, Answer>();
  const markerMap = new Map<string, string>();
  const answers = new Map<string, Answer>();
  const interrupted: Daemon[] = [];
  const kept: Daemon[] = [];
  const hung: string[] = [];
  const wildcardTransports: string[] = [];
  const lookupMap = new Map<string, string>();
  const answered = frames.flatMap(({ name, words }) => (name === "answered" ? words : []));
  for (const side of ["host", ...daemons, "values"]) {
    if (!answered.includes(side)) throw new HostError(host, `the part of the observation that asks ${side} was ended`);
  }
  let root = false;
  let observer = false;
  let readme: string | undefined;
  let missingTools: string[] = [];
  let addresses: string[] = [];

  frames.forEach(({ name, words, body }, index) => {
    const ended = frames[index + 1];
    const answer = { text: body.trim(), status: ended?.name === "status" ? Number(ended.words[0]) : 1 };
    // timeout's own 124, or 128 + SIGKILL.
    if (ended?.name === "status" && [124, 128 + 9].includes(answer.status)) hung.push([name, ...words].join(" "));
    switch (name) {
      case "host":
        root = words[0] === "0";
        missingTools = words.slice(1).filter((word) => word !== "");
        break;
      case "observer":
        observer = true;
        break;
      case "readme":
        readme = words.join(" ");
        break;
      case "addresses":
        addresses = body.split(/\s+/).filter((word) => word !== "");
        break;
      case "marker":
        markerMap.set(words[0] ?? "", words.slice(1).join(" "));
        break;
      case "state": {
        const daemon = words[0] === "dovecot" ? "dovecot" : "postfix";
        kept.push(daemon);
        if (words[1] === "interrupted") interrupted.push(daemon);
        break;
      }
      case "files":
        for (const file of filesOf(host, Number(words[0]), body)) files.set(file.path, file);
        break;
      case "masked": {
        const file = maskedFile(words, body);
        files.set(file.path, file);
        break;
      }
      case "lookups":
        lookupMap.set(words.join(" "), body);
        break;
      case "wildcard":
        wildcardTransports.push(words.join(" "));
        break;
      case "value":
        valueMap.set(words[0] ?? "", answer);
        break;
      default:
        answers.set(name, answer);
    }
  });
  const named = Object.fromEntries(answers);
  const values = Object.fromEntries(valueMap);
  const markers = Object.fromEntries(markerMap);
  refusePartial(host, frames, named);

  const dovecot = dovecotFacts(named, Object.fromEntries(lookupMap));
  const postfix = postfixFacts(named, files, wildcardTransports);
  const surroundings = surroundingsOf(named);
  const ledger = (daemon: Daemon, file: string) => {
    try {
      return parseLedger(host, files.get(file)?.text, file);
    } catch (error) {
      // Of a change that was cut off it may be half written: the journal has the whole one.
      if (interrupted.includes(daemon)) return emptyLedger;
      throw error;
    }
  };
  for (const daemon of kept) {
    const has = (start: string) => [...files.keys()].some((path) => path.startsWith(start));
    const deleted = has(beforePath(daemon, "")) && !has(`${stateDirectory}/${daemon}/ledger.`);
    if (deleted && !interrupted.includes(daemon)) throw missing(host, ledgerPath(daemon));
  }
  const both = <T>(of: (daemon: Daemon) => T) => ({ dovecot: of("dovecot"), postfix: of("postfix") });
  return {
    ...{ host, root, observer, hung, missingTools, addresses, markers, files, values, interrupted, kept },
    ...(readme !== undefined && { readme }),
    ...(dovecot && { dovecot }),
    ...(postfix ? { postfix } : named["postconf"] && { unread: named["postconf"].text }),
    ...(named["logins"] && { oddLogins: lines(named["logins"]) }),
    ...(surroundings && { surroundings }),
    ledgers: both((daemon) => ledger(daemon, ledgerPath(daemon))),
    ledgersBefore: both((daemon) => ledgersOfBefore(files.keys(), daemon).map((file) => ledger(daemon, file))),
  };
}

/** Somebody wrote a file between the two questions what it is and what is in it: ask again. */
export class FilesChanged extends Error {}

/** What is always told where the one before it is: a plan must not be made from what is missing. */
function refusePartial(host: string, frames: readonly Frame[], named: Readonly<Record<string, Answer>>): void {
  const expected = [
    ...["host", "addresses"],
    ...(named["dovecot"]?.status === 0 ? ["doveconf", "sessions"] : []),
    ...(named["postconf"] ? ["expanded", "running"] : []),
  ];
  const missing = expected.filter((name) => !frames.some((frame) => frame.name === name));
  if (missing.length === 0) return;
  throw new HostError(host, `the observation lacks ${missing.join(", ")}`, { state: "Nothing was changed." });
}

/** No host has as many: a number that is a lie must not become as many objects. */
const mostFiles = 10_000;

/** `count` lines "mode uid gid size", as many paths, as many real paths, then the bytes of all. */
function filesOf(host: string, count: number, body: string): HostFile[] {
  if (!Number.isInteger(count) || count < 1 || count > mostFiles) {
    throw new HostError(host, "the observation does not tell how many files it holds", {
      state: "Nothing was changed.",
    });
  }
  const lines = body.split("\n", 3 * count);
  let at = lines.join("\n").length + 1;
  const found = Array.from({ length: count }, (_, n) => {
    const [, mode = "", uid = "", gid = "", size = ""] = /^(\d+) (\d+) (\d+) (\d+)$/.exec(lines[n] ?? "") ?? [];
    const text = body.slice(at, (at += Number(size)));
    return { path: lines[count + n] ?? "", real: lines[2 * count + n] ?? "", mode, owner: `${uid}:${gid}`, text };
  });
  const whole = found.every(({ path, real, mode }) => mode !== "" && path.startsWith("/") && real.startsWith("/"));
  if (!whole || at !== body.length) throw new FilesChanged();
  return found;
}

/** Words: mode, uid, gid and the digest of its bytes; then a line with its path, one with its real path, and its text. */
function maskedFile([mode = "", uid = "", gid = "", digest = ""]: readonly string[], body: string): HostFile {
  const [path = "", real = ""] = body.split("\n", 2);
  if (!path.startsWith("/") || !real.startsWith("/") || digest.length !== 64) throw new FilesChanged();
  return { path, real, mode, owner: `${uid}:${gid}`, text: body.slice(path.length + real.length + 2), sha256: digest };
}

function dovecotFacts(named: Record<string, Answer>, lookups: Record<string, string>): DovecotFacts | undefined {
  if (named["dovecot"]?.status !== 0) return undefined;
  const settings = named["doveconf"] ?? { text: "", status: 1 };
  const sessions = new Map<string, number>();
  for (const line of named["sessions"]?.text.split("\n").slice(1) ?? []) {
    const service = line.split(/\s+/)[1];
    if (service) sessions.set(service, (sessions.get(service) ?? 0) + 1);
  }
  return {
    version: named["dovecot"].text,
    configFile: /^# [^:]*: (\S+)/.exec(settings.text)?.[1] ?? "/etc/dovecot/dovecot.conf",
    settings,
    lookups,
    running: named["sessions"]?.status === 0,
    sessions: Object.fromEntries(sessions),
  };
}

function postfixFacts(
  named: Record<string, Answer>,
  files: ReadonlyMap<string, HostFile>,
  wildcardTransports: readonly string[],
): PostfixFacts | undefined {
  const raw = assignments(named["postconf"]?.text ?? "");
  const version = raw["mail_version"];
  if (version === undefined) return undefined;
  const directory = raw["config_directory"] ?? "/etc/postfix";
  return {
    ...{ version, raw, wildcardTransports },
    effective: assignments(named["expanded"]?.text ?? ""),
    mainCf: files.get(`${directory}/main.cf`)?.path ?? "",
    masterCf: files.get(`${directory}/master.cf`)?.path ?? "",
    running: named["running"]?.status === 0,
  };
}

/** `name = value` lines, as postconf prints them. */
function assignments(text: string): Record<string, string> {
  const lines = text.split("\n").map((line) => /^([A-Za-z0-9_]+) = ?(.*)$/.exec(line));
  return Object.fromEntries(lines.flatMap((match) => (match ? [[match[1] ?? "", match[2] ?? ""]] : [])));
}
