import { strict as assert } from "node:assert";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../provider/src/ssh/connection.js";
import { AUTH_SOCK, type Credential, IDENTITY_FILE, settings } from "../../provider/src/ssh/settings.js";

describe("what connection leaves open", () => {
  it("has defaults: port 22, root, the agent, three identity files, known_hosts of user and machine", async () => {
    const to = await found({ host: "mail.example.org" }, { env: { SSH_AUTH_SOCK: "/run/agent" } });
    assert.deepEqual(
      [to.host, to.port, to.user, to.label],
      ["mail.example.org", 22, "root", "root@mail.example.org:22"],
    );
    assert.deepEqual(brief(to.credentials), [
      "agent /run/agent",
      "file /home/u/.ssh/id_ed25519",
      "file /home/u/.ssh/id_ecdsa",
      "file /home/u/.ssh/id_rsa",
    ]);
    assert.equal(to.hostKey.file, "/home/u/.ssh/known_hosts");
    assert.deepEqual([to.tries, to.tryMs, to.totalMs], [10, 15_000, 60_000]);
    assert.equal(to.jump, undefined);
  });

  it("is filled from the OpenSSH configuration", async () => {
    const config = `
      Host mail
        HostName mail.example.org
        Port 2222
        User admin
        IdentityFile ~/.ssh/mail_%r_%h
        IdentityAgent ~/agent.sock
      Host *
        User other
        IdentityFile ~/.ssh/everywhere`;
    const to = await found({ host: "mail" }, { config });
    assert.equal(to.label, "admin@mail.example.org:2222");
    assert.deepEqual(brief(to.credentials), [
      "agent /home/u/agent.sock",
      "file /home/u/.ssh/mail_admin_mail.example.org",
      "file /home/u/.ssh/everywhere",
    ]);
  });

  it("is filled only: what connection says goes first", async () => {
    const config = "Host *\n HostName a\n Port 1\n User b\n ProxyJump c\n";
    const to = await found(
      { host: "mail", port: 22, user: "root", privateKey: "K", password: "P", proxy: { host: "bastion", user: "j" } },
      { config: config.replace("HostName a\n", "") },
    );
    assert.equal(to.label, "root@mail:22");
    assert.equal(to.jump?.label, "j@bastion:1");
    assert.deepEqual(brief(to.credentials), ["key", "password"]);
  });

  const configs: { is: string; config: string; files?: Record<string, string>; expected: string }[] = [
    {
      is: "keywords in any case, with =",
      config: "host MAIL mail\n  hostname=h\n  PORT = 7\n uSER x",
      expected: "x@h:7",
    },
    { is: "%h in HostName", config: "Host mail\n HostName %h.example.org", expected: "root@mail.example.org:22" },
    { is: "negated patterns", config: "Host * !mail\n User x", expected: "root@mail:22" },
    { is: "the first value wins", config: "Host mail\n User first\nHost *\n User second", expected: "first@mail:22" },
    { is: "keywords before any Host", config: "User top\nHost mail\n User x", expected: "top@mail:22" },
    { is: "comments and quotes", config: '# c\nHost mail # c\n User "x" # c', expected: "x@mail:22" },
    { is: "Match host", config: "Host mail\n hostname h\nMatch host h\n User x", expected: "x@h:22" },
    { is: "Match originalhost", config: "Match originalhost mail\n User x", expected: "x@mail:22" },
    { is: "CRLF", config: "Host mail\r\n User x\r\n", expected: "x@mail:22" },
    {
      is: "Include, its wildcards, and what follows it",
      config: "Include conf.d/*.conf\nPort 7\nHost other\n User z",
      files: { "/home/u/.ssh/conf.d/a.conf": "Host mail\n User x", "/home/u/.ssh/conf.d/b": "Host mail\n HostName no" },
      expected: "x@mail:7",
    },
    {
      is: "Include within Host, and ~",
      config: "Host mail\n Include ~/more\nHost other\n Include ~/most",
      files: { "/home/u/more": "User x", "/home/u/most": "Port 9" },
      expected: "x@mail:22",
    },
    {
      is: "an Include of itself",
      config: "Include config\nHost mail\n User x",
      expected: "x@mail:22",
    },
  ];
  for (const { is, config, files, expected } of configs) {
    it(`takes ${is} from the OpenSSH configuration as ssh does`, async () => {
      assert.equal((await found({ host: "mail" }, { config, ...(files && { files }) })).label, expected);
    });
  }

  it("runs no command that the OpenSSH configuration names: a Match exec does not match", async () => {
    const ran = join(tmpdir(), `ssh-settings-${String(process.pid)}`);
    const to = await found({ host: "mail" }, { config: `Match exec "touch ${ran}"\n User x` });
    assert.deepEqual([to.label, existsSync(ran)], ["root@mail:22", false]);
  });

  it("an OpenSSH configuration that cannot be parsed is an error that names it", async () => {
    await assert.rejects(
      found({ host: "mail" }, { config: 'Host mail\n User "x' }),
      /\/home\/u\/\.ssh\/config cannot be read/,
    );
  });

  it("a port that is none is an error", async () => {
    for (const config of ["Port 0", "Port ssh", "Port 65536"]) {
      await assert.rejects(found({ host: "mail" }, { config }), /the port is not a number from 1 to 65535/);
    }
  });

  it("a silent host costs a bounded time, whatever the limits say", async () => {
    const limits = async (connection: Omit<Connection, "host">) => {
      const to = await found({ host: "mail", ...connection });
      return [to.tries, to.tryMs, to.totalMs];
    };
    assert.deepEqual(await limits({ dialErrorLimit: -1 }), [Infinity, 15_000, 600_000]);
    assert.deepEqual(await limits({ perDialTimeout: 0 }), [10, 120_000, 60_000]);
    assert.deepEqual(await limits({ dialErrorLimit: 0, perDialTimeout: 3 }), [1, 3_000, 600_000]);
  });

  it("an IPv6 address is told from its port", async () => {
    assert.equal((await found({ host: "2001:db8::7", port: 2222 })).label, "root@[2001:db8::7]:2222");
  });
});

