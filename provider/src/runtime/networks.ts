// Addresses and networks as users write them, brought into one form: sorted, deduplicated, each as CIDR.
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { firstAddress } from "../postfix/networks.js";

/** The widest networks that may be trusted: a subnet, not half the internet. */
export const widest = { 4: 16, 6: 48 } as const;

/** What is wrong with one entry, and what to write instead; undefined: nothing. Never repeats the entry itself. */
export function networkProblem(text: string): string | undefined {
  const [address = "", length, ...rest] = text.trim().split("/");
  const version = isIP(address);
  if (version === 0 || address.includes("%") || rest.length > 0) {
    return 'must be an address or network such as "203.0.113.10", "203.0.113.8/29" or "2001:db8::10"; names are not trusted';
  }
  const parsed = ipaddr.parse(address);
  if (parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress())
    return 'must be written as IPv4, without "::ffff:"';
  const bits = version === 4 ? 32 : 128;
  if (length !== undefined && (!/^\d{1,3}$/.test(length) || Number(length) > bits)) {
    return `must end in a prefix length from 0 to ${bits}, or in none`;
  }
  const prefix = length === undefined ? bits : Number(length);
  const limit = version === 4 ? widest[4] : widest[6];
  if (prefix < limit) return `is too wide: networks up to /${limit} may be trusted; name the hosts or their subnet`;
  if (firstAddress(parsed, prefix) !== parsed.toString()) {
    return `has bits set behind its prefix length: write the network's first address, or the single address with /${bits}`;
  }
  return undefined;
}

/** CIDR networks, canonical and sorted; an entry that another one contains is merged into it. */
export function canonicalNetworks(texts: readonly string[]): string[] {
  const networks = texts.map((text) => {
    const [address = "", length] = text.trim().split("/");
    const parsed = ipaddr.parse(address);
    const prefix = length === undefined ? (parsed.kind() === "ipv4" ? 32 : 128) : Number(length);
    return { parsed, prefix, text: `${parsed.toString()}/${prefix}` };
  });
  const unique = new Map(networks.map((network) => [network.text, network]));
  const prefixes = [...new Set(networks.map(({ prefix }) => prefix))];
  // Not each with each: a list may be long.
  const isInside = ({ parsed, prefix }: Network) =>
    prefixes.some((wider) => wider < prefix && unique.has(`${firstAddress(parsed, wider)}/${wider}`));
  return [...unique.values()]
    .filter((network) => !isInside(network))
    .map(({ text }) => text)
    .sort();
}

/** An address inside a canonical network, to ask about. */
export function addressIn(network: string): string {
  return network.split("/", 1)[0] ?? "";
}

interface Network {
  readonly parsed: ipaddr.IPv4 | ipaddr.IPv6;
  readonly prefix: number;
}
