// Operators' blocks around ours, and what becomes of a POP3 login from the proxy. Judged by the unit tests on our reading of
// the rules, and by the host tests on the real Dovecot. PROXY, NET (its /24) and HOST stand for addresses.

export interface OperatorBlocks {
  title: string;
  before?: string;
  after?: string;
  /** trusted; wins: theirs counts, the proxy is not trusted; conflict: the connection is closed without a greeting. */
  verdict: { "2.3"?: Verdict; "2.4"?: Verdict };
  /** Needs a Dovecot of its own: it matches connections of other cases, or 2.3 refuses and then waits longer each time. */
  alone?: boolean;
}

export type Verdict = "trusted" | "wins" | "conflict";

const other = "login_trusted_networks = 198.51.100.1";

const block = (head: string, body = other): string => `${head} {\n${body}\n}\n`;

export const operatorBlocks: readonly OperatorBlocks[] = [
  { title: "none", verdict: { "2.3": "trusted", "2.4": "trusted" } },
  { title: "a wider remote before", before: block("remote NET/24"), verdict: { "2.3": "trusted", "2.4": "trusted" } },
  { title: "a wider remote after", after: block("remote NET/24"), verdict: { "2.3": "trusted", "2.4": "wins" } },
  {
    // 2.4 merges equal filters at the place of the first, so ours stands before the wider one.
    title: "a wider remote before, but after an empty one like ours",
    before: block("remote PROXY", "") + block("remote NET/24"),
    verdict: { "2.3": "trusted", "2.4": "wins" },
  },
  { title: "the same remote before", before: block("remote PROXY"), verdict: { "2.3": "trusted", "2.4": "trusted" } },
  { title: "the same remote after", after: block("remote PROXY/32"), verdict: { "2.3": "wins", "2.4": "wins" } },
  {
    title: "a protocol in the same remote before",
    before: block("remote PROXY", block("protocol pop3")),
    verdict: { "2.3": "wins", "2.4": "wins" },
  },
  {
    title: "a protocol in the same remote after",
    after: block("remote PROXY", block("protocol pop3")),
    verdict: { "2.3": "wins", "2.4": "wins" },
  },
  {
    title: "a protocol in a wider remote before",
    before: block("remote NET/24", block("protocol pop3")),
    verdict: { "2.3": "conflict", "2.4": "trusted" },
    alone: true,
  },
  {
    title: "a protocol in a wider remote after",
    after: block("remote NET/24", block("protocol pop3")),
    verdict: { "2.3": "conflict", "2.4": "wins" },
    alone: true,
  },
  {
    title: "a local before",
    before: block("local HOST"),
    verdict: { "2.3": "conflict", "2.4": "trusted" },
    alone: true,
  },
  { title: "a local after", after: block("local HOST"), verdict: { "2.3": "conflict", "2.4": "wins" }, alone: true },
  {
    title: "a remote in a local after",
    after: block("local HOST", block("remote PROXY")),
    verdict: { "2.3": "conflict", "2.4": "wins" },
    alone: true,
  },
  {
    title: "a protocol on the top level",
    before: block("protocol pop3"),
    verdict: { "2.3": "conflict", "2.4": "trusted" },
    alone: true,
  },
  {
    title: "a protocol on the top level after",
    after: block("protocol pop3"),
    verdict: { "2.3": "conflict", "2.4": "wins" },
    alone: true,
  },
  { title: "a global list after", after: `${other}\n`, verdict: { "2.3": "trusted", "2.4": "trusted" }, alone: true },
  {
    title: "a block that sets something else",
    before: block("local HOST", "login_greeting = Hello"),
    after: block("remote NET/24", "login_greeting = Hello again"),
    // In 2.3 these two of the operator's conflict with each other.
    verdict: { "2.4": "trusted" },
  },
  {
    title: "a wider remote after that trusts the proxy too",
    after: block("remote NET/24", "login_trusted_networks = 198.51.100.1, PROXY"),
    verdict: { "2.3": "trusted", "2.4": "trusted" },
  },
  {
    title: "a list after that adds",
    after: block("remote NET/24", block("login_trusted_networks", "198.51.100.1 = yes")),
    verdict: { "2.4": "trusted" },
  },
  {
    title: "a list after that takes away",
    after: block("remote NET/24", block("login_trusted_networks", "PROXY/32 = no")),
    verdict: { "2.4": "wins" },
  },
  {
    title: "a list after that takes away another spelling",
    after: block("remote NET/24", block("login_trusted_networks", "PROXY = no")),
    verdict: { "2.4": "trusted" },
  },
  {
    title: "an emptied list after",
    after: block("remote NET/24", "login_trusted_networks ="),
    verdict: { "2.3": "trusted", "2.4": "wins" },
  },
];
