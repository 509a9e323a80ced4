/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_UDP_H
#define WAGGLE_UDP_H

struct udp_traffic_key {
	__u64 process_id;
	/* All zero: not known. */
	__u8 peer[16];
	__u16 peer_port;
	__u16 port;
	__u32 pad;
};
_Static_assert(sizeof(struct udp_traffic_key) == 32, "no hidden padding");

struct udp_traffic_value {
	__u64 datagrams_sent;
	__u64 bytes_sent;
	__u64 datagrams_received;
	__u64 bytes_received;
};

#endif
