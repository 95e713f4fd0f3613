// A host that a distribution manages is never edited as if it were plain; what is on it already can still be taken back.
import { strict as assert } from "node:assert";
import { distributions, type Distribution, type Marker } from "../../provider/src/layouts/distributions.js";
import { startHost, type Host } from "../support/host.js";
import { create, type Resource } from "../support/resources.js";

/** Image and labels of a running container of each, as `docker ps` prints them. */
const containers: Readonly<Record<string, string>> = {
  mailcow: "ghcr.io/mailcow/dovecot:2.33 com.docker.compose.service=dovecot-mailcow",
  "docker-mailserver": "ghcr.io/docker-mailserver/docker-mailserver:15.1 com.docker.compose.service=mailserver",
  Mailu: "ghcr.io/mailu/dovecot:2024.06 com.docker.compose.service=imap",
};

const args: Readonly<Record<string, Record<string, unknown>>> = {
  DovecotProxyTrust: { proxies: ["192.0.2.10"] },
  PostfixXclientTrust: { proxies: ["192.0.2.10"] },
  MasterUser: { username: "vmadmin" },
  RelayAcceptance: { servers: ["192.0.2.20"] },
  OutboundRelay: { server: "192.0.2.20" },
};

const signs = distributions.flatMap((distribution) => distribution.markers.map((marker) => ({ distribution, marker })));

describe("a host that a distribution manages", () => {
  let host: Host;
  before(async () => {
    host = await startHost("bookworm");
  });
  after(() => host.stop());

  /** All five at once: one observation. */
  const createAll = () =>
    Promise.allSettled(Object.entries(args).map(([kind, given]) => create(host, { kind, name: "new" }, given)));

  it("is known for each of the distributions that the project names", () => {
    assert.deepEqual(
      distributions.map(({ name }) => name),
      [
        ...["mailcow", "Mail-in-a-Box", "docker-mailserver", "iRedMail", "Modoboa"],
        ...["Mailu", "ISPConfig", "Plesk", "cPanel"],
      ],
    );
  });

  for (const { distribution, marker } of signs) {
    it(`is refused for every resource: ${distribution.name} by ${JSON.stringify(marker)}`, async () => {
      const { plant, uproot, found } = sign(distribution, marker);
      await host.run(plant);
      try {
        const before = await host.files();
        for (const result of await createAll()) {
          assert.equal(result.status, "rejected");
          const { message } = result.reason as Error;
          assert.ok(message.includes(`is managed by ${distribution.name} (found: ${found})`), message);
          assert.ok(message.includes(distribution.overwrites), message);
          assert.ok(message.includes(`Make the change by ${distribution.name}'s own means`), message);
        }
        assert.deepEqual(await host.files(), before);
      } finally {
        await host.run(uproot);
      }
    });
  }

  it("is not one that runs other containers, or a container engine that cannot be asked", async () => {
    for (const script of [
      "echo 'docker.io/library/postgres:16 com.docker.compose.service=db,maintainer=mail'",
      "echo 'permission denied' >&2; exit 1",
    ]) {
      await host.run(fake("docker", script));
      const trust = await create(host, { kind: "PostfixXclientTrust" }, { proxies: ["192.0.2.10"] });
      await trust.remove();
    }
    await host.run("rm /usr/local/bin/docker");
  });

  it("gives back what was changed before the distribution came", async () => {
    const pristine = await host.files();
    const resources: Resource[] = await Promise.all(
      ["DovecotProxyTrust", "PostfixXclientTrust", "MasterUser", "RelayAcceptance"].map((kind) =>
        create(host, { kind }, args[kind] ?? {}),
      ),
    );
    assert.notDeepEqual(await host.files(), pristine);
    await host.run("touch /etc/mailinabox.conf");
    await Promise.all(resources.map((resource) => resource.remove()));
    await host.run("rm /etc/mailinabox.conf");
    assert.deepEqual(await host.files(), pristine);
    await host.run("doveadm who && postfix status");
  });
});

/** Scripts that put a marker on a host and take it away, and what the refusal says it found. */
function sign({ name }: Distribution, marker: Marker): { plant: string; uproot: string; found: string } {
  if ("path" in marker) {
    const { path } = marker;
    return { plant: `mkdir -p $(dirname ${path}) && touch ${path}`, uproot: `rm -r ${path}`, found: path };
  }
  if ("line" in marker) {
    const [file, text] = marker.line;
    const plant = `cp -a ${file} /tmp/kept && echo '${text} 2026-05-01.' >>${file}`;
    return { plant, uproot: `mv /tmp/kept ${file}`, found: file };
  }
  const running = containers[name] ?? assert.fail(`this test knows no container of ${name}`);
  // Both engines' command lines are the same in what is asked of them.
  const engine = name === "Mailu" ? "podman" : "docker";
  const lines = ["docker.io/library/redis:7 com.docker.compose.service=redis", running].join("\n");
  const script = `[ "$1" = ps ] && echo '${lines}'`;
  return { plant: fake(engine, script), uproot: `rm /usr/local/bin/${engine}`, found: "a running container" };
}

function fake(command: string, script: string): string {
  const path = `/usr/local/bin/${command}`;
  return `cat >${path} <<'END'\n#!/bin/sh\n${script}\nEND\nchmod 755 ${path}`;
}
