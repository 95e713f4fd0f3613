// Networks as Postfix's lists write and match them (postconf(5) mynetworks, match_ops.c, cidr_match.c).
import ipaddr from "ipaddr.js";

/**
 * A network as a list element: IPv4 as it is, IPv6 with its address in brackets ("[2001:db8::1]/128"). A bare IPv6 address
 * reads as type:table: `postfix check` and `postfix reload` exit 0, and every smtpd dies.
 *
 * Throws RangeError for what is no address or network, and for one with host bits set, which Postfix answers with 451.
 */
export function postfixNetwork(cidr: string): string {
  const [address, length] = wantedNetwork(cidr);
  return address.kind() === "ipv6" ? `[${address.toString()}]/${length}` : `${address.toString()}/${length}`;
}

/**
 * Whether a list such as mynetworks holds the whole network. The first element that matches decides, as in Postfix:
 *
 * - "yes": an element contains it.
 * - "negated": an element with "!" contains it, or a part of it, before any that contains it: appending would not help.
 * - "unknown": no element decides, but there are tables, files, names or unexpanded `$name`, which might.
 * - "no": none of these.
 *
 * Throws RangeError where the network is none.
 */
export function covers(listElements: readonly string[], network: string): "yes" | "no" | "negated" | "unknown" {
  const wanted = wantedNetwork(network);
  let undecided = false;
  for (const element of listElements) {
    const pattern = element.replace(/^!+/, "");
    const negated = (element.length - pattern.length) % 2 === 1;
    const isTable = pattern.includes(":") && !pattern.startsWith("[");
    const listed = isTable ? undefined : parse(pattern);
    if (listed === undefined) undecided = true;
    else if (negated && (contains(listed, wanted) || contains(wanted, listed))) return "negated";
    else if (!negated && contains(listed, wanted)) return "yes";
  }
  return undecided ? "unknown" : "no";
}

/**
 * Why Postfix cannot read an element of such a list, and what to write instead; undefined: it can, or the element is no
 * address. `postfix check` and `postfix reload` exit 0 all the same (each case seen on 3.7 and 3.10).
 */
export function networkFault(element: string): { what: string; instead: string } | undefined {
  const pattern = element.replace(/^!+/, "");
  const [text = "", length] = pattern.replace(/[[\]]/g, "").split("/");
  if (/^[\d.]+\//.test(pattern) && !ipaddr.IPv4.isValidFourPartDecimal(text)) {
    return { what: "it is no address of four numbers", instead: "all four before the prefix length" };
  }
  if (!ipaddr.IPv4.isValidFourPartDecimal(text) && (text.includes("%") || !ipaddr.IPv6.isValid(text))) return undefined;
  const address = ipaddr.parse(text);
  const bits = address.kind() === "ipv4" ? 32 : 128;
  const written = (first: string, size: number) => (bits === 32 ? `${first}/${size}` : `[${first}]/${size}`);
  const single = written(address.toString(), bits);
  if (length !== undefined && !(/^\d+$/.test(length) && Number(length) <= bits)) {
    return {
      what: "it ends in no prefix length",
      instead: `a length up to ${bits}; for the single address, ${single}`,
    };
  }
  const size = length === undefined ? bits : Number(length);
  const first = firstAddress(address, size);
  if (bits === 128 && !pattern.startsWith("[")) {
    return { what: "an IPv6 address without brackets reads as type:table", instead: written(first, size) };
  }
  if (first === address.toString()) return undefined;
  return { what: "it has bits set behind its prefix length", instead: `${written(first, size)}, or ${single}` };
}

/** The network's own: without the bits behind the prefix length. */
export function firstAddress(address: ipaddr.IPv4 | ipaddr.IPv6, length: number): string {
  const kept = (index: number) => Math.min(8, Math.max(0, length - index * 8));
  const bytes = address.toByteArray().map((byte, index) => byte & (0xff << (8 - kept(index))) & 0xff);
  return ipaddr.fromByteArray(bytes).toString();
}

/** An IPv4 address in IPv6's clothes is a plain IPv4 one to Postfix: no `::ffff:` pattern would ever match. */
function wantedNetwork(text: string): Network {
  const network = parse(text);
  if (network === undefined) throw new RangeError(`not an address or network: ${JSON.stringify(text)}`);
  const [address, length] = network;
  const mapped = address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && length >= 96;
  return mapped ? [address.toIPv4Address(), length - 96] : network;
}

type Network = [address: ipaddr.IPv4 | ipaddr.IPv6, length: number];

/** "192.0.2.1", "192.0.2.0/24", "2001:db8::1", "[2001:db8::1]", "[2001:db8::]/32", "[2001:db8::/32]". */
function parse(text: string): Network | undefined {
  const parts = /^(?:\[([^\]/]+)(?:\/(\d{1,3})\]|\](?:\/(\d{1,3}))?)|([^[\]/]+)(?:\/(\d{1,3}))?)$/.exec(text);
  const address = parts?.[1] ?? parts?.[4] ?? "";
  const length = parts?.[2] ?? parts?.[3] ?? parts?.[5];
  if (ipaddr.IPv4.isValidFourPartDecimal(address)) return checked(ipaddr.IPv4.parse(address), length, 32);
  if (address.includes("%") || !ipaddr.IPv6.isValid(address)) return undefined;
  return checked(ipaddr.IPv6.parse(address), length, 128);
}

function checked(address: ipaddr.IPv4 | ipaddr.IPv6, length: string | undefined, bits: number): Network | undefined {
  const size = length === undefined ? bits : Number(length);
  return size <= bits && firstAddress(address, size) === address.toString() ? [address, size] : undefined;
}

function contains([outer, outerLength]: Network, [inner, innerLength]: Network): boolean {
  if (outerLength > innerLength) return false;
  if (outer instanceof ipaddr.IPv4) return inner instanceof ipaddr.IPv4 && inner.match(outer, outerLength);
  return inner instanceof ipaddr.IPv6 && inner.match(outer, outerLength);
}
