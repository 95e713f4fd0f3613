export type { ConnectionArgs, ProxyConnectionArgs } from "./resources/connection.js";
export { DovecotProxyTrust, type DovecotProxyTrustArgs } from "./resources/dovecot-proxy-trust.js";
export { MailSource, type MailSourceArgs } from "./resources/mail-source.js";
export { MasterUser, type MasterUserArgs } from "./resources/master-user.js";
export { OutboundRelay, type OutboundRelayArgs } from "./resources/outbound-relay.js";
export { PostfixXclientTrust, type PostfixXclientTrustArgs } from "./resources/postfix-xclient-trust.js";
export { RelayAcceptance, type RelayAcceptanceArgs } from "./resources/relay-acceptance.js";
export type { Plan } from "./plan/schema.js";
