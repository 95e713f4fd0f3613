#!/usr/bin/env node
// The command line: `pulumi-dovecot-postfix plan`.
import { Command, CommanderError, Option } from "commander";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { harmless } from "../plan/harmless.js";
import { planMarkdown } from "../plan/markdown.js";
import type { Plan } from "../plan/schema.js";
import { ansi, changesNothing, planText } from "../plan/text.js";
import { planOfDestroy, planOfUpdate } from "./plan.js";
import { CommandError } from "./pulumi.js";

/** As `git diff --exit-code`: 0 nothing changes, 1 something does; whatever went wrong is above. */
const exits = { nothing: 0, changes: 1, error: 2 } as const;

interface Options {
  readonly destroy?: boolean;
  readonly format: "text" | "json" | "markdown";
  readonly exitCode?: boolean;
  readonly stack?: string;
  readonly cwd: string;
}

const formats: Readonly<Record<Options["format"], (plan: Plan) => string>> = {
  text: (plan) => planText(plan, process.stdout.isTTY && !process.env["NO_COLOR"] ? ansi : undefined),
  json: (plan) => `${JSON.stringify(plan, null, 2)}\n`,
  markdown: planMarkdown,
};

async function plan(options: Options): Promise<void> {
  const { plan: made, errors, failed } = await (options.destroy ? planOfDestroy(options) : planOfUpdate(options));
  process.stdout.write(formats[options.format](made));
  for (const error of errors) process.stderr.write(`error: ${harmless(error)}\n`);
  const unmade = made.hosts.some(({ notPlanned }) => notPlanned !== undefined);
  const changes = made.hosts.some((host) => !changesNothing(host));
  if (failed || (options.exitCode && unmade)) process.exitCode = exits.error;
  else if (options.exitCode && changes) process.exitCode = exits.changes;
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
  npx pulumi-dovecot-postfix plan --format markdown >comment.md
  npx pulumi-dovecot-postfix plan --destroy --exit-code`,
  )
  .action(plan)
  .exitOverride();

program.parseAsync().catch((error: unknown) => {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : exits.error;
  else {
    process.exitCode = exits.error;
    const known = error instanceof CommandError;
    process.stderr.write(`error: ${harmless(known ? error.message : String((error as Error).stack ?? error))}\n`);
  }
});
