import type { CustomResourceOptions, Input, Output } from "@pulumi/pulumi";
import { HostResource, type HostResourceArgs } from "./host-resource.js";

export interface PostfixXclientTrustArgs extends HostResourceArgs {
  /** Addresses from which the migration proxy connects; the same rules as DovecotProxyTrust.proxies. */
  proxies: Input<Input<string>[]>;
  /**
   * master.cf services ("submission/inet", "submissions/inet") that may be given XCLIENT. Default: main.cf, so every smtpd
   * service, port 25 too. An authorized host may claim any client address and any login name, so it may send as anyone on
   * these services: name those that the proxy uses.
   */
  services?: Input<Input<string>[]>;
}

/**
 * Authorizes a migration proxy to announce the real client to Postfix with XCLIENT (`smtpd_authorized_xclient_hosts`).
 * Appended to what is there; two resources on one host add up. In effect after a reload, which ends no session.
 *
 * Source: guide, "Trusting the proxy to convey the real client"; postconf(5) smtpd_authorized_xclient_hosts.
 */
export class PostfixXclientTrust extends HostResource {
  /** `smtpd_authorized_xclient_hosts` as effective, by service where `services` is given, else one value. */
  declare readonly authorizedHosts: Output<string[]>;
  /** `mail_version` of the host's Postfix. */
  declare readonly postfixVersion: Output<string>;

  constructor(name: string, args: PostfixXclientTrustArgs, opts?: CustomResourceOptions) {
    super("PostfixXclientTrust", name, args, ["authorizedHosts", "postfixVersion"], opts);
  }
}
