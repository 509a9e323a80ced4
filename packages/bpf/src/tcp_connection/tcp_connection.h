/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_TCP_CONNECTION_H
#define WAGGLE_TCP_CONNECTION_H

struct tcp_connections_key {
	__u64 process_id;
	__u8 peer[16];
	__u16 peer_port;
	__u16 port;
	__u8 role;
	__u8 pad[3];
};
_Static_assert(sizeof(struct tcp_connections_key) == 32, "same layout as struct tcp_flow");

struct tcp_connections_value {
	__u64 bytes_sent;
	__u64 bytes_received;
	__u64 segments_sent;
	__u64 segments_received;
	__u64 segments_retransmitted;
	__u64 opened;
	__u64 closed;
	__u64 active;
	__u64 zero_window;
};

struct tcp_rtt_key {
	__u64 process_id;
	__u8 peer[16];
	__u16 peer_port;
	__u16 port;
	__u8 role;
	__u8 pad;
	__u16 bucket;
};
_Static_assert(sizeof(struct tcp_rtt_key) == 32, "starts like struct tcp_flow");

struct tcp_rtt_value {
	__u64 count;
	__u64 sum;
	__u64 min;
	__u64 max;
};

struct tcp_connect_latency_key {
	__u64 process_id;
	__u8 peer[16];
	__u16 peer_port;
	__u16 bucket;
	__u32 pad;
};
_Static_assert(sizeof(struct tcp_connect_latency_key) == 32, "no hidden padding");

struct tcp_connect_latency_value {
	__u64 count;
	__u64 sum;
	__u64 min;
	__u64 max;
};

struct tcp_connect_failures_key {
	__u64 process_id;
	__u8 peer[16];
	__u16 peer_port;
	/* 0: the caller closed the socket before there was an answer. */
	__u16 errno;
	__u32 pad;
};
_Static_assert(sizeof(struct tcp_connect_failures_key) == 32, "no hidden padding");

struct tcp_connect_failures_value {
	__u64 count;
};

struct tcp_listen_queue_key {
	__u64 process_id;
	__u16 port;
	__u8 pad[6];
};
_Static_assert(sizeof(struct tcp_listen_queue_key) == 16, "no hidden padding");

struct tcp_listen_queue_value {
	__u64 listeners;
	__u64 backlog;
	__u64 backlog_limit;
	__u64 drops;
};

#endif
