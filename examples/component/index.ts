// The same as one component. Postfix may run on another host: give it as postfixConnection.
import * as pulumi from "@pulumi/pulumi";
import { MailSource, type ConnectionArgs } from "pulumi-dovecot-postfix";

const config = new pulumi.Config();

const source = new MailSource("source", {
  connection: { host: config.require("host"), ...config.getObject<Partial<ConnectionArgs>>("ssh") },
  proxies: [config.require("proxy")],
  servers: [config.require("newServer")],
  xclientServices: ["submission/inet"],
  masterUser: { username: "vmadmin" },
});

export const { loginFormat, masterPassword, mynetworks } = source;
