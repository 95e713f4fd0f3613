import type { CustomResourceOptions, Input, Output } from "@pulumi/pulumi";
import { HostResource, type HostResourceArgs } from "./host-resource.js";

export interface OutboundRelayArgs extends HostResourceArgs {
  /** The new server: an address, or a name, which is not looked up as MX. */
  server: Input<string>;
  /** Its SMTP port. Default: 25. */
  port?: Input<number>;
  /** What to do where the new server refuses to relay: "fail" (default) writes nothing, "warn" writes and says so. */
  onRefusal?: Input<"fail" | "warn">;
  /** Whom the question names: an address of a domain that is not local. Default: a new local part at iana.org each time. */
  probeRecipient?: Input<string>;
}

/**
 * Sends the host's outbound mail through the new server (`relayhost = [server]:port`); local domains stay local. Before it is
 * written, the new server is asked, from the host, whether it relays: by its defaults it refuses, and every user's mail would
 * bounce. In effect after a reload, which ends no session.
 *
 * Source: guide, "Routing the source's outbound mail through the new server"; postconf(5) relayhost.
 */
export class OutboundRelay extends HostResource {
  /** `relayhost` as effective on the host. */
  declare readonly relayhost: Output<string>;
  /** What it was before; empty where it was not set. */
  declare readonly previousRelayhost: Output<string>;
  /** `mail_version` of the host's Postfix. */
  declare readonly postfixVersion: Output<string>;

  constructor(name: string, args: OutboundRelayArgs, opts?: CustomResourceOptions) {
    super("OutboundRelay", name, args, ["relayhost", "previousRelayhost", "postfixVersion"], opts);
  }
}
