// All five resources on one host, one by one. They share one connection and cost one reload a daemon.
import * as pulumi from "@pulumi/pulumi";
import {
  DovecotProxyTrust,
  MasterUser,
  OutboundRelay,
  PostfixXclientTrust,
  RelayAcceptance,
  type ConnectionArgs,
} from "pulumi-dovecot-postfix";

const config = new pulumi.Config();
const proxies = [config.require("proxy")];
const newServer = config.require("newServer");
// User, key and port come from ~/.ssh/config and the agent; the host key from known_hosts, unless it is pinned here.
const connection: ConnectionArgs = {
  host: config.require("host"),
  ...config.getObject<Partial<ConnectionArgs>>("ssh"),
};

export const { trustedNetworks } = new DovecotProxyTrust("proxy", { connection, proxies });

// The proxy may speak for any client on submission alone, not on port 25.
export const { authorizedHosts } = new PostfixXclientTrust("proxy", {
  connection,
  proxies,
  services: ["submission/inet"],
});

export const { loginFormat, password } = new MasterUser("migration", { connection, username: "vmadmin" });

export const { mynetworks } = new RelayAcceptance("new-server", { connection, servers: [newServer] });

export const { relayhost } = new OutboundRelay("new-server", { connection, server: newServer });
