// What lets root take everything back without Pulumi: a README and a program that lie beside the ledger.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { stateDirectory } from "./snapshot.js";

export interface Keepsake {
  readonly readme: string;
  readonly program: string;
}

let made: Keepsake | undefined;

/** The same program that changes a host takes everything back: commit.sh, with undo.sh in front of it. */
export function keepsake(): Keepsake {
  return (made ??= make());
}

/** Its first line tells whether the program beside it is this release's. */
export function firstLine({ readme }: Keepsake): string {
  return readme.slice(0, readme.indexOf("\n"));
}

function make(): Keepsake {
  const parts = ["commit.sh", "undo.sh"].map((name) => readFileSync(join(__dirname, name), "latin1"));
  const program = ["#!/bin/sh", "{", ...parts, `undo ${stateDirectory} "$@"`, "exit", "}"].join("\n");
  const version = createHash("sha256").update(program).digest("hex").slice(0, 12);
  return { program, readme: readmeOf(version) };
}

const readmeOf = (version: string) => `pulumi-dovecot-postfix keeps its ledger here (undo ${version}).

It has changed settings of Dovecot or Postfix on this host for a move to a new mail server. Normally \`pulumi up\` and
\`pulumi destroy\`, run elsewhere, change and remove all of it, this directory included.

Without Pulumi, as root on this host:

  ${stateDirectory}/undo         shows what is ours and what would be taken out; changes nothing
  ${stateDirectory}/undo --yes   takes it out, reloads the daemons, proves that they answer

What somebody has edited since stays; where ours cannot be told from it, undo says what to do by hand.

  dovecot/ledger.json, postfix/ledger.json   which resource contributed what, and how each file was changed
  dovecot/before/, postfix/before/           the files as they were before
  dovecot/journal/, postfix/journal/         only while a change runs, or after one was cut off: the files to put back

The file of master users' passwords (hashes) is secret, and so is what is in here: root only.`;
