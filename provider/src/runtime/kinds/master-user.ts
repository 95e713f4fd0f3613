// A master user: separator, a named master passdb, and one password file for each service that it may use.
import { randomBytes } from "node:crypto";
import { passdbs, masterResult, userdbs } from "../../dovecot/databases.js";
import { aclHinders, masterNames, masterSeparator } from "../../dovecot/master-user.js";
import { Refusal } from "../../host/errors.js";
import type { Edit } from "../../host/formats.js";
import type { Site } from "../../host/planning.js";
import { digestOf } from "../../host/snapshot.js";
import type { Change, Kind } from "../kind.js";
import { dovecotSite, type DovecotSite } from "./dovecot-site.js";

interface Args {
  readonly username: string;
  readonly password?: string;
  readonly passwordHash?: string;
  readonly separator?: string;
  readonly services?: readonly string[];
  readonly allowedNetworks?: readonly string[];
}

/** Every Dovecot of both dialects has it, whatever its libc. */
const scheme = "SHA512-CRYPT";
const defaultServices = ["imap", "sieve"];

export const masterUser: Kind<Args> = {
  daemon: "dovecot",
  replaces: ["username"],
  // What the host or we chose once stays when the program is silent about it.
  keeps: ["separator"],

  prepare(args, old) {
    if (args.password !== undefined || args.passwordHash !== undefined) return args;
    const made = old?.given.includes("password") === false ? old.password : undefined;
    return { ...args, password: made ?? randomBytes(24).toString("base64url") };
  },

  records({ password, passwordHash }, id) {
    const logins = [["logins"]];
    if (password !== undefined) return [...logins, ["hash", id("hash"), scheme, utf8(password)]];
    // Whether this Dovecot knows the scheme: with one that it does not, nothing complains before the first login.
    return passwordHash === undefined
      ? logins
      : [...logins, ["hash", id("hash"), schemeOf(passwordHash), "any password"]];
  },

  queries: () => [{ program: "doveconf", selector: "", name: "auth_master_user_separator", word: "" }],

  contribute(args, site, change) {
    const dovecot = dovecotSite(site);
    const { tree, dialect, facts } = dovecot;
    const { host } = site.snapshot;
    const { ledgers, oddLogins } = site.snapshot;
    // Where it is set already, a login that came later is its administrator's business.
    const isSet = ledgers.dovecot.contributions[change.owner] !== undefined;
    const wanted = args.separator ?? separatorInLedger(site, change);
    const chosen = masterSeparator(tree, dialect, wanted, isSet ? [] : oddLogins);
    if ("refuse" in chosen) throw refusal(host, chosen.refuse);
    if (args.username.includes(chosen.separator)) {
      throw new Refusal(
        `The username holds the separator "${chosen.separator}" of ${host}, so a login could not be split.`,
        "Choose a username without it.",
      );
    }
    if (args.passwordHash !== undefined && (site.answer("hash")?.status ?? 0) !== 0) {
      throw new Refusal(
        `Dovecot on ${host} does not know the scheme of \`passwordHash\`, the word in its braces: every login would fail.`,
        "Name a scheme that `doveadm pw -l` lists there.",
      );
    }
    const result = masterResult(passdbs(tree, dialect), userdbs(tree, dialect), dialect, (path) => facts.lookups[path]);
    if ("refuse" in result) {
      throw new Refusal(
        `${host}: ${result.refuse}.`,
        "Give Dovecot a passdb that can look its users up (passwd-file, sql) and is asked in every login, or a userdb that knows its users (passwd, passwd-file, sql, ldap).",
      );
    }
    const file = site.layout.passwordFile(facts.configFile);
    const master = { resultSuccess: result.resultSuccess, file };
    const fragment = [...(chosen.adopted ? [] : [{ separator: chosen.separator }]), { master }];
    const acl = aclHinders(tree, dialect);
    return {
      contribution: {
        kind: "MasterUser",
        edits: [...passwordLines(args, site, change, dovecot, file), ...dovecot.fragmentEdits(fragment)],
      },
      warnings: acl === undefined ? [] : [acl],
      already: [],
    };
  },

  outputs({ username }, { values, snapshot }) {
    const separator = (values[0] ?? "").slice(0, 1);
    return {
      separator,
      loginFormat: `{user}${separator}${username}`,
      dovecotVersion: snapshot.dovecot?.version,
    };
  },
};

