/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whose a UDP socket is, for those who meet it where `current` means nothing: a datagram that finds the receive queue full is dropped in softirq. An
 * inventory writes it into the socket (SK_STORAGE); until one has met the socket, who bound it or moved a datagram through it stands in a table of places.
 */
#ifndef WAGGLE_UDP_SOCKET_BPF_H
#define WAGGLE_UDP_SOCKET_BPF_H

#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include "drops.bpf.h"
#include "process.bpf.h"

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

/*
 * By the address of the struct sock, which is all that a system call's end knows of a socket. Each place holds the last socket that fell to it, and is good for
 * its window and the next one, by when an inventory has met the socket; so nobody has to take out sockets that were closed. 24 bytes an entry.
 */
#define UDP_OWNER_PLACES 1024
struct udp_owner {
	__u64 socket;
	/* process_id */
	__u64 owner;
	__u32 window;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UDP_OWNER_PLACES);
	__type(key, __u32);
	__type(value, struct udp_owner);
} udp_owners SEC(".maps");

static __always_inline struct udp_owner *udp_owner_place(__u64 socket)
{
	__u32 place = (socket * 0x9e3779b97f4a7c15ull) >> 54;
	return bpf_map_lookup_elem(&udp_owners, &place);
}
_Static_assert(UDP_OWNER_PLACES == 1 << (64 - 54), "as many places as the hash has values");

/* Whoever reads it meanwhile finds nothing, and not half of it. */
static __always_inline void note_udp_owner(__u64 socket, __u64 process_id, __u32 window)
{
	struct udp_owner *place = udp_owner_place(socket);
	if (!place || (place->socket == socket && place->owner == process_id && place->window == window))
		return;
	*(volatile __u64 *)&place->socket = 0;
	*(volatile __u64 *)&place->owner = process_id;
	*(volatile __u32 *)&place->window = window;
	*(volatile __u64 *)&place->socket = socket;
}

/* PROCESS_UNKNOWN if nobody was seen with the socket lately. */
static __always_inline __u64 noted_udp_owner(const struct sock *sk, __u32 window)
{
	/* The verifier lets nobody reckon with a pointer, so it is read as a number. */
	__u64 socket = 0;
	bpf_probe_read_kernel(&socket, sizeof(socket), &sk);
	const struct udp_owner *place = udp_owner_place(socket);
	return place && *(volatile __u64 *)&place->socket == socket && window - place->window <= 1 ? place->owner : PROCESS_UNKNOWN;
}

#endif
