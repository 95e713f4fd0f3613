#!/usr/bin/env node
// The command line: `pulumi-dovecot-postfix plan` and `observer`.
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { leastRoom, type Room } from "../plan/cut.js";
import { harmless } from "../plan/harmless.js";
import { planMarkdown } from "../plan/markdown.js";
import { ansi, changesNothing, planText } from "../plan/text.js";
import { installation, type ObserverOptions } from "./observer.js";
import { planOfDestroy, planOfUpdate, type Made } from "./plan.js";
import { CommandError } from "./pulumi.js";

/** As `git diff --exit-code`: 0 nothing changes, 1 something does; whatever went wrong is above. */
const exits = { nothing: 0, changes: 1, error: 2 } as const;

interface Options {
  readonly destroy?: boolean;
  readonly format: "text" | "json" | "markdown";
  readonly exitCode?: boolean;
  readonly maxLength?: number;
  readonly whole?: string;
  readonly wholeAt?: string;
  readonly stack?: string;
  readonly cwd: string;
}

const formats: Readonly<Record<Options["format"], (made: Made, room?: Room) => string>> = {
  text: ({ plan }) => planText(plan, process.stdout.isTTY && !process.env["NO_COLOR"] ? ansi : undefined),
  json: ({ plan }) => `${JSON.stringify(plan, null, 2)}\n`,
  markdown: ({ plan, errors }, room) => planMarkdown(plan, { errors, room }),
};

async function plan(options: Options, command: Command): Promise<void> {
  const { format, maxLength, whole, wholeAt } = options;
  if (format !== "markdown" && (maxLength ?? whole ?? wholeAt) !== undefined)
    command.error("error: --max-length, --whole and --whole-at are for --format markdown");
  const made = await (options.destroy ? planOfDestroy(options) : planOfUpdate(options));
  const { errors } = made;
  if (whole !== undefined) write(whole, formats[format](made));
  const at = wholeAt ?? whole ?? "`npx pulumi-dovecot-postfix plan`";
  process.stdout.write(formats[format](made, maxLength === undefined ? undefined : { length: maxLength, whole: at }));
  for (const error of errors) process.stderr.write(`error: ${harmless(error)}\n`);
  const { hosts } = made.plan;
  const failed = made.failed || hosts.some((host) => host.failed);
  const unmade = hosts.some(({ notPlanned }) => notPlanned !== undefined);
  const changes = hosts.some((host) => !changesNothing(host));
  if (failed || (options.exitCode && unmade)) process.exitCode = exits.error;
  else if (options.exitCode && changes) process.exitCode = exits.changes;
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new CommandError((error as Error).message);
  }
}

function length(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= leastRoom) return number;
  throw new InvalidArgumentError(`It must be a whole number from ${leastRoom}.`);
}

function userName(text: string): string {
  if (/^[a-z_][a-z0-9_-]{0,31}$/.test(text)) return text;
  throw new InvalidArgumentError("It must be the name of a user, in lower-case letters.");
}

const { version } = JSON.parse(readFileSync(join(__dirname, "../../package.json"), "utf8")) as { version: string };

const program = new Command("pulumi-dovecot-postfix")
  .description("Prepares mail hosts for a move, with Pulumi: what will change on them.")
  .version(version)
  .showHelpAfterError("(add --help for all options)")
  .exitOverride();

program
  .command("plan")
  .description("Shows what `pulumi up` (or destroy) will change on the mail hosts of a stack. Writes nothing.")
  .option("--destroy", "what `pulumi destroy` would take back")
  .addOption(new Option("--format <format>", "how to show it").choices(["text", "json", "markdown"]).default("text"))
  .option("--exit-code", "exit with 1 where something changes, and 2 where a host could not be planned")
  .option("--max-length <characters>", "cut Markdown to fit a comment (GitHub's: 65536), and say what was cut", length)
  .option("--whole <file>", "write the Markdown that is not cut to this file as well")
  .option("--whole-at <where>", "where to read it whole, for whoever reads the cut one (default: the file's name)")
  .option("-s, --stack <name>", "the stack (default: the selected one)")
  .option("-C, --cwd <directory>", "the directory of the Pulumi program", process.cwd())
  .addHelpText(
    "after",
    `
Exit codes:
  0  the plan was made (with --exit-code: nothing changes)
  1  with --exit-code: something changes
  2  an error: the preview failed, or the arguments are wrong

Environment:
  NO_COLOR                            no colours, even on a terminal
  PULUMI_DOVECOT_POSTFIX_SSH_...      credentials that go before those in the state, for --destroy
  PULUMI_CONFIG_PASSPHRASE, ...       as for pulumi itself

Examples:
  npx pulumi-dovecot-postfix plan --stack prod
  npx pulumi-dovecot-postfix plan --format markdown --max-length 65536 --whole plan.md >comment.md
  npx pulumi-dovecot-postfix plan --destroy --exit-code`,
  )
  .action(plan)
  .exitOverride();

program
  .command("observer")
  .description(
    "Prints how a key can be let look at a mail host and do nothing else there: for previews of pull requests.",
  )
  .requiredOption("--key <file>", "the public key (- for stdin)")
  .option("--user <name>", "the login that the key is for, the one of `connection`", userName, "root")
  .addHelpText(
    "after",
    `
It connects to no host. What it prints is a shell script: an administrator reads it, and runs it on the host as root. A user who is
not root gets a line in sudoers; one who does not exist is made.

Examples:
  ssh-keygen -t ed25519 -f observer -N ''
  npx pulumi-dovecot-postfix observer --key observer.pub >install.sh
  ssh root@mail.example.com sh <install.sh`,
  )
  .action((options: ObserverOptions) => {
    process.stdout.write(installation(options), "latin1");
  })
  .exitOverride();

program.parseAsync().catch((error: unknown) => {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : exits.error;
  else {
    process.exitCode = exits.error;
    const known = error instanceof CommandError;
    process.stderr.write(`error: ${harmless(known ? error.message : String((error as Error).stack ?? error))}\n`);
  }
});
