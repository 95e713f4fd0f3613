import type { CustomResourceOptions, Input, Output } from "@pulumi/pulumi";
import { HostResource, type HostResourceArgs } from "./host-resource.js";

export interface MasterUserArgs extends HostResourceArgs {
  /**
   * The master user's name, such as "vmadmin": lower case, without the separator, colon, blanks or control characters. Another
   * name replaces the resource (deletes first). Keep it: the migration tool stores it with what it has read.
   */
  username: Input<string>;
  /** Its password. Secret; travels on stdin only, and is hashed on the host. Default: a strong one, made once (output). */
  password?: Input<string>;
  /** A hash instead of the password, as `doveadm pw` prints it ("{SHA512-CRYPT}$6$..."). Secret. */
  passwordHash?: Input<string>;
  /** One character between mailbox and master user in a login. Default: the host's own, else "%". */
  separator?: Input<string>;
  /** Where it may log in: "imap", "sieve" (ManageSieve), "pop3". Never SMTP. Default: imap and sieve, as far as the host has them. */
  services?: Input<Input<string>[]>;
  /** Addresses it may log in from; the same rules as DovecotProxyTrust.proxies. Default: from anywhere. */
  allowedNetworks?: Input<Input<string>[]>;
}

/**
 * A master user, with which a migration tool reads every mailbox over IMAP and its scripts over ManageSieve without knowing its
 * password. It cannot send mail and cannot log in as a user who does not exist. A new password is in effect without a reload.
 *
 * Source: guide, "Providing a master user for the migration tool"; Dovecot's documentation, "Master users".
 */
export class MasterUser extends HostResource {
  /** The master user's name. */
  declare readonly username: Output<string>;
  /** The separator in effect. */
  declare readonly separator: Output<string>;
  /** How a login is written: "{user}%vmadmin". */
  declare readonly loginFormat: Output<string>;
  /** The password, given or made; undefined where a hash was given. Secret. */
  declare readonly password: Output<string | undefined>;
  /** As `dovecot --version` prints it. */
  declare readonly dovecotVersion: Output<string>;

  constructor(name: string, args: MasterUserArgs, opts?: CustomResourceOptions) {
    super("MasterUser", name, args, ["separator", "loginFormat", "password", "dovecotVersion"], opts);
  }
}
