// The program of mail-source.test.ts.
import * as pulumi from "@pulumi/pulumi";
import { MailSource, type MailSourceArgs } from "pulumi-dovecot-postfix";

const args = new pulumi.Config().requireObject<MailSourceArgs>("args");

class Site extends pulumi.ComponentResource {
  constructor(name: string) {
    super("example:Site", name);
  }
}

const source = new MailSource("source", args);
export const { loginFormat, masterPassword, mynetworks, relayhost } = source;

/** Which fields hold which child. */
export const fields = Object.entries(source).flatMap(([name, value]) =>
  value instanceof pulumi.CustomResource ? [[name, value.constructor.name]] : [],
);

const { connection, proxies, servers } = args;
const least = { connection, proxies, servers };
new MailSource("other", least);
new MailSource("source", least, { parent: new Site("berlin") });
