// A host on paper: what an observation tells of a plain Debian host, to plan for without one.
import type { Site } from "../../provider/src/host/planning.js";
import { emptyLedger } from "../../provider/src/host/ledger.js";
import { plan, type FileChange } from "../../provider/src/host/plan.js";
import { contextOf, type Operation } from "../../provider/src/host/planning.js";
import type { Answer, Snapshot } from "../../provider/src/host/snapshot.js";
import { layoutOf } from "../../provider/src/layouts/index.js";

export type Dialect = "2.3" | "2.4";

export const paths = {
  dovecot: "/etc/dovecot/dovecot.conf",
  mainCf: "/etc/postfix/main.cf",
  masterCf: "/etc/postfix/master.cf",
};

const dovecotConf: Readonly<Record<Dialect, string>> = {
  "2.3":
    "protocols = imap pop3 sieve\npassdb {\n  driver = passwd-file\n  args = /etc/dovecot/users\n}\nuserdb {\n  driver = passwd-file\n  args = /etc/dovecot/users\n}\n!include conf.d/*.conf\n",
  "2.4":
    "protocols {\n  imap = yes\n  pop3 = yes\n  sieve = yes\n}\npassdb passwd-file {\n  passwd_file_path = /etc/dovecot/users\n}\nuserdb passwd-file {\n  passwd_file_path = /etc/dovecot/users\n}\n!include conf.d/*.conf\n",
};

const mainCf =
  "# Debian\nmyhostname = mail.example.com\nsmtpd_helo_restrictions = reject_invalid_helo_hostname, permit_mynetworks\nsmtpd_milters = inet:127.0.0.1:8891\nmynetworks = 127.0.0.0/8 [::1]/128\nrelayhost =\n";

const masterCf =
  "smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd\n  -o syslog_name=postfix/submission\n  -o smtpd_tls_security_level=encrypt\npickup unix n - y 60 1 pickup\n";

const effective = {
  ...{
    mail_version: "3.10.5",
    config_directory: "/etc/postfix",
    myhostname: "mail.example.com",
    default_transport: "smtp",
  },
  ...{ mynetworks: "127.0.0.0/8 [::1]/128", relayhost: "", smtpd_milters: "inet:127.0.0.1:8891" },
  smtpd_helo_restrictions: "reject_invalid_helo_hostname, permit_mynetworks",
};

export const hash = "{SHA512-CRYPT}$6$saltsalt$" + "h".repeat(86);

export function snapshotOf(dialect: Dialect): Snapshot {
  const texts = {
    [paths.dovecot]: dovecotConf[dialect],
    "/etc/dovecot/conf.d/10-mail.conf": "mail_home = /var/vmail/%{user}\n",
    [paths.mainCf]: mainCf,
    [paths.masterCf]: masterCf,
  };
  const files = Object.entries(texts).map(
    ([path, text]) => [path, { path, real: path, mode: "644", owner: "0:0", text }] as const,
  );
  const both = { dovecot: emptyLedger, postfix: emptyLedger };
  return {
    ...{
      host: "root@mail.example.com:22",
      root: true,
      hung: [],
      missingTools: [],
      markers: {},
      values: {},
    },
    ...{
      addresses: ["192.0.2.1"],
      files: new Map(files),
      interrupted: [],
      kept: [],
      ledgers: both,
      ledgersBefore: { dovecot: [], postfix: [] },
    },
    dovecot: {
      ...{ version: dialect === "2.3" ? "2.3.19.1 (9b53102964)" : "2.4.1-4 (7d8c0e5759)", configFile: paths.dovecot },
      ...{ settings: { text: dovecotConf[dialect], status: 0 }, running: true, sessions: {}, lookups: {} },
    },
    postfix: {
      ...{ version: "3.10.5", raw: effective, effective, mainCf: paths.mainCf, masterCf: paths.masterCf },
      ...{ running: true, wildcardTransports: [] },
    },
  };
}

/** The files as the operation's plan makes them. @throws Refusal */
export function planned(snapshot: Snapshot, operation: Operation): readonly FileChange[] {
  const answer = (name: string): Answer | undefined =>
    name === "hash" ? { text: hash, status: 0 } : { text: "", status: 0 };
  const site: Site = { snapshot, layout: layoutOf(snapshot), answer };
  const { contribution } = operation.contribute(site);
  const { owner, daemon } = operation;
  return plan(snapshot, daemon, [{ owner, contribution, effective: [] }], contextOf(snapshot)).changes;
}
