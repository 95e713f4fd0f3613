// Two stacks, each with an engine and a process of its own, change one host at the same time, in any order: what anyone wants
// is there, and the original bytes after the last has gone.
import { strict as assert } from "node:assert";
import { getStack } from "@pulumi/pulumi";
import { DovecotProxyTrust, MasterUser, PostfixXclientTrust, RelayAcceptance } from "pulumi-dovecot-postfix";
import { same } from "../support/cuts.js";
import { startHost, type Host } from "../support/host.js";
import { serves } from "../support/mail-client.js";
import { random, sampled, seed, soaking } from "../support/sample.js";
import { createStack, type Program, type TestStack } from "../support/stack.js";

const networks = ["198.51.100.7", "203.0.113.20"];
const passwordHash = `{SHA512-CRYPT}$6$rounds=1000$two$${"x".repeat(86)}`;
const rounds = soaking ? 8 : 2;

for (const debian of sampled("bookworm")) {
  describe(`two stacks at once on ${debian}`, function () {
    this.timeout(240_000);
    let host: Host;
    before(async () => {
      host = await startHost(debian);
    });
    after(() => host.stop());

    const program =
      (network: string): Program =>
      () => {
        const { connection } = host;
        new DovecotProxyTrust("trust", { connection, proxies: [network] });
        new MasterUser("master", { connection, username: getStack(), passwordHash });
        new PostfixXclientTrust("xclient", { connection, proxies: [network], services: ["submission/inet"] });
        new RelayAcceptance("relay", { connection, servers: [network] });
        return Promise.resolve();
      };
    /** In which of our places a network stands. */
    const there = async (network: string) => {
      const text = await host.run(`doveconf -n; cat /etc/dovecot/conf.d/*pulumi* 2>/dev/null; cat /etc/postfix/ma*.cf`);
      return ["login_trusted_networks = .*", "smtpd_authorized_xclient_hosts=.*", "mynetworks = .*"].filter((place) =>
        new RegExp(`${place}\\b${network.replaceAll(".", "\\.")}\\b`).test(text),
      ).length;
    };

    it(`in any order (CUTS_SEED=${seed})`, async () => {
      const draw = random(seed);
      const pristine = await host.files();
      const stacks: { name: string; stack: TestStack; network?: string | undefined }[] = await Promise.all(
        ["blue", "green"].map(async (name) => ({ name, stack: await createStack(program("192.0.2.1"), { name }) })),
      );
      try {
        for (let round = 0; round < rounds; round++) {
          await Promise.all(
            stacks.map(async (one) => {
              // The first round has both at work on a host that has nothing of ours, the next has at least one leave or change.
              const next = round > 0 && one.network && draw() < 0.5 ? undefined : networks[draw() < 0.5 ? 0 : 1];
              if (next === undefined) await one.stack.destroy();
              else await one.stack.up(program(next));
              one.network = next;
            }),
          );
          const wanted = stacks.flatMap(({ network }) => network ?? []);
          for (const network of networks) {
            const expected = wanted.includes(network) ? 3 : 0;
            assert.equal(await there(network), expected, `round ${round}: ${network}; wanted: ${wanted.join(", ")}`);
          }
          const masters = await host.run("sed 's/:.*//' /etc/dovecot/pulumi-*.imap 2>/dev/null | sort");
          const names = stacks.flatMap(({ name, network }) => (network ? `${name}\n` : []));
          assert.equal(masters, names.join(""), `round ${round}`);
        }
        await serves(host);
      } finally {
        await Promise.all(stacks.map(({ stack }) => stack.destroy()));
        for (const { stack } of stacks) stack.remove();
      }
      same(await host.files(), pristine);
    });
  });
}
