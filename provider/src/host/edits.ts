// Edits told in an administrator's words.
import type { Edit } from "./formats.js";

/** An edit in an administrator's words. */
export function describe(edit: Edit["edit"]): string {
  if ("set" in edit) return `${edit.parameter} = ${edit.set}`;
  if ("service" in edit) return `${edit.parameter} of ${edit.service}: ${edit.add.join(" ")}`;
  if ("parameter" in edit) return `${edit.parameter}: ${edit.add.join(" ")}`;
  if ("trust" in edit) return `login_trusted_networks for ${edit.trust}`;
  if ("separator" in edit) return `auth_master_user_separator = ${edit.separator}`;
  if ("master" in edit) return `the master passdb ${edit.master.file}`;
  return "include" in edit ? `the line that includes ${edit.include}` : `the line of ${edit.key}`;
}
