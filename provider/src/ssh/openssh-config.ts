// What the user's OpenSSH configuration says of one host (ssh_config(5)): the few keywords that connection leaves open.
import { basename, dirname, isAbsolute, join } from "node:path";
import type * as sshConfig from "ssh-config" with { "resolution-mode": "import" };

/** How files are seen: the real ones, or a test's. */
export interface Files {
  /** The text, or undefined where there is no such readable file. */
  read(path: string): string | undefined;
  /** The names in a directory, none where it is not there. */
  list(path: string): readonly string[];
}

/** The keywords used, as they stand in the file: tokens and `~` not expanded. */
export interface OpenSshHost {
  readonly hostName?: string | undefined;
  readonly port?: string | undefined;
  readonly user?: string | undefined;
  readonly identityFiles: readonly string[];
  readonly identitiesOnly: boolean;
  readonly identityAgent?: string | undefined;
  readonly proxyJump?: string | undefined;
  readonly proxyCommand?: string | undefined;
  readonly hostKeyAlias?: string | undefined;
  readonly userKnownHostsFiles?: readonly string[] | undefined;
  readonly globalKnownHostsFiles?: readonly string[] | undefined;
}

/**
 * Looks `host` up in `~/.ssh/config`, with its `Include`s.
 * @throws Error where the file cannot be parsed.
 */
export async function openSshHost(
  host: string,
  user: string | undefined,
  home: string,
  files: Files,
): Promise<OpenSshHost> {
  const text = files.read(join(home, ".ssh/config"));
  if (text === undefined) return { identityFiles: [], identitiesOnly: false };
  // Here, not above: most machines have no such file; and its types are those of an ES module.
  const parser = await import("ssh-config");
  // matchExec: a `Match exec` runs a command of the file's choice: such a block is taken as not matching.
  const found = parse(text, { parser, home, files }, 0).compute(
    user === undefined ? { Host: host } : { Host: host, User: user },
    {
      ignoreCase: true,
      matchExec: false,
    },
  );
  const all = (keyword: string): string[] | undefined => {
    const value = found[keyword];
    return value === undefined ? undefined : [value].flat();
  };
  const one = (keyword: string): string | undefined => all(keyword)?.[0];
  return {
    hostName: one("hostname"),
    port: one("port"),
    user: one("user"),
    identityFiles: all("identityfile") ?? [],
    identitiesOnly: one("identitiesonly")?.toLowerCase() === "yes",
    identityAgent: one("identityagent"),
    proxyJump: one("proxyjump"),
    proxyCommand: one("proxycommand"),
    hostKeyAlias: one("hostkeyalias"),
    userKnownHostsFiles: all("userknownhostsfile"),
    globalKnownHostsFiles: all("globalknownhostsfile"),
  };
}

const DEEPEST_INCLUDE = 16; // as ssh(1)

interface Reader {
  readonly parser: typeof sshConfig;
  readonly home: string;
  readonly files: Files;
}

function parse(text: string, reader: Reader, depth: number): sshConfig.SSHConfig {
  const parsed = reader.parser.parse(text.replaceAll("\r\n", "\n"));
  expandIncludes(parsed, reader, depth);
  return parsed;
}

function expandIncludes(lines: sshConfig.SSHConfig, reader: Reader, depth: number): void {
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at];
    if (line === undefined || !("param" in line)) continue;
    if ("config" in line) expandIncludes(line.config, reader, depth);
    const keyword = line.param.toLowerCase();
    // ssh-config compares these two case-sensitively when it evaluates `Match`.
    if (keyword === "hostname") line.param = "HostName";
    if (keyword === "user") line.param = "User";
    // ssh-config would spawn nslookup for it.
    if (keyword === "canonicaldomains") lines.splice(at--, 1);
    if (keyword !== "include") continue;
    const patterns = typeof line.value === "string" ? [line.value] : line.value.map(({ val }) => val);
    const texts = depth < DEEPEST_INCLUDE ? patterns.flatMap((pattern) => included(pattern, reader)) : [];
    const replacement = texts.flatMap((text) => [...parse(text, reader, depth + 1)]);
    lines.splice(at, 1, ...replacement);
    at += replacement.length - 1;
  }
}

function included(pattern: string, { parser, home, files }: Reader): string[] {
  const expanded = pattern.replace(/^~(?=\/|$)/, home);
  const path = isAbsolute(expanded) ? expanded : join(home, ".ssh", expanded);
  const names = /[*?[]/.test(basename(path))
    ? files.list(dirname(path)).filter((name) => !name.startsWith(".") && parser.glob([basename(path)], name))
    : [basename(path)];
  return [...names].sort().flatMap((name) => files.read(join(dirname(path), name)) ?? []);
}
