// A host that a distribution manages is never edited as if it were plain.
import { strict as assert } from "node:assert";
import { posix } from "node:path";
import { distributions, type Marker } from "../../provider/src/layouts/distributions.js";
import { startHost, type Host } from "../support/host.js";
import { create, type Resource } from "../support/resources.js";

/** What each must be told by, for a change of the list to be a change here. */
const pinned = [
  ...["mailcow", "Mail-in-a-Box", "docker-mailserver", "iRedMail", "Modoboa", "Mailu", "ISPConfig", "Plesk", "cPanel"],
];

/** What `docker ps` prints for containers of each, as Docker Hub and the projects' compose files name them. */
const containers: Readonly<Record<string, readonly string[]>> = {
  mailcow: [
    "ghcr.io/mailcow/dovecot:2.33 com.docker.compose.project=mailcowdockerized,com.docker.compose.service=dovecot-mailcow",
    "mailcow/postfix:1.77 com.docker.compose.service=postfix-mailcow",
  ],
  "docker-mailserver": [
    "ghcr.io/docker-mailserver/docker-mailserver:15.1 com.docker.compose.service=mailserver",
    "docker.io/mailserver/docker-mailserver:latest com.docker.compose.service=mailserver",
  ],
  Mailu: ["ghcr.io/mailu/dovecot:2024.06 com.docker.compose.service=imap", "mailu/postfix:2.0 com.docker.compose.service=smtp"],
};

const kinds: Readonly<Record<string, Record<string, unknown>>> = {
  DovecotProxyTrust: { proxies: ["192.0.2.10"] },
  PostfixXclientTrust: { proxies: ["192.0.2.10"] },
  MasterUser: { username: "vmadmin" },
  RelayAcceptance: { servers: ["192.0.2.20"] },
  OutboundRelay: { server: "192.0.2.20" },
};

describe("a distribution's host", () => {
  let host: Host;
  let trust: Resource;
  before(async () => {
    host = await startHost("bookworm");
    trust = await create(host, { kind: "PostfixXclientTrust", name: "earlier" }, { proxies: ["192.0.2.99"] });
  });
  after(() => host.stop());

  /** Puts a sign there; resolves to what takes it away and what the refusal must call it. */
  async function put(marker: Marker, name: string): Promise<{ signs: { take: string; found: string }[] }> {
    if ("container" in marker) {
      const lines = containers[name] ?? assert.fail(`no container of ${name} in this test`);
      return {
        signs: lines.flatMap((line) =>
          ["docker", "podman"].map((engine) => ({ take: `/usr/local/bin/${engine}:${line}`, found: engine })),
        ),
      };
    }
    if ("line" in marker) return { signs: [{ take: "", found: marker.line[0] }] };
    await Promise.resolve();
    return { signs: [{ take: "", found: marker.path }] };
  }
  void put;
  void posix;
  void trust;
  void kinds;
  void pinned;
  void distributions;
});
