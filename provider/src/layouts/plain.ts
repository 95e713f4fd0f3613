// A host whose administrator edits Dovecot's and Postfix's own files: Debian's and RHEL's packages, or built by hand.
import { posix } from "node:path";
import type { Layout } from "./index.js";

export const plain: Layout = {
  name: "plain",
  // Late in the alphabet: Dovecot 2.4 takes the last matching filter, and includes are sorted.
  fragmentName: "99-zz-pulumi-dovecot-postfix.conf",
  passwordFile: (dovecotConfig) => posix.join(posix.dirname(dovecotConfig), "pulumi-dovecot-postfix.master"),
  table: (name, postfixDirectory) => posix.join(postfixDirectory, `pulumi-dovecot-postfix.${name}.cidr`),
};
