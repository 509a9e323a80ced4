/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Connections that are established and not accepted yet. A hash by the socket's address and no socket storage: whoever sees accept() return
 * knows the socket by its descriptor, which gives an address that the kernel's helpers do not take for a socket.
 */
#ifndef WAGGLE_TCP_ACCEPT_BPF_H
#define WAGGLE_TCP_ACCEPT_BPF_H

#include <bpf/bpf_helpers.h>
#include "drops.bpf.h"

struct waiting_connection {
	__u64 established_ns;
	/* Of the listener. */
	__u16 port;
	__u16 pad[3];
};

/* The queues of all listeners together; 88 bytes an entry. What finds no room is counted (tcp_waiting_full) and has no delay. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct waiting_connection);
} tcp_waiting SEC(".maps");

static __always_inline void await_accept(__u64 sk, __u16 port, __u64 now_ns)
{
	struct waiting_connection waiting = { .established_ns = now_ns, .port = port };
	if (bpf_map_update_elem(&tcp_waiting, &sk, &waiting, BPF_ANY))
		count_drop(tcp_waiting_full);
}

#endif