describe("credentials", () => {
  it("are tried in this order: private key, given agent, password, the user's agent", async () => {
    const to = await found(
      { host: "mail", password: "P", privateKey: "K", privateKeyPassword: "KP" },
      { env: { SSH_AUTH_SOCK: "/run/agent" } },
    );
    assert.deepEqual(brief(to.credentials), ["key", "password", "agent /run/agent"]);
  });

  it("a given agent stands for the user's, not beside it", async () => {
    const to = await found({ host: "mail", agentSocketPath: "/given" }, { env: { SSH_AUTH_SOCK: "/run/agent" } });
    assert.deepEqual(brief(to.credentials).slice(0, 2), ["agent /given", "file /home/u/.ssh/id_ed25519"]);
  });

  it("named in the environment go before everything that connection and state hold", async () => {
    const env = { [IDENTITY_FILE]: "~/rotated", [AUTH_SOCK]: "/run/new", SSH_AUTH_SOCK: "/run/agent" };
    const to = await found(
      { host: "mail", privateKey: "OLD", proxy: { host: "bastion", privateKey: "JUMP" } },
      { env },
    );
    assert.deepEqual(brief(to.credentials), ["file /home/u/rotated", "agent /run/new", "key"]);
    assert.deepEqual(brief(to.jump?.credentials ?? []), ["file /home/u/rotated", "agent /run/new", "key"]);
  });

  it("IdentityAgent none, a variable and SSH_AUTH_SOCK mean what ssh takes them for", async () => {
    const env = { SSH_AUTH_SOCK: "/run/agent", OTHER: "/run/other" };
    const first = async (value: string) =>
      brief((await found({ host: "mail" }, { env, config: `IdentityAgent ${value}` })).credentials)[0];
    assert.equal(await first("none"), "file /home/u/.ssh/id_ed25519");
    assert.equal(await first("SSH_AUTH_SOCK"), "agent /run/agent");
    assert.equal(await first("$OTHER"), "agent /run/other");
    assert.equal(await first("/run/%u"), "agent /run/u");
  });

  it("IdentitiesOnly narrows the user's agent, not one that is given", async () => {
    const config = "IdentitiesOnly yes\nIdentityFile ~/k";
    const only = async (connection: Connection) => {
      const to = await found(connection, { config, env: { SSH_AUTH_SOCK: "/run/agent" } });
      return to.credentials.flatMap((each) => (each.kind === "agent" ? [each.only] : []));
    };
    assert.deepEqual(await only({ host: "mail" }), [true]);
    assert.deepEqual(await only({ host: "mail", agentSocketPath: "/given" }), [false]);
  });
});

