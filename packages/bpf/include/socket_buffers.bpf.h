/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The map of socket buffers: the inventory adds how full they are, the hooks what did not fit. */
#ifndef WAGGLE_SOCKET_BUFFERS_BPF_H
#define WAGGLE_SOCKET_BUFFERS_BPF_H

#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "../src/socket_buffer/socket_buffer.h"
#include "drops.bpf.h"
#include "key_values.h"
#include "maps.bpf.h"
#include "tcp_socket.bpf.h"
#include "udp_socket.bpf.h"

/* Processes × services; 144 bytes an entry, two copies. */
WINDOW_MAP(socket_buffers, 2048, 1);

static __always_inline struct socket_buffers_value *buffers_slot(__u32 active, __u64 process_id, __u16 protocol, __u16 port)
{
	struct socket_buffers_key key = { .process_id = process_id, .protocol = protocol, .port = port };
	struct socket_buffers_value empty = {};
	return window_slot(socket_buffers, active, &key, &empty, 0);
}

#define ENOMEM 12

/* What the smallest datagram takes of a receive queue: its head and struct sk_buff (SKB_TRUESIZE() of 64-bit kernels). */
#define DATAGRAM_MEMORY_MIN 768

/* The port of a server; 0 of a client, whose port belongs to one connection. */
static __always_inline __u16 stream_port(struct tcp_sock *tp, const struct tcp_socket *socket)
{
	return socket && socket->role == ROLE_SERVER ? local_port(tp) : 0;
}

/* The port of a datagram socket if its program chose it; 0 if the kernel did. */
static __always_inline __u16 datagram_port(const struct sock *sk)
{
	return BPF_CORE_READ_BITFIELD(sk, sk_userlocks) & SOCK_BINDPORT_LOCK ? sk->__sk_common.skc_num : 0;
}

/*
 * Adds one socket to what is there at the end of the window. `sent`: bytes it holds for sending. Only the inventory writes these fields, one socket
 * at a time, so nothing here is atomic.
 */
static __always_inline void count_buffers(struct socket_buffers_value *slot, const struct sock *sk, int sent, int is_receive_full)
{
	int received = sk->sk_backlog.rmem_alloc.counter;
	int limit = sk->sk_sndbuf;
	slot->sockets += 1;
	slot->receive_bytes += received > 0 ? received : 0;
	slot->receive_limit_bytes += sk->sk_rcvbuf;
	slot->receive_full_sockets += is_receive_full ? 1 : 0;
	slot->send_bytes += sent > 0 ? sent : 0;
	slot->send_limit_bytes += limit;
	slot->send_full_sockets += sent >= limit ? 1 : 0;
}

/*
 * Something did not fit into the socket's queue. The hooks fire in softirq, or for whoever sends to a socket of the same host: the owner comes from
 * the socket's storage. `error`: of a datagram -ENOMEM if the queue was full, -ENOBUFS if there was no memory; else 0.
 */
static __always_inline void count_full(const struct sock *sk, int error)
{
	if (!sk)
		return;
	struct control *settings = get_control();
	if (!settings)
		return;
	__u16 family = sk->__sk_common.skc_family, protocol = sk->sk_protocol, port = 0;
	__u64 owner = PROCESS_UNKNOWN;
	if (family != AF_INET && family != AF_INET6) {
		protocol = PROTOCOL_FAMILY + (family & 0xff);
	} else if (protocol == IPPROTO_TCP) {
		struct tcp_sock *tp = bpf_skc_to_tcp_sock((void *)sk);
		struct tcp_socket *socket = bpf_sk_storage_get(&tcp_sockets, (void *)sk, 0, 0);
		if (tp && socket) {
			owner = socket->owner;
			port = stream_port(tp, socket);
		}
	} else if (protocol == IPPROTO_UDP) {
		struct udp_socket *socket = bpf_sk_storage_get(&udp_sockets, (void *)sk, 0, 0);
		owner = socket ? socket->owner : PROCESS_UNKNOWN;
		if (owner == PROCESS_UNKNOWN)
			owner = noted_udp_owner(sk, settings->window);
		port = datagram_port(sk);
	}
	__u32 active = *(volatile __u32 *)&settings->active;
	struct socket_buffers_value *slot = buffers_slot(active, owner, protocol, port);
	if (slot)
		__sync_fetch_and_add(&slot->full, 1);
	if (error == -ENOMEM && netns_of(sk) == settings->netns_inum)
		account_in_softirq(UdpRcvbufErrors, 1);
}

#endif
