// All resource classes, by name.
import type { Kind } from "../kind.js";
import { dovecotProxyTrust } from "./dovecot-proxy-trust.js";
import { masterUser } from "./master-user.js";
import { outboundRelay } from "./outbound-relay.js";
import { postfixXclientTrust } from "./postfix-xclient-trust.js";
import { relayAcceptance } from "./relay-acceptance.js";

/** Binds a kind's own argument type, which check has made sure of. */
function entry<A>(kind: Kind<A>): Kind {
  return kind as unknown as Kind;
}

export const kinds: Readonly<Record<string, Kind>> = {
  DovecotProxyTrust: entry(dovecotProxyTrust),
  PostfixXclientTrust: entry(postfixXclientTrust),
  MasterUser: entry(masterUser),
  RelayAcceptance: entry(relayAcceptance),
  OutboundRelay: entry(outboundRelay),
};
