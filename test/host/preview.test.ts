// What a preview shows of real hosts, what it costs them, and that it changes nothing.
import * as pulumi from "@pulumi/pulumi";
import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  DovecotProxyTrust,
  MailSource,
  MasterUser,
  OutboundRelay,
  PostfixXclientTrust,
  RelayAcceptance,
} from "pulumi-dovecot-postfix";
import { planSchema, type HostPlan, type Plan } from "pulumi-dovecot-postfix/plan";
import { during } from "../support/counts.js";
import { startHost, type Host } from "../support/host.js";
import { sampled } from "../support/sample.js";
import { createStack, type Program, type TestStack } from "../support/stack.js";

const proxies = ["203.0.113.10"];
const password = "correct-horse-battery-staple";
const restart = "{ postfix stop; doveadm stop; sleep 0.2; dovecot; postfix start; } </dev/null >/dev/null 2>&1";
const variables = ["PULUMI_DOVECOT_POSTFIX_PLAN", "PULUMI_DOVECOT_POSTFIX_PLAN_FILE"] as const;

for (const debian of sampled("trixie")) {
  describe(`a preview on ${debian}`, () => {
    let host: Host;
    let next: Host;
    let stack: TestStack;
    let pristine: Map<string, string>;
    let directory: string;
    const environment = Object.fromEntries(variables.map((name) => [name, process.env[name]]));

    before(async () => {
      [host, next] = await Promise.all([startHost(debian), startHost(debian)]);
      await next.run(
        `postconf -e "myhostname = new.example.net" "mynetworks = 127.0.0.0/8 ${host.address}/32"; touch -d "-5 seconds" /etc/postfix/main.cf; postfix reload`,
      );
      await host.run("touch -d '-5 seconds' /etc/postfix/*.cf");
      // Dovecot 2.4 writes one when it starts, and removes it.
      await host.run("while ls /run/dovecot/*.binary.* >/dev/null 2>&1; do sleep 0.05; done");
      pristine = await host.files();
      directory = mkdtempSync(join(tmpdir(), "plan-"));
      process.env["PULUMI_DOVECOT_POSTFIX_PLAN_FILE"] = join(directory, "plan.json");
    });
    beforeEach(async () => {
      stack = await createStack(five());
    });
    afterEach(() => {
      stack.remove();
    });
    after(async () => {
      for (const name of variables) {
        if (environment[name] === undefined) Reflect.deleteProperty(process.env, name);
        else process.env[name] = environment[name];
      }
      rmSync(directory, { recursive: true, force: true });
      await Promise.all([host.stop(), next.stop()]);
    });

    const five =
      (options: { without?: string; proxies?: string[]; master?: string } = {}): Program =>
      () => {
        const { connection } = host;
        const trusted = options.proxies ?? proxies;
        const is = (name: string) => options.without !== name;
        if (is("dovecot")) new DovecotProxyTrust("dovecot", { connection, proxies: trusted });
        if (is("xclient")) new PostfixXclientTrust("xclient", { connection, proxies });
        if (is("master")) new MasterUser(options.master ?? "master", { connection, username: "vmadmin", password });
        // The same host, written otherwise.
        const again = Object.fromEntries(Object.entries(connection).reverse()) as unknown as typeof connection;
        if (is("relay")) new RelayAcceptance("relay", { connection: again, servers: [next.address] });
        if (is("outbound")) new OutboundRelay("outbound", { connection, server: next.address });
        return Promise.resolve();
      };
    const shown = async (program?: Program): Promise<{ stdout: string; plan: Plan; first: HostPlan }> => {
      rmSync(join(directory, "plan.json"), { force: true });
      const { stdout } = await stack.preview(program);
      const plan = planSchema.parse(JSON.parse(readFileSync(join(directory, "plan.json"), "utf8")));
      return { stdout, plan, first: plan.hosts[0] ?? assert.fail() };
    };
    const fails = async (program: Program): Promise<string> => {
      let said = "";
      await assert.rejects(stack.preview(program), (error: Error) => {
        said = error.message;
        return true;
      });
      return said;
    };

    it("shows the lines, values, reloads and rights of five resources, for one connection and one round trip", async () => {
      const session = host.dialogue({ host: "127.0.0.1", port: 143 }, async (imap) => {
        await imap.expect(/^\* OK/m);
        await imap.send("a LOGIN alice@example.com alicepassword");
        await imap.expect(/^a OK/m);
        const { result, counts } = await during(host, () => shown());
        await imap.send("b LOGOUT");
        return { ...result, counts };
      });
      const { stdout, plan, counts } = await session;
      assert.deepEqual(counts, { connections: 1, commands: 1, dovecotReloads: 0, postfixReloads: 0 });
      assert.deepEqual(await host.files(), pristine);
      for (const line of [
        /^ +--- a\/etc\/postfix\/main\.cf$/m,
        /^ +\+smtpd_authorized_xclient_hosts = 203\.0\.113\.10\/32$/m,
        /^ +\+ {2}login_trusted_networks = 203\.0\.113\.10\/32$/m,
        /^ +\+vmadmin:\{\.\.\.\}$/m,
        /login_trusted_networks \(connections from 203\.0\.113\.10\): .*-> 203\.0\.113\.10\/32/,
        /reload dovecot: ends 1 imap session \(they reconnect\)/,
        /reload postfix: ends none/,
        /203\.0\.113\.10 may name any client address to Dovecot/,
        debian === "bookworm"
          ? /passwords without TLS \(Dovecot 2\.3: whatever `ssl` says\)/
          : /Narrower: ssl = required/,
        /XCLIENT LOGIN\), so send mail as any user without a password\. Narrower: .*\["submission\/inet","submissions\/inet"\]/,
        /vmadmin cannot send mail/,
        new RegExp(`${next.address} may deliver here and relay to any domain`),
        /All mail for other domains goes to/,
      ]) {
        assert.match(stdout, line);
      }
      assert.doesNotMatch(stdout, new RegExp(`${password}|\\{SHA512|warning:|error:`));
      const again = await shown();
      assert.deepEqual({ ...again.plan.hosts[0], reloads: [] }, { ...plan.hosts[0], reloads: [] });
    });

    it("and the `up` agree, or the `up` says what was changed in between", async () => {
      const { first } = await shown();
      const done = await stack.up();
      assert.match(done.stdout, new RegExp(`plan ${first.digest ?? ""}, as previewed`));
      const same = await shown();
      assert.match(same.stdout, /Plan for \S+ \([0-9a-f]{12}\): nothing to change\./);
      const { result, counts } = await during(host, () => stack.up());
      assert.deepEqual(result.changes, { same: 6 });
      assert.equal(counts.connections, 0, "an `up` with nothing to change asks no host");

      const more = five({ proxies: ["203.0.113.10", "203.0.113.11"] });
      const before = await shown(more);
      const fragment = before.first.files.map(({ path }) => path);
      assert.equal(fragment.length, 1);
      await host.run(`echo '# by the administrator' >>${fragment[0] ?? ""}`);
      const after = await stack.up(more);
      assert.match(
        after.stdout,
        new RegExp(`previewed was ${before.first.digest ?? ""}: ${fragment[0] ?? ""} changed in between`),
      );

      const renamed = await shown(five({ proxies: ["203.0.113.10", "203.0.113.11"], master: "renamed" }));
      assert.deepEqual(renamed.first.files, []);
      assert.match(renamed.stdout, /MasterUser renamed has what a resource that goes has still/);

      await host.run("echo '# kept' >>/etc/postfix/main.cf; touch -d '-5 seconds' /etc/postfix/main.cf");
      const less = await shown(five({ without: "outbound" }));
      assert.match(less.stdout, /OutboundRelay outbound goes: it is no longer declared/);
      assert.match(less.stdout, /^ +-relayhost = \[/m);
      assert.match(less.stdout, /main\.cf was edited by others since: what they wrote stays/);
      assert.doesNotMatch(less.stdout, /^ +-# kept/m);

      // Nothing new in the program, and yet something to write: an `up` alone would leave it.
      await host.run("postconf -e relayhost=; touch -d '-5 seconds' /etc/postfix/main.cf");
      assert.match((await shown(more)).stdout, /postfix's files on the host are not as the last `pulumi up` left them/);
      await stack.destroy();
      await host.run(`sed -i '/^# kept$/d' /etc/postfix/main.cf; rm -f ${fragment[0] ?? ""}; doveadm reload`);
    });

    it("fails for what an `up` would refuse, and only warns of what the new server answers", async () => {
      await host.run("postconf -e default_transport=smtp:[192.0.2.1]");
      assert.match(await fails(five()), /relayhost would have no effect/);
      await host.run("postconf -X default_transport");
      await next.run("postconf -e 'mynetworks = 127.0.0.0/8'; postfix reload");
      const { stdout, first } = await shown();
      assert.match(stdout, /warning: .*454|warning: .*(relay|Relay)/);
      assert.deepEqual(
        first.findings.map(({ owner, severity }) => [owner?.split("/").at(-1), severity]),
        [["outbound", "warning"]],
      );
      await next.run(`postconf -e "mynetworks = 127.0.0.0/8 ${host.address}/32"; postfix reload`);
    });

    it("does not need a host: unreachable, not known yet, or not to be asked", async () => {
      const away: Program = () => {
        const trust = new DovecotProxyTrust("away", { connection: { ...host.connection, port: 9 }, proxies });
        const connection = trust.dovecotVersion.apply(() => host.connection);
        new MasterUser("later", { connection, username: "vmadmin" });
        new RelayAcceptance("open", { connection: host.connection, servers: trust.trustedNetworks });
        return Promise.resolve();
      };
      const { stdout, plan } = await shown(away);
      assert.match(stdout, /Plan for \S+: not made\. .*:9: /);
      assert.match(stdout, /Plan for a host that is not known yet: not made\. Its address is known after the update\./);
      assert.match(stdout, /RelayAcceptance open is not known yet \(servers\)/);
      assert.equal(plan.hosts.length, 3);

      process.env["PULUMI_DOVECOT_POSTFIX_PLAN"] = "off";
      const off = await during(host, () => stack.preview());
      Reflect.deleteProperty(process.env, "PULUMI_DOVECOT_POSTFIX_PLAN");
      assert.equal(off.counts.connections, 0);
      assert.doesNotMatch(off.result.stdout, /Plan for/);
    });

    it("plans again, all together, when a resource comes later", async () => {
      const late: Program = async () => {
        new DovecotProxyTrust("dovecot", { connection: host.connection, proxies });
        await new Promise((resolve) => setTimeout(resolve, 1500));
        new RelayAcceptance("relay", { connection: host.connection, servers: [next.address] });
      };
      const { stdout, first } = await shown(late);
      assert.equal(stdout.match(/^ +Plan for /gm)?.length, 2);
      assert.deepEqual(
        first.resources.map(({ name }) => name),
        ["dovecot", "relay"],
      );
      assert.equal(first.files.length, 2);
    });

    it("finds what would make the move fail, and only where it is so", async () => {
      const found = async () =>
        (await shown()).first.findings
          .map(({ severity, text }) => `${severity}: ${text}`)
          .sort()
          .join("\n");
      assert.equal(await found(), "");
      await host.run(`
        cp -a /etc/dovecot /tmp/dovecot; cp -a /etc/postfix /tmp/postfix
        printf '%s\\n' 'auth_mechanisms = login' 'protocol imap {' 'mail_max_userip_connections = 5' '}' >>/etc/dovecot/local.conf
        echo 'listen = 127.0.0.1' >>/etc/dovecot/local.conf
        postconf -e inet_interfaces=loopback-only 'smtpd_sasl_tls_security_options = noanonymous, noplaintext' \
          'smtpd_sender_restrictions = reject_unknown_sender_domain' smtpd_milters=inet:127.0.0.1:9
        for service in submission submissions; do postconf -P $service/inet/smtpd_sasl_auth_enable=no; done
        touch -d '-5 seconds' /etc/postfix/*.cf
        ${restart}
        mkdir -p /run/fail2ban /etc/fail2ban
        printf '%s\\n' '[DEFAULT]' 'ignoreip = 127.0.0.1/8' '[sshd]' 'ignoreip = 203.0.113.10 ${next.address}' >/etc/fail2ban/jail.local
        setsid socat UNIX-LISTEN:/run/fail2ban/fail2ban.sock,fork STDIO </dev/null >/dev/null 2>&1 &
        until [ -S /run/fail2ban/fail2ban.sock ]; do sleep 0.05; done`);
      const bad = await found();
      for (const finding of [
        /^error: Dovecot on \S+ offers no PLAIN \(auth_mechanisms = login\)/m,
        /^warning: mail_max_userip_connections = 5 on /m,
        /^error: \S+ takes no IMAP connection from another host/m,
        /^warning: \S+ serves no ManageSieve to other hosts/m,
        /^error: \S+ takes no submission from another host/m,
        /^error: Postfix on \S+ offers no PLAIN even under TLS on submission\/inet, submissions\/inet/m,
        /^error: Postfix on \S+ offers no AUTH on submission\/inet, submissions\/inet/m,
        /^error: \S+ takes no mail from another host/m,
        /^error: fail2ban runs on \S+ and may ban the proxy 203\.0\.113\.10/m,
        /^error: fail2ban runs on \S+ and may ban the new server/m,
        /^warning: smtpd_sender_restrictions: before permit_mynetworks.*reject_unknown_sender_domain/m,
        /^warning: milters skip the new server's mail/m,
      ]) {
        assert.match(bad, finding);
      }
      const jails = (...lines: string[]) =>
        host.write("/etc/fail2ban/jail.local", lines.map((line) => `${line}\n`).join(""));
      await jails(
        "[DEFAULT]",
        "ignoreip = 127.0.0.1/8",
        "  203.0.113.0/24",
        "# and",
        `\t${next.address}`,
        "bantime = 1h",
      );
      assert.doesNotMatch(await found(), /fail2ban/);
      await jails("[postfix-sasl]", `ignoreip=203.0.113.10,${next.address}`, "[other]", "enabled = true");
      assert.doesNotMatch(await found(), /fail2ban/);
      await jails("[DEFAULT]", "ignoreip = 127.0.0.1/8", "bantime = 1h", `  203.0.113.10 ${next.address}`);
      assert.match(await found(), /fail2ban runs on/);
      await host.run(`
        rm -rf /etc/dovecot /etc/postfix /etc/fail2ban /run/fail2ban
        mv /tmp/dovecot /etc/dovecot; mv /tmp/postfix /etc/postfix
        ${restart}`);
    });

    it("is data of a component: known, not secret, and not there in an update", async () => {
      const seen: unknown[] = [];
      const component = (port: number) => async () => {
        const connection = { ...host.connection, port, dialErrorLimit: 1 };
        const { plan } = new MailSource("mail", {
          ...{ connection, proxies, servers: [next.address] },
          ...{ xclientServices: ["submission/inet"], masterUser: { username: "vmadmin" } },
        });
        new DovecotProxyTrust("other", { connection, proxies: ["203.0.113.99"] });
        plan.apply((value) => seen.push(value));
        assert.equal(await pulumi.isSecret(plan), false);
        return { plan };
      };
      await stack.preview(component(host.connection.port));
      const plan = planSchema.parse(seen[0]);
      assert.deepEqual(
        plan.hosts.map(({ resources }) => resources.map(({ kind }) => kind)),
        [["DovecotProxyTrust", "PostfixXclientTrust", "RelayAcceptance", "MasterUser"]],
      );
      assert.ok(plan.hosts[0]?.effects.every(({ narrower }) => !narrower?.includes("submission")));
      // The program runs all the same.
      await assert.rejects(stack.up(component(9)));
      assert.deepEqual(seen.slice(1), [undefined]);
    });

    it("takes nothing on the host at its word: escapes in main.cf are shown, not run", async () => {
      await host.run(
        "postconf -X mynetworks; printf '# \\033[31m<{%%fg 1%%}>\\033]0;x\\007\\n' >>/etc/postfix/main.cf",
      );
      const { stdout } = await shown(five({ without: "outbound" }));
      assert.doesNotMatch(stdout, /\x1b|\x07/);
      // Unset, it is computed; the list is then written down.
      assert.match(
        stdout,
        new RegExp(`^ +mynetworks: 127\\.0\\.0\\.\\S+ .*-> 127\\.0\\.0\\.\\S+ .*${next.address}/32$`, "m"),
      );
      assert.match(stdout, new RegExp(`^ +\\+mynetworks = 127\\.0\\.0\\..*${next.address}/32$`, "m"));
      assert.match(stdout, /\\x1b\[31m<\{ %fg 1%\}>\\x1b\]0;x\\x07/);
    });
  });
}
