// How to reach a mail host, as plain resolved values: what a user writes is resources/connection.ts.

/** One SSH server: every field but `host` may be left open and is then filled as settings.ts says. */
export interface ProxyConnection {
  readonly host: string;
  readonly port?: number | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly privateKey?: string | undefined;
  readonly privateKeyPassword?: string | undefined;
  readonly agentSocketPath?: string | undefined;
  readonly dialErrorLimit?: number | undefined;
  /** Seconds. */
  readonly perDialTimeout?: number | undefined;
  readonly hostKey?: string | undefined;
}

/** The same text for the same connection, whatever the order of its fields and whatever is left open: plain JSON. */
export function connectionKey(connection: unknown): string {
  return JSON.stringify(connection, (_, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}

/** A mail host, the jump host on the way to it, and how to become root there. */
export interface Connection extends ProxyConnection {
  readonly proxy?: ProxyConnection | undefined;
  readonly become?: boolean | undefined;
  readonly becomePassword?: string | undefined;
}
