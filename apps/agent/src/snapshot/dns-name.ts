// SPDX-License-Identifier: Apache-2.0

/** Types of resource records (IANA DNS parameters) that resolvers ask for. */
const types = new Map([
  [1, "A"],
  [2, "NS"],
  [5, "CNAME"],
  [6, "SOA"],
  [12, "PTR"],
  [13, "HINFO"],
  [15, "MX"],
  [16, "TXT"],
  [28, "AAAA"],
  [29, "LOC"],
  [33, "SRV"],
  [35, "NAPTR"],
  [39, "DNAME"],
  [43, "DS"],
  [44, "SSHFP"],
  [46, "RRSIG"],
  [47, "NSEC"],
  [48, "DNSKEY"],
  [50, "NSEC3"],
  [51, "NSEC3PARAM"],
  [52, "TLSA"],
  [59, "CDS"],
  [60, "CDNSKEY"],
  [61, "OPENPGPKEY"],
  [64, "SVCB"],
  [65, "HTTPS"],
  [99, "SPF"],
  [249, "TKEY"],
  [250, "TSIG"],
  [251, "IXFR"],
  [252, "AXFR"],
  [255, "ANY"],
  [256, "URI"],
  [257, "CAA"],
]);

/** Answer codes of the DNS header (RFC 6895). */
const rcodes = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"] as const;

/** Not an answer code: none came in time (DNS_TIMEOUT, packages/bpf/include/key_values.h). */
const TIMEOUT = 0xff;

/** Text of __u16 query_type in a key: RFC 3597 for those without a name here. */
export function dnsTypeName(value: number): string {
  return types.get(value) ?? `TYPE${value}`;
}

/** Text of __u8 rcode in a key. */
export function dnsRcodeName(value: number): string {
  if (value === TIMEOUT) return "timeout";
  return rcodes[value] ?? `RCODE${value}`;
}
