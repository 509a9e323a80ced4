// SPDX-License-Identifier: Apache-2.0

/** IP protocol numbers (IANA, as in include/uapi/linux/in.h). */
const ipProtocols = new Map([
  [1, "icmp"],
  [2, "igmp"],
  [4, "ipip"],
  [6, "tcp"],
  [17, "udp"],
  [33, "dccp"],
  [41, "ipv6"],
  [46, "rsvp"],
  [47, "gre"],
  [50, "esp"],
  [51, "ah"],
  [58, "icmpv6"],
  [89, "ospf"],
  [94, "ipip_beet"],
  [103, "pim"],
  [112, "vrrp"],
  [115, "l2tp"],
  [132, "sctp"],
  [136, "udplite"],
  [137, "mpls"],
]);

/** Address families of sockets (include/linux/socket.h) whose packets are no IP. */
const families = new Map([
  [1, "unix"],
  [16, "netlink"],
  [17, "packet"],
  [29, "can"],
  [31, "bluetooth"],
  [40, "vsock"],
  [44, "xdp"],
]);

/** Ethertypes (include/uapi/linux/if_ether.h); below 0x600 they are the kernel's own. */
const etherTypes = new Map([
  [0x0004, "llc"],
  [0x000c, "can"],
  [0x0800, "ipv4"],
  [0x0806, "arp"],
  [0x8100, "vlan"],
  [0x86dd, "ipv6"],
  [0x8809, "lacp"],
  [0x8847, "mpls"],
  [0x8863, "pppoe"],
  [0x8864, "pppoe"],
  [0x888e, "eapol"],
  [0x88a8, "vlan"],
  [0x88cc, "lldp"],
  [0x88e5, "macsec"],
  [0x88f7, "ptp"],
]);

const FAMILY = 0x100;
const ETHERTYPE = 0x200;

/** Text of __u16 protocol in a key (packages/bpf/include/key_values.h); empty if it is not known. */
export function protocolName(value: number): string {
  if (value === 0) return "";
  if (value < FAMILY) return ipProtocols.get(value) ?? `ip_${value}`;
  if (value < ETHERTYPE) return families.get(value - FAMILY) ?? `family_${value - FAMILY}`;
  const etherType = value < 0x600 ? value - ETHERTYPE : value;
  return etherTypes.get(etherType) ?? `ethertype_0x${etherType.toString(16).padStart(4, "0")}`;
}
