// The provider as the engine stores it in every state, as text. It captures nothing and never changes, so that a new release
// causes no update, and a destroy runs today's code: all of it is in ../runtime, found by the package's name.
// A golden test pins the text after compilation: changing a character here is an update of every resource of every user.
import type { dynamic } from "@pulumi/pulumi";
import type { Inputs, Outputs } from "../runtime/kind.js";

type Runtime = typeof import("../runtime/index.js");

export const shim: dynamic.ResourceProvider = {
  async check(olds: Inputs, news: Inputs) {
    return (require("pulumi-dovecot-postfix/runtime") as Runtime).check(olds, news);
  },
  async diff(id, olds: Outputs, news: Inputs) {
    return (require("pulumi-dovecot-postfix/runtime") as Runtime).diff(id, olds, news);
  },
  async create(inputs: Inputs) {
    return (require("pulumi-dovecot-postfix/runtime") as Runtime).create(inputs);
  },
  async read(id, props: Outputs) {
    return (require("pulumi-dovecot-postfix/runtime") as Runtime).read(id, props);
  },
  async update(id, olds: Outputs, news: Inputs) {
    return (require("pulumi-dovecot-postfix/runtime") as Runtime).update(id, olds, news);
  },
  async delete(id, props: Outputs) {
    return (require("pulumi-dovecot-postfix/runtime") as Runtime).remove(id, props);
  },
};
