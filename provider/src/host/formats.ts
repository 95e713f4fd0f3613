// The kinds of file we write on a host, and how a change is put into each and taken out again. One entry a kind.
import { addInclude, stripInclude, type AppliedInclude } from "../dovecot/include-line.js";
import { renderFragment, stripFragment, type FragmentEdit } from "../dovecot/fragment.js";
import type { Dialect } from "../dovecot/dialect.js";
import { applyParameters, stripParameters, type AppliedParameter, type ParameterEdit } from "../postfix/parameters.js";
import { applyServices, stripServices, type AppliedService, type ServiceEdit } from "../postfix/services.js";

/** One line of a file that is ours alone. `line` is absent where it is secret and the file on the host has it. */
export interface LineEdit {
  /** What the line begins with: up to the first colon or blank. */
  readonly key: string;
  readonly line?: string;
}

interface EditOf {
  "main.cf": ParameterEdit;
  "master.cf": ServiceEdit;
  "dovecot-fragment": FragmentEdit;
  "dovecot-include": { readonly include: string };
  table: LineEdit;
  "secret-table": LineEdit;
}

export type Format = keyof EditOf;

/** What a resource wants of one file. Plain JSON: the ledger keeps it. */
export type Edit = { [F in Format]: { readonly format: F; readonly path: string; readonly edit: EditOf[F] } }[Format];

interface FormatEntry<E, A> {
  /** Whether the daemon must be reloaded to see a change. */
  readonly reload: boolean;
  /** Whether the file belongs to the administrator and must be there; else it is ours and comes and goes with us. */
  readonly shared: boolean;
  /** Mode of a file that we create; its group is the daemon's where it is secret. */
  readonly mode: string;
  /** `current`: the file's lines as they are on the host, for lines that only the host knows. */
  apply(
    base: string,
    edits: readonly E[],
    context: { dialect: Dialect; current: string },
  ): { text: string; applied: A };
  strip(text: string, applied: A): string;
  /** Whether a text has what the edit wants, whoever put it there. */
  holds(text: string, edit: E, dialect: Dialect): boolean;
}

type Table = { [F in Format]: FormatEntry<EditOf[F], unknown> };

/** Binds an entry's own type of "applied", which is opaque JSON to everyone else. */
function entry<E, A>(format: FormatEntry<E, A>): FormatEntry<E, unknown> {
  return { ...format, strip: (text, applied) => format.strip(text, applied as A) };
}

/** Files of lines, each with a key: up to the first blank in a lookup table, up to the first colon in a password file. */
const lines = (options: { secret: boolean; separator: RegExp }) => {
  const rows = (text: string) => text.split("\n").filter((line) => line !== "");
  const keyOf = (line: string) => line.split(options.separator, 1)[0] ?? "";
  const joined = (all: readonly string[]) => all.map((line) => `${line}\n`).join("");
  return entry<LineEdit, string[]>({
    reload: !options.secret,
    shared: false,
    mode: options.secret ? "640" : "644",
    apply: (base, edits, { current }) => {
      const theirs = rows(base);
      const known = new Map(rows(current).map((line) => [keyOf(line), line]));
      const ours = new Map<string, string>();
      for (const { key, line = known.get(key) } of edits) {
        if (line !== undefined && !theirs.some((their) => keyOf(their) === key)) ours.set(key, line);
      }
      return { text: joined([...theirs, ...ours.values()]), applied: [...ours.keys()] };
    },
    strip: (text, keys) => joined(rows(text).filter((line) => !keys.includes(keyOf(line)))),
    holds: (text, { key, line }) => rows(text).some((row) => (line === undefined ? keyOf(row) === key : row === line)),
  });
};

export const formats: Table = {
  "main.cf": entry<ParameterEdit, AppliedParameter[]>({
    ...{ reload: true, shared: true, mode: "644" },
    apply: (base, edits) => applyParameters(base, [...edits]),
    strip: stripParameters,
    holds: (text, edit) => applyParameters(text, [edit]).text === text,
  }),
  "master.cf": entry<ServiceEdit, AppliedService[]>({
    ...{ reload: true, shared: true, mode: "644" },
    apply: (base, edits) => applyServices(base, [...edits]),
    strip: stripServices,
    holds: (text, edit) => applyServices(text, [edit]).text === text,
  }),
  "dovecot-include": entry<{ readonly include: string }, AppliedInclude>({
    ...{ reload: true, shared: true, mode: "644" },
    apply: (base, [edit]) => addInclude(base, edit?.include ?? ""),
    strip: stripInclude,
    holds: (text, { include }) => addInclude(text, include).text === text,
  }),
  "dovecot-fragment": entry<FragmentEdit, { edits: FragmentEdit[]; dialect: Dialect }>({
    ...{ reload: true, shared: false, mode: "644" },
    apply: (base, edits, { dialect }) => ({
      text: `${base}${base === "" || base.endsWith("\n") ? "" : "\n"}${renderFragment([...edits], dialect)}`,
      applied: { edits: [...edits], dialect },
    }),
    strip: (text, { edits, dialect }) => stripFragment(text, edits, dialect),
    // Alone, an edit is rendered below the header, which all edits share.
    holds: (text, edit, dialect) => text.includes(renderFragment([edit], dialect).replace(/^(#.*\n)*/, "")),
  }),
  table: lines({ secret: false, separator: /\s/ }),
  "secret-table": lines({ secret: true, separator: /:/ }),
};
