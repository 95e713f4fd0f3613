// How a user says where the mail host is and how to log in: the fields of @pulumi/command's remote.ConnectionArgs, and sudo.
import type { Input } from "@pulumi/pulumi";

/**
 * One SSH server. Only `host` is required: what is left open is filled from the user's OpenSSH configuration
 * (`~/.ssh/config`: HostName, Port, User, IdentityFile, IdentityAgent, ProxyJump, UserKnownHostsFile; ssh_config(5)), then from
 * the defaults below.
 *
 * For a `destroy` or `refresh` after a key was rotated, two environment variables go before the credentials given here and those
 * in the state: PULUMI_DOVECOT_POSTFIX_SSH_IDENTITY_FILE names a private key file, PULUMI_DOVECOT_POSTFIX_SSH_AUTH_SOCK an
 * agent's socket. They never hold a key. They serve the jump host too.
 */
export interface ProxyConnectionArgs {
  /** Host name, address, or a `Host` alias of the OpenSSH configuration. */
  host: Input<string>;
  /** TCP port of the SSH server. Default: `Port` of the OpenSSH configuration, else 22. */
  port?: Input<number>;
  /** Login name on the server. Default: `User` of the OpenSSH configuration, else `root`. */
  user?: Input<string>;
  /**
   * Login password, for the methods `password` and `keyboard-interactive` (one hidden prompt; a second one, as for a one-time
   * code, is not answered). Secret.
   */
  password?: Input<string>;
  /**
   * The text of a private key (OpenSSH, PEM or PKCS#8 format; ed25519, ECDSA or RSA). Secret. Better left open: an agent or an
   * identity file keeps the key out of the state. Default: the agent, and where neither `privateKey` nor `password` is given the
   * `IdentityFile`s of the OpenSSH configuration, else `~/.ssh/id_ed25519`, `id_ecdsa` and `id_rsa`.
   */
  privateKey?: Input<string>;
  /** The passphrase of `privateKey` where it is encrypted. Secret. */
  privateKeyPassword?: Input<string>;
  /** Path of an SSH agent's socket. Default: `IdentityAgent` of the OpenSSH configuration, else the variable SSH_AUTH_SOCK. */
  agentSocketPath?: Input<string>;
  /**
   * How often to try to reach a server that does not answer, with growing, random pauses; -1: until the time is up. Default: 10
   * tries within 60 s; where it is given, within 10 minutes. A refused login is never tried again.
   */
  dialErrorLimit?: Input<number>;
  /** The time limit of one try, in seconds, up to the verified host key. Default: 15; 0, and more than 120, means 120. */
  perDialTimeout?: Input<number>;
  /**
   * The server's host key: a line of its `/etc/ssh/ssh_host_*_key.pub` (`ssh-ed25519 AAAA...`), or a fingerprint as
   * `ssh-keygen -lf` prints it (`SHA256:...`). Several may stand on lines of their own. Default: the user's known_hosts
   * (`UserKnownHostsFile`, else `~/.ssh/known_hosts`, and `/etc/ssh/ssh_known_hosts`; sshd(8)). The key is always verified: a host
   * that neither names is an error that prints its fingerprint, and a key that known_hosts marks `@revoked` is refused.
   */
  hostKey?: Input<string>;
}

/** The mail host. The same object serves @pulumi/command's `remote.Command`, which ignores `become` and `becomePassword`. */
export interface ConnectionArgs extends ProxyConnectionArgs {
  /** The jump host on the way to the mail host. Default: `ProxyJump` of the OpenSSH configuration, else none. */
  proxy?: Input<ProxyConnectionArgs>;
  /** Run what needs root through sudo(8), for a `user` who is not root. Default: false, unless `becomePassword` is given. */
  become?: Input<boolean>;
  /** The password that sudo asks for. It travels on stdin only. Secret. Default: sudo must need none (`NOPASSWD` in sudoers(5)). */
  becomePassword?: Input<string>;
}
