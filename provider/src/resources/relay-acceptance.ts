import type { CustomResourceOptions, Input, Output } from "@pulumi/pulumi";
import { HostResource, type HostResourceArgs } from "./host-resource.js";

export interface RelayAcceptanceArgs extends HostResourceArgs {
  /** Addresses from which the new server relays; the same rules as DovecotProxyTrust.proxies. They may relay anywhere. */
  servers: Input<Input<string>[]>;
  /** "skip" (default): milters do not judge the new server's mail again, nor scan or sign it. "keep": they do. */
  milters?: Input<"skip" | "keep">;
}

/**
 * Accepts what the new server relays: its address joins `mynetworks` as that is effective (unset is computed, and unset again
 * after destroy), HELO rules that would refuse its greeting are relaxed for it alone, and milters skip it. Rules that stand
 * before permit_mynetworks are named in a warning. In effect after a reload, which ends no session.
 *
 * Source: guide, "Accepting mail relayed from the new server"; postconf(5) mynetworks, smtpd_milter_maps.
 */
export class RelayAcceptance extends HostResource {
  /** `mynetworks` as effective on the host. */
  declare readonly mynetworks: Output<string[]>;
  /** `mail_version` of the host's Postfix. */
  declare readonly postfixVersion: Output<string>;

  constructor(name: string, args: RelayAcceptanceArgs, opts?: CustomResourceOptions) {
    super("RelayAcceptance", name, args, ["mynetworks", "postfixVersion"], opts);
  }
}
