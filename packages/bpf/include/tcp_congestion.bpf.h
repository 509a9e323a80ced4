/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The map of congestion states: the inventory adds what connections stand at, the hook on transitions what they entered. */
#ifndef WAGGLE_TCP_CONGESTION_BPF_H
#define WAGGLE_TCP_CONGESTION_BPF_H

#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "../src/tcp_congestion/tcp_congestion.h"
#include "drops.bpf.h"
#include "maps.bpf.h"
#include "tcp_socket.bpf.h"

/* Processes × sides × five states × an algorithm or two; 136 bytes an entry, two copies. */
WINDOW_MAP(tcp_congestion, 2048, 1);

/* `socket` may be NULL. */
static __always_inline struct tcp_congestion_value *congestion_slot(__u32 active, struct tcp_sock *tp, const struct tcp_socket *socket, __u8 state)
{
	struct tcp_congestion_key key = { .congestion_state = state };
	if (socket) {
		key.process_id = socket->owner;
		key.role = socket->role;
	}
	const struct tcp_congestion_ops *algorithm = tp->inet_conn.icsk_ca_ops;
	*(__u64 *)&key.algorithm[0] = *(__u64 *)&algorithm->name[0];
	*(__u64 *)&key.algorithm[8] = *(__u64 *)&algorithm->name[8];
	struct tcp_congestion_value empty = {};
	return window_slot(tcp_congestion, active, &key, &empty, 0);
}

#endif
