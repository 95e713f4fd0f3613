import * as pulumi from "@pulumi/pulumi";
import type { ConnectionArgs } from "./connection.js";
import type { Plan } from "../plan/schema.js";
import { DovecotProxyTrust } from "./dovecot-proxy-trust.js";
import { plans, type HostResource } from "./host-resource.js";
import { MasterUser, type MasterUserArgs } from "./master-user.js";
import { OutboundRelay, type OutboundRelayArgs } from "./outbound-relay.js";
import { PostfixXclientTrust } from "./postfix-xclient-trust.js";
import { RelayAcceptance } from "./relay-acceptance.js";

export interface MailSourceArgs {
  /** How to reach the mail host. */
  connection: pulumi.Input<ConnectionArgs>;
  /** How to reach the host where Postfix runs, if that is another one. Default: `connection`. */
  postfixConnection?: pulumi.Input<ConnectionArgs>;
  /** Addresses from which the migration proxy connects; see DovecotProxyTrust.proxies. */
  proxies: pulumi.Input<pulumi.Input<string>[]>;
  /** Addresses from which the new server relays; see RelayAcceptance.servers. */
  servers: pulumi.Input<pulumi.Input<string>[]>;
  /** See PostfixXclientTrust.services. */
  xclientServices?: pulumi.Input<pulumi.Input<string>[]>;
  /** Makes a master user. Default: none. */
  masterUser?: Omit<MasterUserArgs, "connection">;
  /** Sends outbound mail through the new server. Default: no. */
  outboundRelay?: Omit<OutboundRelayArgs, "connection">;
}

/** A mail host prepared for the move: all that the guide asks of a Dovecot and Postfix source, as one component. */
export class MailSource extends pulumi.ComponentResource {
  readonly dovecotProxyTrust: DovecotProxyTrust;
  readonly postfixXclientTrust: PostfixXclientTrust;
  readonly relayAcceptance: RelayAcceptance;
  readonly masterUser?: MasterUser;
  readonly outboundRelay?: OutboundRelay;
  /** How the migration tool logs in, "{user}%vmadmin"; undefined without a master user. */
  readonly loginFormat: pulumi.Output<string | undefined>;
  /** The master user's password. Secret. */
  readonly masterPassword: pulumi.Output<string | undefined>;
  /** `mynetworks` as effective on the host. */
  readonly mynetworks: pulumi.Output<string[]>;
  /** `relayhost` as effective on the host; undefined without outboundRelay. */
  readonly relayhost: pulumi.Output<string | undefined>;
  /** In a preview: what will happen to the hosts of this component (`pulumi-dovecot-postfix/plan`). Undefined in an update. */
  readonly plan: pulumi.Output<Plan | undefined>;

  constructor(name: string, args: MailSourceArgs, opts?: pulumi.ComponentResourceOptions) {
    super("dovecot-postfix:MailSource", name, {}, opts);
    const { connection, proxies, servers, xclientServices, masterUser, outboundRelay } = args;
    const postfix = args.postfixConnection ?? connection;
    const parent = { parent: this };

    this.dovecotProxyTrust = new DovecotProxyTrust(`${name}-dovecot`, { connection, proxies }, parent);
    const services = xclientServices === undefined ? {} : { services: xclientServices };
    this.postfixXclientTrust = new PostfixXclientTrust(
      `${name}-xclient`,
      { connection: postfix, proxies, ...services },
      parent,
    );
    this.relayAcceptance = new RelayAcceptance(`${name}-relay`, { connection: postfix, servers }, parent);
    if (masterUser) this.masterUser = new MasterUser(`${name}-master`, { connection, ...masterUser }, parent);
    if (outboundRelay) {
      this.outboundRelay = new OutboundRelay(`${name}-outbound`, { connection: postfix, ...outboundRelay }, parent);
    }

    const own = [this.dovecotProxyTrust, this.postfixXclientTrust, this.relayAcceptance];
    const more = [this.masterUser, this.outboundRelay].filter((resource) => resource !== undefined);
    this.plan = pulumi.output(planOf([...own, ...more]));
    this.loginFormat = pulumi.output(this.masterUser?.loginFormat);
    this.masterPassword = pulumi.secret(this.masterUser?.password);
    this.mynetworks = this.relayAcceptance.mynetworks;
    this.relayhost = pulumi.output(this.outboundRelay?.relayhost);
    this.registerOutputs({
      loginFormat: this.loginFormat,
      masterPassword: this.masterPassword,
      mynetworks: this.mynetworks,
      relayhost: this.relayhost,
    });
  }
}

/** The plan of some resources' hosts, with what is told of these resources alone. */
async function planOf(resources: readonly HostResource[]): Promise<Plan | undefined> {
  const owners = new Set<string>();
  let whole: Plan | undefined;
  for (const resource of resources) {
    const told = await plans.get(resource);
    if (!told) return undefined;
    owners.add(told.owner);
    whole = told.plan;
  }
  const { partOf } = await import("../plan/part.js");
  return whole && partOf(whole, owners);
}
