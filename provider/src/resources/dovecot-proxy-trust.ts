import type { CustomResourceOptions, Input, Output } from "@pulumi/pulumi";
import { HostResource, type HostResourceArgs } from "./host-resource.js";

export interface DovecotProxyTrustArgs extends HostResourceArgs {
  /**
   * Addresses from which the migration proxy connects: IPv4 or IPv6 addresses or networks ("203.0.113.10",
   * "203.0.113.8/29", "2001:db8::10"), no names, no network wider than /16 (IPv4) or /48 (IPv6). Order, case, duplicates and
   * `/32` written or not are no change. Whoever connects from there may name any client address, and may send passwords
   * in the clear unless the host has `ssl = required` (always accepted by Dovecot 2.3).
   */
  proxies: Input<Input<string>[]>;
}

/**
 * Lets a migration proxy tell Dovecot the real client's address (IMAP ID, and XCLIENT for POP3 and ManageSieve), so that logs
 * and address-based policies see clients, not the proxy. Written as a `remote` block in a file of its own, so the host's own
 * `login_trusted_networks` stays as it is. In effect at once after a reload, which ends running sessions (they reconnect).
 *
 * Source: guide, "Trusting the proxy to convey the real client"; `login_trusted_networks` in Dovecot's documentation.
 */
export class DovecotProxyTrust extends HostResource {
  /** `login_trusted_networks` as it is effective for connections from the proxies. */
  declare readonly trustedNetworks: Output<string[]>;
  /** As `dovecot --version` prints it. */
  declare readonly dovecotVersion: Output<string>;

  constructor(name: string, args: DovecotProxyTrustArgs, opts?: CustomResourceOptions) {
    super("DovecotProxyTrust", name, args, ["trustedNetworks", "dovecotVersion"], opts);
  }
}
