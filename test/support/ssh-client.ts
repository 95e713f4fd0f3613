// This end of SSH connections: keys, agents and home directories of its own, nothing of this machine's user.
import { strict as assert } from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../provider/src/ssh/connection.js";
import { connect } from "../../provider/src/ssh/dial.js";
import { SshError, type SshErrorKind } from "../../provider/src/ssh/errors.js";
import type { Link } from "../../provider/src/ssh/link.js";
import { surroundings } from "../../provider/src/ssh/settings.js";
import type { Host } from "./host.js";
import type { Sshd } from "./sshd.js";

export const limits = { timeoutMs: 10_000, maxBytes: 100_000 };

/** Where a connection begins: the environment, and the files in ~/.ssh. */
export interface Around {
  readonly env?: Record<string, string>;
  readonly home?: Record<string, string>;
}

export class SshClient {
  readonly place = mkdtempSync(join(tmpdir(), "ssh-test-"));
  private readonly links: Link[] = [];
  private made = 0;

  /** Makes key pairs. @returns the public keys */
  newKeys(types: Readonly<Record<string, string>>, passphrase = ""): string[] {
    return Object.entries(types).map(([name, type]) => {
      newKey(this.path(name), type, passphrase);
      return this.key(`${name}.pub`);
    });
  }

  path(name: string): string {
    return join(this.place, name);
  }

  key(name: string): string {
    return readFileSync(this.path(name), "utf8");
  }

  /** A connection that works, with the key `ed25519`, to be changed. */
  readonly to = ({ host, port, hostKeys }: Sshd, change: Partial<Connection> = {}): Connection => ({
    ...{ host, port, user: "root", hostKey: hostKeys["ed25519"], privateKey: this.key("ed25519") },
    ...change,
  });

  readonly open = async (connection: Connection, around: Around = {}): Promise<Link> => {
    const home = this.path(`home${this.made++}`);
    mkdirSync(join(home, ".ssh"), { recursive: true });
    for (const [name, text] of Object.entries(around.home ?? {})) writeFileSync(join(home, ".ssh", name), text);
    const link = await connect(connection, { ...surroundings(), env: around.env ?? {}, home });
    this.links.push(link);
    return link;
  };

  readonly refused = async (connection: Connection, around: Around, kind: SshErrorKind): Promise<SshError> => {
    try {
      await this.open(connection, around);
    } catch (thrown) {
      assert.ok(thrown instanceof SshError, String(thrown));
      assert.equal(thrown.kind, kind, thrown.message);
      return thrown;
    }
    throw new assert.AssertionError({ message: "the connection was not refused" });
  };

  async withAgent(keys: readonly string[], use: (socket: string) => Promise<void>): Promise<void> {
    const socket = this.path(`agent${this.made++}`);
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    try {
      while (!existsSync(socket)) await new Promise((resolve) => setTimeout(resolve, 10));
      const env = { ...process.env, SSH_AUTH_SOCK: socket };
      for (const key of keys) execFileSync("ssh-add", ["-q", this.path(key)], { env, stdio: "ignore" });
      await use(socket);
    } finally {
      agent.kill();
    }
  }

  closeAll(): void {
    for (const link of this.links.splice(0)) link.close();
  }

  remove(): void {
    this.closeAll();
    rmSync(this.place, { recursive: true, force: true });
  }
}

/** Of a suite: each test's connections end with it, client and host with the last. */
export function afterSuite(client: SshClient, host: () => Host): void {
  afterEach(() => {
    client.closeAll();
  });
  after(async () => {
    client.remove();
    await host().stop();
  });
}

/** Makes a key pair in `path` and `path`.pub. */
export function newKey(path: string, type: string, passphrase = ""): void {
  execFileSync("ssh-keygen", ["-q", "-t", type, "-N", passphrase, "-C", "", "-f", path]);
}

export async function whoami(link: Link, name = "root"): Promise<void> {
  const { stdout, code } = await link.run("id -un", "", limits);
  assert.deepEqual([stdout.trim(), code], [name, 0]);
}

export async function rejects(promise: Promise<unknown>, kind: SshErrorKind, said: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof SshError, String(error));
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, said);
    return true;
  });
}
