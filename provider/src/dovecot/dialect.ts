// Which of Dovecot's two configuration languages a host speaks.

export type Dialect = "2.3" | "2.4";

/** The dialect of a `dovecot --version` such as "2.3.19.1 (9b53102964)"; undefined: not one we can edit (2.2, 3.0, ...). */
export function dialect(version: string): Dialect | undefined {
  const [, minor] = /^\s*(2\.\d+)(?=[.\s(-]|$)/.exec(version) ?? [];
  return minor === "2.3" || minor === "2.4" ? minor : undefined;
}
