import type { types } from "@pulumi/command";
import { strict as assert } from "node:assert";
import type { ConnectionArgs } from "../../provider/src/resources/connection.js";
import { connectionKey, type Connection } from "../../provider/src/ssh/connection.js";

type Theirs = types.input.remote.ConnectionArgs;

describe("connection", () => {
  it("is one object for this package and for @pulumi/command (checked by the compiler)", () => {
    const theirs: Theirs = {
      host: "mail.example.org",
      port: 2222,
      user: "admin",
      password: "p",
      privateKey: "k",
      privateKeyPassword: "kp",
      agentSocketPath: "/run/agent",
      dialErrorLimit: 3,
      perDialTimeout: 5,
      hostKey: "ssh-ed25519 AAAA",
      proxy: { host: "bastion.example.org", user: "jump", hostKey: "ssh-ed25519 AAAA" },
    };
    const ours: ConnectionArgs = theirs;
    const withoutSudo: Omit<ConnectionArgs, "become" | "becomePassword"> = ours;
    const back: Theirs = withoutSudo;
    assert.equal(back.host, "mail.example.org");
  });

  it("is one host whatever the order of its fields and whatever is left open, and another one where a value differs", () => {
    const one = { host: "mail.example.org", port: 22, proxy: { host: "bastion.example.org", user: "jump" } };
    const same = { proxy: { user: "jump", host: "bastion.example.org" }, user: undefined, port: 22, host: one.host };
    assert.equal(connectionKey(same), connectionKey(one));
    assert.deepEqual(JSON.parse(connectionKey(same)), one);
    assert.notEqual(connectionKey({ ...one, proxy: { ...one.proxy, user: "other" } }), connectionKey(one));
    assert.notEqual(connectionKey({ ...one, port: 23 }), connectionKey(one));
  });

  it("has exactly the fields of @pulumi/command's, and become and becomePassword (checked by the compiler)", () => {
    type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
    const fields: Same<keyof ConnectionArgs, keyof Theirs | "become" | "becomePassword"> = true;
    const proxyFields: Same<
      keyof Exclude<ConnectionArgs["proxy"], undefined | Promise<unknown> | { apply: unknown }>,
      keyof types.input.remote.ProxyConnectionArgs
    > = true;
    const resolvedFields: Same<keyof Connection, keyof ConnectionArgs> = true;
    const justTheHost: ConnectionArgs = { host: "mail.example.org" };
    assert.deepEqual([fields, proxyFields, resolvedFields, Object.keys(justTheHost)], [true, true, true, ["host"]]);
  });
});
