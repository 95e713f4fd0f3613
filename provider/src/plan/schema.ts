// The plan as data. `import { planSchema } from "pulumi-dovecot-postfix/plan"`; a reader parses it: a newer version is an error.
import { z } from "zod";

const daemon = z.enum(["dovecot", "postfix"]);
const party = z.enum(["proxy", "new server", "migration tool", "source", "internet"]);
const digest = z.string().describe("sha256 of the file's bytes, in hexadecimal");

export const resourceSchema = z.object({
  owner: z.string().describe("organization/project/stack/.../kind/name, as the ledger on the host names it"),
  kind: z.string().describe('The resource\'s class, "MasterUser"'),
  name: z.string(),
  state: z
    .enum(["planned", "goes", "refused", "unknown"])
    .describe(
      "goes: no longer declared; refused: an `up` would fail; unknown: it has arguments that only an `up` will know",
    ),
  reason: z.string().optional().describe("Why it is refused, or what is not known"),
});

export const fileSchema = z.object({
  daemon,
  path: z.string(),
  change: z.enum(["created", "changed", "removed"]),
  secret: z.boolean().describe("Its lines are masked"),
  before: digest.nullable().describe("null: the file is not there"),
  after: digest.nullable().describe("null: the file will not be there. Of a secret file: of the text as masked here"),
  added: z.number().int().describe("Lines"),
  removed: z.number().int().describe("Lines"),
  diff: z.string().describe("Unified diff, the path in its header, secrets masked as {...}"),
});

export const valueSchema = z.object({
  daemon,
  name: z.string(),
  where: z.string().describe('"" for all; else the service or the connections for which it holds'),
  before: z.string(),
  after: z.string(),
});

export const reloadSchema = z.object({
  daemon,
  reload: z.boolean(),
  ends: z
    .record(z.string(), z.number().int())
    .describe("Sessions that the reload ends now, by service; they reconnect"),
});

export const effectSchema = z.object({
  owner: z.string().describe("Of the resource"),
  from: party,
  to: party,
  label: z.string().describe("In a few words, for a picture"),
  text: z.string(),
  narrower: z.string().optional().describe("The setting that would allow less"),
});

export const findingSchema = z.object({
  owner: z.string().optional().describe("Of the resource"),
  severity: z.enum(["error", "warning"]).describe("error: the move would fail; the preview does not"),
  text: z.string(),
  cure: z.string(),
});

export const hostPlanSchema = z.object({
  host: z.string().describe("user@host:port of the SSH login"),
  notPlanned: z
    .string()
    .optional()
    .describe("Why there is no plan: no connection, or an address that is not known yet"),
  failed: z
    .boolean()
    .optional()
    .describe(
      "There is no plan for a reason that an `up` would meet, too, so the preview fails: not the way to the host",
    ),
  digest: z
    .string()
    .regex(/^[0-9a-f]{12}$/)
    .optional()
    .describe(
      "Equal for equal changes: the `up` prints it for what it did. Over paths, contents (not of secret files), reloads",
    ),
  resources: z.array(resourceSchema),
  files: z.array(fileSchema),
  values: z.array(valueSchema).describe("Effective values that change"),
  reloads: z.array(reloadSchema),
  effects: z.array(effectSchema).describe("Who may do what from then on"),
  findings: z.array(findingSchema),
  notes: z.array(z.string()),
});

/** The plan of all hosts of a stack. Every text in it is free of control characters. */
export const planSchema = z.object({
  version: z.literal(1),
  stack: z.string().describe("organization/project/stack"),
  hosts: z.array(hostPlanSchema),
});

export type Plan = z.infer<typeof planSchema>;
export type HostPlan = Plan["hosts"][number];
export type FilePlan = HostPlan["files"][number];
export type ValuePlan = HostPlan["values"][number];
export type ResourcePlan = HostPlan["resources"][number];
export type Effect = Omit<HostPlan["effects"][number], "owner">;
export type Finding = Omit<HostPlan["findings"][number], "owner">;