describe("the way to the host", () => {
  it("leads over ProxyJump, each hop looked up by itself, with the local user's name", async () => {
    const config = `
      Host mail
        ProxyJump admin@one:2201,two
      Host two
        HostName two.example.org
        IdentityFile ~/two
      Host one
        ProxyJump zero`;
    const to = await found({ host: "mail" }, { config });
    const way = [];
    for (let at: typeof to | undefined = to; at; at = at.jump) way.push(at.label);
    assert.deepEqual(way, ["root@mail:22", "u@two.example.org:22", "admin@one:2201", "u@zero:22"]);
    assert.deepEqual(brief(to.jump?.credentials ?? []), ["file /home/u/two"]);
  });

  it("ends at the jump host where the same ProxyJump stands for every host", async () => {
    const to = await found({ host: "mail" }, { config: "Host *\n ProxyJump bastion" });
    assert.equal(to.jump?.label, "u@bastion:22");
    assert.equal(to.jump.jump, undefined);
  });

  it("a ring of jump hosts is an error, not an endless walk", async () => {
    const config = "Host mail\n ProxyJump a\nHost a\n ProxyJump b\nHost b\n ProxyJump a\n";
    await assert.rejects(
      found({ host: "mail" }, { config }),
      /ProxyJump "[ab]" of the OpenSSH configuration cannot be used/,
    );
  });

  it("ProxyJump none is none, ssh:// and [::1] are understood, nonsense is an error", async () => {
    const jump = async (value: string) =>
      (await found({ host: "mail" }, { config: `Host mail\n ProxyJump ${value}` })).jump?.label;
    assert.equal(await jump("none"), undefined);
    assert.equal(await jump("ssh://x@b:7"), "x@b:7");
    assert.equal(await jump("x@[::1]:7"), "x@[::1]:7");
    await assert.rejects(jump("a b"), /cannot be used/);
  });

  it("a ProxyCommand is told, for it is not run", async () => {
    const to = await found({ host: "mail" }, { config: "Host mail\n ProxyCommand nc %h %p" });
    assert.match(to.notes.join(), /ProxyCommand.*not supported/);
  });
});

describe("known hosts files", () => {
  const line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGci0U4lcRLHE2iHYXMAHhbgxAgXhMIKVr5gNZsL+pt5";

  it("are UserKnownHostsFile, several, with ~, and those of the machine", async () => {
    const files = {
      "/home/u/kh1": "",
      "/srv/kh2": `mail ${line}`,
      "/etc/ssh/ssh_known_hosts": `mail ${line}`,
    };
    const to = await found({ host: "mail" }, { config: "UserKnownHostsFile ~/kh1 /srv/kh2 /srv/kh3", files });
    assert.deepEqual(to.hostKey.searched, ["/home/u/kh1", "/srv/kh2", "/etc/ssh/ssh_known_hosts"]);
    assert.deepEqual(
      to.hostKey.keys.map((each) => each.from),
      ["/srv/kh2:1", "/etc/ssh/ssh_known_hosts:1"],
    );
    assert.equal(to.hostKey.file, "/home/u/kh1");
  });

  it("are searched for the HostName, and for HostKeyAlias where there is one, without a port", async () => {
    const files = { "/home/u/.ssh/known_hosts": `real.example.org ${line}\nalias ${line}` };
    const keys = async (config: string) =>
      (await found({ host: "mail" }, { config, files })).hostKey.keys.map((each) => each.from.slice(-1));
    assert.deepEqual(await keys("Host mail\n HostName real.example.org"), ["1"]);
    assert.deepEqual(await keys("Host mail\n HostKeyAlias alias\n Port 2222"), ["2"]);
    assert.deepEqual(await keys(""), []);
  });

  it("StrictHostKeyChecking no changes nothing", async () => {
    const config = "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\n";
    const to = await found({ host: "mail" }, { config });
    assert.deepEqual([to.hostKey.keys, to.hostKey.fingerprints], [[], []]);
  });
});

function found(
  connection: Connection,
  around: { env?: Record<string, string>; config?: string; files?: Record<string, string> } = {},
) {
  const files: Record<string, string> = {
    ...around.files,
    ...(around.config !== undefined && { "/home/u/.ssh/config": around.config }),
  };
  return settings(connection, {
    env: around.env ?? {},
    home: "/home/u",
    localUser: "u",
    read: (path) => files[path],
    list: (path) =>
      Object.keys(files)
        .filter((file) => file.startsWith(`${path}/`))
        .map((file) => file.slice(path.length + 1)),
  });
}

function brief(credentials: readonly Credential[]): string[] {
  return credentials.map((each) => {
    if (each.kind === "agent") return `agent ${each.socket}`;
    return each.kind === "file" ? `file ${each.path}` : each.kind;
  });
}
