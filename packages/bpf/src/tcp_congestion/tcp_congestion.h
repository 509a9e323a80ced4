/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_TCP_CONGESTION_H
#define WAGGLE_TCP_CONGESTION_H

struct tcp_congestion_key {
	__u64 process_id;
	__u8 algorithm[16];
	__u8 role;
	/* enum tcp_ca_state (include/uapi/linux/tcp.h) */
	__u8 congestion_state;
	__u8 pad[6];
};
_Static_assert(sizeof(struct tcp_congestion_key) == 32, "no hidden padding");

struct tcp_congestion_value {
	__u64 connections;
	__u64 cwnd_segments;
	__u64 ssthresh_segments;
	__u64 ssthresh_connections;
	__u64 entered;
};

#endif
