// Logging in: which credential is tried next, and what is told when none is accepted.
import ssh2 from "ssh2";
import type { AnyAuthMethod, AuthenticationType, AuthHandlerMiddleware, ParsedKey, Prompt } from "ssh2";
import { reason, redact, SshError } from "./errors.js";
import { fingerprint, keyType } from "./known-hosts.js";
import type { Files } from "./openssh-config.js";
import type { Credential, Settings } from "./settings.js";

/** One thing to log in with, opened when its turn comes. */
export interface Step {
  readonly from: string;
  /** The authentication methods (RFC 4252) that it can serve; none where it is only there to be told. */
  readonly methods: readonly string[];
  /** The method for ssh2, or none where there turns out to be nothing to try; `note` tells which key, or why not. */
  open(allowed: readonly string[] | null): Promise<{ method?: Omit<AnyAuthMethod, "username">; note?: string }>;
}

/**
 * What to log in with, in order. Keys that were given outright are read now, before anything is sent; identity files and agents
 * only when their turn comes.
 * @throws SshError `settings` where a given key cannot be used, `authentication` where there is nothing to log in with
 */
export function steps(to: Settings, files: Files): readonly Step[] {
  const found = stepsOf(to, files);
  if (found.some((step) => step.methods.length > 0)) return found;
  const looked = found.map((step) => step.from).join(", ");
  throw new SshError("authentication", to.label, `there is nothing to log in with${looked && ` (${looked})`}`, {
    cure: "Start an agent that holds the key (SSH_AUTH_SOCK), put a key in ~/.ssh/id_ed25519, or set privateKey in connection.",
  });
}

function stepsOf(to: Settings, files: Files): Step[] {
  const overridden = to.credentials.some((credential) => credential.from.startsWith("PULUMI_DOVECOT_POSTFIX_"));
  return to.credentials.flatMap((credential): Step[] => {
    switch (credential.kind) {
      case "key": {
        const key = parse(credential.text, credential.passphrase);
        // A rotated key in the state must not stand in the way of the one that the environment names.
        if (typeof key === "string" && overridden) return [];
        if (typeof key === "string") throw badKey(to, credential.from, key);
        return [keyStep(credential.from, key)];
      }
      case "file": {
        if (!credential.required) return [lazyFile(credential, files)];
        const key = parseFile(credential, files);
        if (key === undefined) throw badKey(to, credential.from, "there is no such file, or it cannot be read");
        if (typeof key === "string") throw badKey(to, credential.from, key);
        return [keyStep(credential.from, key)];
      }
      case "agent":
        return [agentStep(credential, files)];
      case "password":
        return [passwordStep(credential)];
    }
  });
}

/** One login, in progress. */
export interface Login {
  readonly authHandler: AuthHandlerMiddleware;
  /** Why the login failed, with what was tried; `said` is what the server said last. */
  failure(what: string, said?: string): SshError;
}

/** @param exhausted called when nothing is left to try */
export function login(to: Settings, ways: readonly Step[], exhausted: () => void): Login {
  const untried = ways.filter((step) => step.methods.length > 0);
  const told = ways.filter((step) => step.methods.length === 0).map((step) => step.from);
  let accepted: readonly string[] | null = null;

  const next = async (allowed: readonly string[] | null): Promise<AnyAuthMethod | undefined> => {
    for (;;) {
      const at = untried.findIndex(
        (step) => allowed === null || step.methods.some((method) => allowed.includes(method)),
      );
      const [step] = at < 0 ? [] : untried.splice(at, 1);
      if (!step) return undefined;
      const opened = await step.open(allowed);
      told.push(`${step.from}${opened.note ? ` (${opened.note})` : ""}`);
      if (opened.method) return { ...opened.method, username: to.user } as AnyAuthMethod;
    }
  };

  return {
    authHandler: (left: readonly AuthenticationType[] | null, _partial, proceed) => {
      // Which of the two password methods a server takes is only known from its answer; asking is no failed login.
      if (left === null && untried[0]?.methods.includes("password")) {
        proceed({ type: "none", username: to.user });
        return;
      }
      accepted = left ?? accepted;
      next(left).then(
        (method) => {
          if (method) proceed(method);
          else exhausted();
        },
        (thrown: unknown) => {
          told.push(reason(thrown));
          exhausted();
        },
      );
    },
    failure: (what, said) =>
      new SshError(
        "authentication",
        to.label,
        `${what} for user ${to.user}. Tried: ${told.join("; ") || "nothing"}${takes(accepted)}`,
        {
          said: said && redact(said, secrets(to)),
          cure:
            `Check that the key stands in ~${to.user}/.ssh/authorized_keys on the host and that its sshd_config lets ${to.user} in ` +
            `(PermitRootLogin, AllowUsers, PubkeyAuthentication, PasswordAuthentication); sshd's log there tells the reason. ` +
            (to.user === "root" ? "Where root may not, set user to one that may log in and become: true. " : "") +
            `It was not tried again, so as not to be banned.`,
        },
      ),
  };
}

function keyStep(from: string, key: ParsedKey): Step {
  return {
    from,
    methods: ["publickey"],
    open: () => Promise.resolve({ method: { type: "publickey", key }, note: name(key.getPublicSSH()) }),
  };
}

function lazyFile(credential: Credential & { kind: "file" }, files: Files): Step {
  const open = (): ReturnType<Step["open"]> => {
    const key = parseFile(credential, files);
    if (key === undefined || typeof key === "string")
      return Promise.resolve({ note: `skipped: ${key ?? "not there"}` });
    return Promise.resolve({ method: { type: "publickey", key }, note: name(key.getPublicSSH()) });
  };
  if (files.read(credential.path) === undefined) return { from: `${credential.from} (not there)`, methods: [], open };
  return { from: credential.from, methods: ["publickey"], open };
}

