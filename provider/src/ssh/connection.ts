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

/** A mail host, the jump host on the way to it, and how to become root there. */
export interface Connection extends ProxyConnection {
  readonly proxy?: ProxyConnection | undefined;
  readonly become?: boolean | undefined;
  readonly becomePassword?: string | undefined;
}
