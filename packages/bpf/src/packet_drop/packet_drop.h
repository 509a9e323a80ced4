/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_PACKET_DROP_H
#define WAGGLE_PACKET_DROP_H

struct packet_drops_key {
	__u64 process_id;
	/* enum skb_drop_reason of the running kernel. */
	__u32 reason;
	/* See key_values.h. */
	__u16 protocol;
	__u16 pad;
};
_Static_assert(sizeof(struct packet_drops_key) == 16, "no hidden padding");

struct packet_drops_value {
	__u64 packets;
	__u64 bytes;
};

#endif
