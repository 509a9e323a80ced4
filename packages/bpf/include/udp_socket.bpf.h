/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whose a UDP socket is: the process that last sent or received on it. It lives in the socket (SK_STORAGE) for those who meet the socket where
 * `current` means nothing: a datagram that finds the receive queue full is dropped in softirq.
 */
#ifndef WAGGLE_UDP_SOCKET_BPF_H
#define WAGGLE_UDP_SOCKET_BPF_H

#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include "drops.bpf.h"

struct udp_socket {
	/* process_id */
	__u64 owner;
	/* Window of the last inventory that met the socket (on_tcp_inventory). */
	__u32 window;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct udp_socket);
} udp_sockets SEC(".maps");

/* Notes a process that holds the socket. */
static __always_inline void own_udp_socket(const struct sock *sk, __u64 process_id)
{
	struct udp_socket *socket = bpf_sk_storage_get(&udp_sockets, (void *)sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket)
		count_drop(sk_storage);
	else if (socket->owner != process_id)
		socket->owner = process_id;
}

#endif