/** As clients send it; a text for the host has one char a byte. */
function utf8(password: string): string {
  return Buffer.from(password, "utf8").toString("latin1");
}

/** "{SSHA512.b64}..." is of the scheme SSHA512.b64. */
function schemeOf(hash: string): string {
  return hash.slice(1, hash.indexOf("}"));
}

/** The reason ends in what to do about it. */
function refusal(host: string, reason: string): Refusal {
  const [, what = reason, cure = "see above"] = /^(.*): (.*)$/s.exec(reason) ?? [];
  return new Refusal(`${host}: ${what}.`, `${cure.charAt(0).toUpperCase()}${cure.slice(1)}.`);
}

/** The separator that this resource, or else another one of ours, has already set: it stays where the program is silent. */
function separatorInLedger({ snapshot }: Site, { owner }: Change<Args>): string | undefined {
  const all = snapshot.ledgers.dovecot.contributions;
  return [all[owner], ...Object.values(all)]
    .flatMap((one) => one?.edits ?? [])
    .flatMap(({ edit }) => ("separator" in edit ? [edit.separator] : []))[0];
}

/** One line in the file of each service: no file, no login there, so the master user cannot send mail. */
function passwordLines(args: Args, site: Site, change: Change<Args>, dovecot: DovecotSite, file: string): Edit[] {
  const { host } = site.snapshot;
  const served = servicesOf(dovecot);
  const services = args.services ?? defaultServices.filter((service) => served.includes(service));
  const absent = services.filter((service) => !served.includes(service));
  if (absent.length > 0 || services.length === 0) {
    throw new Refusal(
      `${host} does not serve ${(absent.length > 0 ? absent : defaultServices).join(", ")} (\`protocols\`).`,
      `Name one of: ${served.join(", ")}.`,
    );
  }
  const names = masterNames(dovecot.tree, dovecot.dialect, args.username);
  const nets = args.allowedNetworks ? `allow_nets=${args.allowedNetworks.join(",")}` : "";
  return services.flatMap((service) => {
    const path = `${file}.${service}`;
    const hash = hashFor(args, site, change, path);
    return names.map((key) => {
      const line = hash === undefined ? {} : { line: `${key}:${hash}::::::${nets}` };
      return { format: "secret-table" as const, path, edit: { key, ...line } };
    });
  });
}

/** The hash to write: the one given, the one that is there for the same password, or the one just made on the host. */
function hashFor(args: Args, site: Site, { old }: Change<Args>, path: string): string | undefined {
  if (args.passwordHash !== undefined) return args.passwordHash;
  const file = site.snapshot.files.get(path);
  const untouched = file !== undefined && digestOf(file) === site.snapshot.ledgers.dovecot.files[path]?.after;
  const present = file?.text
    .split("\n")
    .find((line) => line.startsWith(`${args.username}:`))
    ?.split(":")[1];
  if (old !== undefined && old.password === args.password && untouched && present !== undefined) return present;
  const answer = site.answer("hash");
  if (answer === undefined) return undefined;
  const made = /\{[A-Z0-9-]+\}\S+/.exec(answer.text)?.[0];
  if (answer.status !== 0 || made === undefined) {
    throw new Refusal(`doveadm pw on ${site.snapshot.host} made no hash.`, `Try \`doveadm pw -s ${scheme}\` there.`);
  }
  return made;
}

/** The services of `protocols` that a master user can be for. */
function servicesOf({ facts }: DovecotSite): string[] {
  const text = facts.settings.text;
  const block = /^protocols \{\n((?:(?!protocols ).*\n)*?)\}/m.exec(text)?.[1]?.replace(/^[ \t]*(\S+) = yes$/gm, "$1");
  const listed = block ?? /^protocols = "?([^"\n]*)"?$/m.exec(text)?.[1] ?? "imap pop3 lmtp";
  const names = new Set(listed.split(/\s+/).map((name) => (name === "managesieve" ? "sieve" : name)));
  return ["imap", "pop3", "sieve"].filter((service) => names.has(service));
}
