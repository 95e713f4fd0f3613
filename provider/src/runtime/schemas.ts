// What each resource accepts, as zod schemas. Loaded only where inputs changed. No message repeats a value: an input may be secret.
// Version 3 of zod's interface, which loads in a fifth of the time of version 4 (both are of the same package).
import { isIP } from "node:net";
import { z } from "zod/v3";
import { networkProblem } from "./networks.js";

const networks = z
  .array(
    z.string().superRefine((text, context) => {
      const problem = networkProblem(text);
      if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
    }),
  )
  .min(1, "must name at least one address or network")
  // Each is asked for on the host.
  .max(256, "must name at most 256 addresses or networks: name their subnets");

const text = z.string().regex(/^[^\p{Cc}]*$/u, "must not hold control characters or newlines");
const port = z.number().int().min(1).max(65535);

const server = {
  host: text.min(1, "must name the host"),
  port: port.optional(),
  user: text.optional(),
  password: z.string().optional(),
  privateKey: z.string().optional(),
  privateKeyPassword: z.string().optional(),
  agentSocketPath: text.optional(),
  dialErrorLimit: z.number().int().min(-1).optional(),
  perDialTimeout: z.number().min(0).optional(),
  hostKey: z.string().optional(),
};
const connection = z
  .object({
    ...server,
    proxy: z.object(server).passthrough().optional(),
    become: z.boolean().optional(),
    becomePassword: z.string().optional(),
  })
  .passthrough();

/** One of these texts, or what is to be written instead. */
function oneOf<T extends [string, ...string[]]>(texts: T, message: string): z.ZodEnum<T> {
  return z.enum<string, T>(texts, { errorMap: () => ({ message }) });
}

/** The last label is no number: that would be a mistyped address. */
const hostName =
  /^(?=.{1,253}$)(?!(.*\.)?\d+$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i;

/** By resource class, then by argument. */
export const schemas = {
  DovecotProxyTrust: { connection, proxies: networks },
  PostfixXclientTrust: {
    connection,
    proxies: networks,
    services: z
      .array(
        z
          .string()
          // As host:port, [address]:port or a name; never what postconf would take for an option.
          .regex(
            /^(?!-)[\w.:%@+[\]-]{1,255}\/(inet|unix|pass|fifo)$/,
            'must be a master.cf service such as "submission/inet"',
          ),
      )
      .max(256, "must name at most 256 services")
      .min(1, "must name at least one service, or be left out for main.cf")
      .optional(),
  },
  MasterUser: {
    connection,
    username: z
      .string()
      .min(1, "must not be empty")
      .max(64, "must have at most 64 characters")
      .regex(/^[a-z0-9._@-]+$/, "must be of lower-case letters, digits and . _ @ - only (Dovecot lower-cases logins)"),
    password: z
      .string()
      .min(12, "must have at least 12 characters: it opens every mailbox")
      .max(256, "must have at most 256 characters")
      .regex(/^[^\p{Cc}]*$/u, "must not hold control characters or newlines")
      .optional(),
    passwordHash: z
      .string()
      .max(1024, "must have at most 1024 characters")
      .regex(
        /^\{[A-Z0-9-]+(\.[A-Z0-9]+)?\}[!-9;-~]+$/,
        "must be a hash as `doveadm pw` prints it: a scheme in braces, then the hash",
      )
      .regex(
        /^(?!\{(PLAIN|CLEAR|CLEARTEXT|PLAIN-TRUNC)[.}])/i,
        "must be a hash: this scheme stores the password in the clear",
      )
      .optional(),
    separator: z
      .string()
      .regex(/^[!%&*+,\/;=?^|~]$/, "must be one character of ! % & * + , / ; = ? ^ | ~ that occurs in no login")
      .optional(),
    services: z
      .array(oneOf(["imap", "pop3", "sieve"], 'must be "imap", "pop3" or "sieve"'))
      .min(1, "must name at least one service")
      .optional(),
    allowedNetworks: networks.optional(),
  },
  RelayAcceptance: {
    connection,
    servers: networks,
    milters: oneOf(["skip", "keep"], 'must be "skip" or "keep"').optional(),
  },
  OutboundRelay: {
    connection,
    server: z
      .string()
      .refine(
        (name) => (isIP(name) !== 0 && !name.includes("%")) || hostName.test(name),
        "must be an address or a host name, without brackets or port",
      ),
    port: port.optional(),
    onRefusal: oneOf(["fail", "warn"], 'must be "fail" or "warn"').optional(),
    probeRecipient: z
      .string()
      .regex(/^[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9.-]{1,253}$/i, "must be one mail address")
      .optional(),
  },
} as const satisfies Record<string, z.ZodRawShape>;

/** What arguments contradict each other. */
export const contradictions: Readonly<
  Record<string, (inputs: Readonly<Record<string, unknown>>) => string | undefined>
> = {
  MasterUser: ({ password, passwordHash }) =>
    password !== undefined && passwordHash !== undefined
      ? "password and passwordHash: give one of them, or neither"
      : undefined,
};
