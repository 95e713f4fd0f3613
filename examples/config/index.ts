// The program of the repository's own Pulumi.yaml: a mail host prepared by configuration alone.
import * as pulumi from "@pulumi/pulumi";
import { MailSource } from "pulumi-dovecot-postfix";

const config = new pulumi.Config();
const given = (name: string) => config.get(name) || undefined;
const user = given("user");
const hostKey = given("hostKey");
const port = config.getNumber("port") || undefined;
const services = config.getObject<string[]>("xclientServices") ?? [];
const username = given("masterUser");
const server = given("outboundServer");

const source = new MailSource("source", {
  connection: {
    host: config.require("host"),
    ...(user && { user }),
    ...(port && { port }),
    ...(hostKey && { hostKey }),
    ...(config.getBoolean("become") && { become: true }),
  },
  proxies: config.requireObject<string[]>("proxies"),
  servers: config.requireObject<string[]>("servers"),
  ...(services.length > 0 && { xclientServices: services }),
  ...(username && { masterUser: { username } }),
  ...(server && { outboundRelay: { server } }),
});

export const { loginFormat, masterPassword, mynetworks, relayhost } = source;
