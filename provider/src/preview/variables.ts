/** Names the file into which a preview writes its plan, for the command. */
export const planFileVariable = "PULUMI_DOVECOT_POSTFIX_PLAN_FILE";
