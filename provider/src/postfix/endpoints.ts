// Where a client on the host reaches the SMTP servers of a master.cf: what a dialogue can prove after a change.
import type { Service } from "./services.js";
import { elements } from "./lists.js";

export interface Endpoint {
  /** "submission/inet". */
  service: string;
  /** An address without brackets, or a name as Postfix has it. */
  host: string;
  port: number;
  /** How the dialogue begins: with a greeting, with TLS, or with postscreen's tests, which may hold the greeting back. */
  mode: "plain" | "implicit-tls" | "postscreen";
}

/** An SMTP server that cannot be asked, and why. */
export interface Unreachable {
  service: string;
  reason: string;
  /** It serves nobody: master_service_disable. */
  off?: true;
}

/**
 * The endpoints of every inet service that runs smtpd or postscreen, one each.
 *
 * `settings` gives main.cf's effective, expanded values (`postconf -hx`) of inet_interfaces, inet_protocols,
 * master_service_disable, smtpd_tls_wrappermode, smtpd_upstream_proxy_protocol, postscreen_upstream_proxy_protocol and of
 * what overrides refer to as `$name`.
 */
export function endpoints(
  masterCf: readonly Service[],
  settings: (parameter: string) => string,
): { endpoints: Endpoint[]; unreachable: Unreachable[] } {
  const found: Endpoint[] = [];
  const unreachable: Unreachable[] = [];
  for (const one of masterCf) {
    const program = one.command.slice(one.command.lastIndexOf("/") + 1);
    if (one.type !== "inet" || (program !== "smtpd" && program !== "postscreen")) continue;
    const service = `${one.name}/${one.type}`;
    const setting = (parameter: string): string => effective(one, parameter, settings);
    const target = listening(one.name, settings);
    const proxy = setting(`${program}_upstream_proxy_protocol`);
    if (isDisabled(service, settings("master_service_disable"))) {
      unreachable.push({ service, reason: "switched off by master_service_disable", off: true });
    } else if (proxy !== "") {
      unreachable.push({
        service,
        reason: `answers only behind a proxy (${program}_upstream_proxy_protocol = ${proxy})`,
      });
    } else if (typeof target === "string") {
      unreachable.push({ service, reason: target });
    } else if (program === "postscreen") {
      found.push({ service, ...target, mode: "postscreen" });
    } else {
      const wrapped = setting("smtpd_tls_wrappermode").toLowerCase() === "yes";
      found.push({ service, ...target, mode: wrapped ? "implicit-tls" : "plain" });
    }
  }
  return { endpoints: found, unreachable };
}

/** Port names as master.cf files use them; the rest is /etc/services' business. */
const ports: Readonly<Record<string, number>> = {
  smtp: 25,
  smtps: 465,
  submissions: 465,
  urd: 465,
  ssmtp: 465,
  submission: 587,
};

/** The override, `$name` in it expanded, else main.cf's value. */
export function effective(service: Service, parameter: string, settings: (parameter: string) => string): string {
  const override = service.overrides.findLast((one) => one.parameter === parameter);
  if (override === undefined) return settings(parameter).trim();
  return override.value
    .replace(/\$(?:(\w+)|\{(\w+)\}|\((\w+)\))/g, (_, plain?: string, braced?: string, round?: string) =>
      settings(plain ?? braced ?? round ?? ""),
    )
    .trim();
}

/** Host and port of a service's name, or why there is none. */
function listening(name: string, settings: (parameter: string) => string): { host: string; port: number } | string {
  const parts = /^(?:(?:\[(?:ipv6:)?([^\]]*)\]|(.*)):)?([^:[\]]+)$/i.exec(name);
  const portName = parts?.[3] ?? "";
  const port = /^\d+$/.test(portName) ? Number(portName) : ports[portName.toLowerCase()];
  if (port === undefined || port < 1 || port > 65535) return `its port ${JSON.stringify(portName)} is not known`;
  const host = parts?.[1] ?? parts?.[2] ?? "";
  if (host !== "") return { host: reachable(host), port };
  const local = interfaceHost(settings);
  return local === undefined ? "inet_interfaces names no address" : { host: local, port };
}

/** What a wildcard address is reached by. */
function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}

/** The address that a service without one in its name listens on: loopback if it does, else the first (postconf(5)). */
function interfaceHost(settings: (parameter: string) => string): string | undefined {
  const protocols = elements(settings("inet_protocols").toLowerCase());
  const v4 = protocols.length === 0 || protocols.includes("all") || protocols.includes("ipv4");
  const v6 = protocols.length === 0 || protocols.includes("all") || protocols.includes("ipv6");
  const loopback = v4 ? "127.0.0.1" : "::1";
  const listed = elements(settings("inet_interfaces")).map((host) => host.replace(/^\[(.*)\]$/, "$1"));
  if (listed.some((host) => /^(all|loopback-only)$/i.test(host))) return loopback;
  const usable = listed.filter((host) => (host.includes(":") ? v6 : v4 || !/^[\d.]+$/.test(host)));
  const own = usable.find((host) => host === "::1" || host === "localhost" || host.startsWith("127."));
  if (own === "localhost") return loopback;
  return own ?? usable[0];
}

/** Whether master(8) leaves the service out: the first pattern decides, `type`, `name/type`, or, before 2.11, `name.type`. */
function isDisabled(service: string, patterns: string): boolean {
  const type = service.slice(service.lastIndexOf("/") + 1);
  for (const pattern of elements(patterns.toLowerCase())) {
    const bare = pattern.replace(/^!+/, "");
    const negated = (pattern.length - bare.length) % 2 === 1;
    const full = bare.includes("/") ? bare : bare.replace(/\.([^.]*)$/, "/$1");
    if (full === service.toLowerCase() || full === type) return !negated;
  }
  return false;
}
