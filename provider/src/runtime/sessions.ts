// One session a host and process: all resources of an `up` share its connection.
import { Session } from "../host/session.js";
import { connectionKey, type Connection } from "../ssh/connection.js";
import { shellCommand } from "../ssh/become.js";

const sessions = new Map<string, Session>();

export function sessionOf(connection: unknown): Session {
  const key = connectionKey(connection);
  const known = sessions.get(key);
  if (known) return known;
  // check has seen to the type; ssh2 is loaded with the first connection only.
  const to = connection as Connection;
  const dial = async () => (await import("../ssh/dial.js")).connect(to);
  const session = new Session(dial, shellCommand(to));
  sessions.set(key, session);
  return session;
}