function passwordStep(credential: Credential & { kind: "password" }): Step {
  const { password, from } = credential;
  return {
    from,
    methods: ["password", "keyboard-interactive"],
    open: (allowed) => {
      if (allowed?.includes("password"))
        return Promise.resolve({ method: { type: "password", password }, note: "password" });
      let asked = false;
      const prompt = (
        _name: string,
        _instructions: string,
        _language: string,
        prompts: Prompt[],
        answer: (answers: string[]) => void,
      ): void => {
        // Only the first hidden prompt is a password: a second one asks for a one-time code, or for a new password.
        const mine = !asked && prompts.length === 1 && prompts[0]?.echo !== true;
        asked = true;
        answer(prompts.map(() => (mine ? password : "")));
      };
      return Promise.resolve({ method: { type: "keyboard-interactive", prompt }, note: "keyboard-interactive" });
    },
  };
}

const AGENT_MS = 5_000;

function agentStep(credential: Credential & { kind: "agent" }, files: Files): Step {
  const { from, socket, identities, only } = credential;
  return {
    from,
    methods: ["publickey"],
    open: async () => {
      const agent = new ssh2.OpenSSHAgent(socket);
      const keys = await identitiesOf(agent);
      if (typeof keys === "string") return { note: keys };
      const named = identities.flatMap((path) => publicBlob(path, files) ?? []);
      const isNamed = (key: ParsedKey): boolean => named.some((blob) => blob.equals(key.getPublicSSH()));
      // As ssh(1): the keys that the configuration names go first, since a server counts every key that it refuses.
      const ordered = [...keys.filter(isNamed), ...(only ? [] : keys.filter((key) => !isNamed(key)))];
      const note = `${keys.length} ${keys.length === 1 ? "key" : "keys"}${only ? `, ${ordered.length} of them named by IdentityFile` : ""}`;
      if (ordered.length === 0) return { note };
      return { method: { type: "agent", agent: new OrderedAgent(agent, ordered) }, note };
    },
  };
}

/** An agent whose keys were asked for already: ssh2 gives the whole login up where an agent does not answer. */
class OrderedAgent extends ssh2.BaseAgent<ParsedKey> {
  constructor(
    private readonly agent: ssh2.OpenSSHAgent,
    private readonly keys: ParsedKey[],
  ) {
    super();
  }

  override getIdentities(callback: ssh2.IdentityCallback<ParsedKey>): void {
    callback(null, this.keys);
  }

  override sign(
    key: ParsedKey,
    data: Buffer,
    options?: ssh2.SigningRequestOptions | ssh2.SignCallback,
    callback?: ssh2.SignCallback,
  ): void {
    if (typeof options === "function") this.agent.sign(key, data, options);
    else this.agent.sign(key, data, options, callback);
  }
}

function identitiesOf(agent: ssh2.OpenSSHAgent): Promise<ParsedKey[] | string> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      resolve(`the agent did not answer in ${AGENT_MS / 1000} s`);
    }, AGENT_MS);
    agent.getIdentities((error, keys) => {
      clearTimeout(timer);
      if (error) resolve("no agent answers there");
      else resolve((keys ?? []).filter(isKey));
    });
  });
}

function isKey(key: ssh2.KnownPublicKeys<ParsedKey>[number]): key is ParsedKey {
  return "getPublicSSH" in key;
}

/** The public half of an identity file: `<file>.pub`, or the file itself where it is the public one. */
function publicBlob(path: string, files: Files): Buffer | undefined {
  for (const text of [files.read(`${path}.pub`), files.read(path)]) {
    if (text === undefined || text.includes("PRIVATE KEY")) continue;
    const key = ssh2.utils.parseKey(text);
    if (!(key instanceof Error)) return key.getPublicSSH();
  }
  return undefined;
}

function parseFile(credential: Credential & { kind: "file" }, files: Files): ParsedKey | string | undefined {
  const text = files.read(credential.path);
  return text === undefined ? undefined : parse(text, credential.passphrase);
}

/** The key, or why it cannot be used. */
function parse(text: string, passphrase: string | undefined): ParsedKey | string {
  // Where the final newline was lost, as secrets do lose it, ssh2 would say "Unsupported key format".
  const parsed: ParsedKey | ParsedKey[] | Error = ssh2.utils.parseKey(
    text.endsWith("\n") ? text : `${text}\n`,
    passphrase,
  );
  const key = Array.isArray(parsed) ? (parsed as ParsedKey[])[0] : parsed;
  if (key === undefined) return "it holds no key";
  if (!(key instanceof Error)) return key.isPrivateKey() ? key : "it holds a public key, not a private one";
  if (/no passphrase/.test(key.message)) return "it is encrypted and no passphrase is given";
  if (/passphrase|integrity|decrypt/i.test(key.message)) return "its passphrase is wrong";
  return "it is not in a supported format (OpenSSH, PEM or PKCS#8; ed25519, ECDSA or RSA)";
}

function badKey(to: Settings, from: string, why: string): SshError {
  return new SshError("settings", to.label, `the private key cannot be used (${from}): ${why}`, {
    cure: "Give the whole text of the private key and, where it is encrypted, privateKeyPassword; or load it into an agent.",
  });
}

function name(blob: Buffer): string {
  return `${keyType(blob)} ${fingerprint(blob)}`;
}

function takes(accepted: readonly string[] | null): string {
  return accepted ? `. The server takes: ${accepted.join(", ")}` : "";
}

function secrets(to: Settings): string[] {
  return to.credentials.flatMap((credential) => {
    if (credential.kind === "password") return [credential.password];
    return credential.kind === "agent" ? [] : [credential.passphrase ?? ""];
  });
}
