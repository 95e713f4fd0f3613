// One connection object serves both packages: here @pulumi/command empties the mail queue once outbound mail is rerouted.
import * as pulumi from "@pulumi/pulumi";
import { remote, type types } from "@pulumi/command";
import { OutboundRelay } from "pulumi-dovecot-postfix";

const config = new pulumi.Config();
const connection: types.input.remote.ConnectionArgs = {
  host: config.require("host"),
  user: "root",
  privateKey: config.requireSecret("privateKey"),
  // @pulumi/command takes the key's line only, and any key where there is none: always give it.
  hostKey: config.require("hostKey"),
};

const relay = new OutboundRelay("outbound", { connection, server: config.require("newServer") });

new remote.Command("flush", { connection, create: "postqueue -f", triggers: [relay.relayhost] });

export const { relayhost } = relay;
