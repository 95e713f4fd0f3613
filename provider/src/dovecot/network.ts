// IP networks as Dovecot's filters and login_trusted_networks compare them (net_is_in_network).
import ipaddr from "ipaddr.js";

export interface Network {
  family: "ipv4" | "ipv6";
  /** Host bits are kept: to Dovecot `remote 10.0.0.1/8` and `remote 10.0.0.0/8` are two filters, though they match alike. */
  bytes: readonly number[];
  bits: number;
}

/** "10.0.0.0/8", "10.0.0.1", "2001:db8::/64"; undefined: something else, such as a host name. */
export function parseNetwork(text: string): Network | undefined {
  const [, host = "", length] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text.trim()) ?? [];
  if (!ipaddr.IPv4.isValidFourPartDecimal(host) && !ipaddr.IPv6.isValid(host)) return undefined;
  const address = ipaddr.parse(host);
  const bytes = address.toByteArray();
  const bits = length === undefined ? bytes.length * 8 : Number(length);
  return bits > bytes.length * 8 ? undefined : { family: address.kind(), bytes, bits };
}

/** Is every address of `inner` in `outer`? */
export function covers(outer: Network, inner: Network): boolean {
  return outer.bits <= inner.bits && matches(outer, inner);
}

/** Is the address of `at` in `network`? Its length is not looked at, as in Dovecot. */
export function matches(network: Network, at: Network): boolean {
  return (
    network.family === at.family &&
    network.bytes.every((byte, index) => {
      const shift = 8 - Math.min(8, Math.max(0, network.bits - index * 8));
      return byte >> shift === (at.bytes[index] ?? 0) >> shift;
    })
  );
}

/** "10.0.0.0", "2001:db8:0:0:0:0:0:1". */
export function addressText(network: Network): string {
  return ipaddr.fromByteArray([...network.bytes]).toString();
}
