// The audit of smtpd_*_restrictions: what stands before permit_mynetworks, where a listed server is not yet let through.
import { elements } from "./lists.js";

/**
 * The rules of one smtpd_*_restrictions value (expanded, as `postconf -hx` prints it) that a client in mynetworks meets
 * before permit_mynetworks and that may refuse or delay its mail, with their arguments, and whether it gets to
 * permit_mynetworks at all. Without permit_mynetworks all rules are meant.
 */
export function beforePermitMynetworks(value: string): { rules: string[]; permitMynetworks: boolean } {
  const rules: string[] = [];
  let logged = false;
  for (const rule of parse(value)) {
    if (rule.name === "permit_mynetworks") return { rules, permitMynetworks: true };
    // Nothing behind an unconditional rule is reached.
    if (rule.name === "permit") return { rules, permitMynetworks: false };
    if (mayRefuse(rule.name) && !logged) rules.push(rule.text);
    if (unconditional.has(rule.name) && !logged) return { rules, permitMynetworks: false };
    logged = rule.name === "warn_if_reject";
  }
  return { rules, permitMynetworks: false };
}

/** The rules of a smtpd_helo_restrictions value that judge the HELO name before permit_mynetworks, with their arguments. */
export function refusesHelo(value: string): string[] {
  return beforePermitMynetworks(value).rules.filter((rule) => {
    const name = rule.replace(/\s.*/s, "").toLowerCase();
    // A bare table in smtpd_helo_restrictions is short for check_helo_access.
    return helo.has(name) || name.includes(":");
  });
}

interface Rule {
  /** In lower case: Postfix compares so. */
  name: string;
  /** As written, with the argument. */
  text: string;
}

function parse(value: string): Rule[] {
  const words = elements(value);
  const rules: Rule[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const text = words[index] ?? "";
    const name = text.toLowerCase();
    const argument = takesArgument(name) ? words[index + 1] : undefined;
    if (argument !== undefined) index += 1;
    rules.push({ name, text: argument === undefined ? text : `${text} ${argument}` });
  }
  return rules;
}

/** Restrictions with an argument (smtpd_check.c). */
function takesArgument(name: string): boolean {
  return (
    /^check_\w+_access$/.test(name) ||
    /^reject_(rbl|rbl_client|rhsbl_\w+)$/.test(name) ||
    /^permit_(dnswl|rhswl)_client$/.test(name) ||
    ["check_policy_service", "check_address_map", "sleep"].includes(name)
  );
}

const unconditional: ReadonlySet<string> = new Set(["reject", "defer"]);

/** Everything that is no permit_*: reject_*, defer_*, check_*, sleep, a bare table, a class of smtpd_restriction_classes. */
function mayRefuse(name: string): boolean {
  return !name.startsWith("permit_") && name !== "warn_if_reject" && !harmless.has(name);
}

/** Changes only how a later refusal is answered. */
const harmless: ReadonlySet<string> = new Set(["defer_if_reject"]);

const helo: ReadonlySet<string> = new Set([
  "reject_invalid_helo_hostname",
  "reject_invalid_hostname",
  "reject_non_fqdn_helo_hostname",
  "reject_non_fqdn_hostname",
  "reject_unknown_helo_hostname",
  "reject_unknown_hostname",
  "reject_rhsbl_helo",
  "check_helo_access",
  "check_helo_a_access",
  "check_helo_mx_access",
  "check_helo_ns_access",
]);
