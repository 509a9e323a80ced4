/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_TCP_RETRANSMIT_H
#define WAGGLE_TCP_RETRANSMIT_H

/* Values of `class` in the key. */
#define CLASS_OTHER 0
#define CLASS_FAST 1
#define CLASS_TIMEOUT 2
#define CLASS_TAIL_LOSS_PROBE 3
#define CLASS_SYN 4
#define CLASS_SYNACK 5

struct tcp_retransmits_key {
	__u64 process_id;
	__u8 peer[16];
	__u16 peer_port;
	__u16 port;
	__u8 role;
	__u8 class;
	__u8 pad[2];
};
_Static_assert(sizeof(struct tcp_retransmits_key) == 32, "starts like struct tcp_flow");

struct tcp_retransmits_value {
	__u64 segments;
};

#endif
