/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the TCP probes remember of a socket: whose it is, which side it is on, and how much of it is counted already. It lives in
 * the socket (SK_STORAGE) and ends with it; BPF_F_CLONE hands a listener's over to each connection it accepts.
 */
#ifndef WAGGLE_TCP_SOCKET_BPF_H
#define WAGGLE_TCP_SOCKET_BPF_H

#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "claim.bpf.h"
#include "drops.bpf.h"
#include "maps.bpf.h"
#include "process.bpf.h"

/* Values of `role` in keys. */
#define ROLE_UNKNOWN 0
#define ROLE_CLIENT 1
#define ROLE_SERVER 2

/* The connection was established, and so counts as opened; `closed` is due when it ends. */
#define SOCKET_ESTABLISHED 1
/* The owner is the listener's, or nobody: the first process that holds the socket takes over. */
#define SOCKET_OWNER_GUESSED 2
/* The inventory under way (or the last one) has met the owner among the holders. */
#define SOCKET_OWNER_SEEN 4
/* Two inventories have met the accepted connection: whether its accept() was seen is settled. */
#define SOCKET_ACCEPT_MET 8
#define SOCKET_ACCEPT_SETTLED 16

struct tcp_socket {
	/* process_id of the owner. */
	__u64 owner;
	/* A holder that is not the owner; takes over if a whole inventory does not meet the owner. */
	__u64 candidate;
	/* When the SYN was sent; 0 for a socket that did not connect under our eyes. */
	__u64 connect_ns;
	/* Totals of the socket that are counted already. */
	__u64 bytes_acked;
	__u64 bytes_received;
	__u32 segs_out;
	__u32 segs_in;
	__u32 total_retrans;
	/* The same total once more, counted by the retransmit hooks on their own. */
	__u32 retransmits_counted;
	union {
		/* tp->delivered at the last RTT sample: it rises with each acknowledgement of something new. */
		__u32 delivered;
		/* Of a listener: its sk_drops that are counted already. */
		__u32 drops;
	};
	union {
		/* Window of the last RTT sample. */
		__u32 rtt_window;
		/* Of a listener: window that its queue was last counted in. */
		__u32 queue_window;
	};
	/* Window of the last inventory that met the socket. */
	__u32 window;
	__u8 role;
	__u8 flags;
	__u16 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct tcp_socket);
} tcp_sockets SEC(".maps");

struct listener {
	__u32 netns_inum;
	__u16 port;
	__u16 pad;
};

/* Ports somebody listens on, noted while priming: tells the side of connections that are older than the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct listener);
	__type(value, __u32);
} listeners SEC(".maps");

/* What all TCP keys start with. */
struct tcp_flow {
	__u64 process_id;
	__u8 peer[16];
	__u16 peer_port;
	__u16 port;
	__u8 role;
	__u8 pad[3];
};
_Static_assert(sizeof(struct tcp_flow) == 32, "no hidden padding");

static __always_inline __u32 netns_of(const struct sock *sk)
{
	struct net *net = sk->__sk_common.skc_net.net;
	return net ? net->ns.inum : 0;
}

/* The peer as 16 bytes, IPv4 as ::ffff:a.b.c.d. */
static __always_inline void peer_address(__u8 *peer, const struct sock_common *common)
{
	__u32 *words = (__u32 *)peer;
	if (common->skc_family == AF_INET6 && bpf_core_field_exists(common->skc_v6_daddr)) {
		words[0] = common->skc_v6_daddr.in6_u.u6_addr32[0];
		words[1] = common->skc_v6_daddr.in6_u.u6_addr32[1];
		words[2] = common->skc_v6_daddr.in6_u.u6_addr32[2];
		words[3] = common->skc_v6_daddr.in6_u.u6_addr32[3];
	} else {
		words[0] = 0;
		words[1] = 0;
		words[2] = bpf_htonl(0xffff);
		words[3] = common->skc_daddr;
	}
}

/* inet_sport and not skc_num: tcp_set_state(TCP_CLOSE) gives the port back, and clears skc_num, before it tells us. */
static __always_inline __u16 local_port(struct tcp_sock *tp)
{
	return bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport);
}

/* Whether the window under way tells peers apart. */
static __always_inline _Bool tells_peers(const struct control *settings)
{
	return !settings || !mode_of(settings, *(volatile __u32 *)&settings->active)->coarse_peer;
}

/* A port that belongs to one connection only is 0, so that it cannot blow up the number of keys. */
static __always_inline void fill_flow(struct tcp_flow *flow, const struct sock *sk, struct tcp_sock *tp, const struct tcp_socket *socket)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	if (tells_peers(get_control()))
		peer_address(flow->peer, &sk->__sk_common);
	else
		__builtin_memset(flow->peer, PEER_OTHER, sizeof(flow->peer));
	if (!socket)
		return;
	flow->process_id = socket->owner;
	flow->role = socket->role;
	if (socket->role == ROLE_CLIENT)
		flow->peer_port = bpf_ntohs(sk->__sk_common.skc_dport);
	else if (socket->role == ROLE_SERVER)
		flow->port = local_port(tp);
}

/* Which side a connection between these ports is on, by who listened when the agent started, else by the port range. */
static __always_inline __u8 guess_role_of_ports(__u32 netns_inum, __u16 port, __u16 peer_port, const struct control *settings)
{
	struct listener key = { .netns_inum = netns_inum, .port = port };
	if (bpf_map_lookup_elem(&listeners, &key))
		return ROLE_SERVER;
	key.port = peer_port;
	if (bpf_map_lookup_elem(&listeners, &key))
		return ROLE_CLIENT;
	/* The kernel picks local ports from this range; a peer outside of it was dialled. */
	__u16 min = settings->ephemeral_port_min, max = settings->ephemeral_port_max;
	if (port >= min && port <= max && (peer_port < min || peer_port > max))
		return ROLE_CLIENT;
	return ROLE_UNKNOWN;
}

/* Which side a connection is on that was there before the agent. */
static __always_inline __u8 guess_role(const struct sock *sk, struct tcp_sock *tp, const struct control *settings)
{
	return guess_role_of_ports(netns_of(sk), local_port(tp), bpf_ntohs(sk->__sk_common.skc_dport), settings);
}

/*
 * tcp_sock.bytes_acked counts sequence numbers, of which SYN and FIN take one each. The SYN's is in the baseline of a client
 * (tcp_connection.bpf.c); the FIN's is taken off here once it is acknowledged: it was sent, and nothing is outstanding.
 */
static __always_inline __u64 payload_acked(struct tcp_sock *tp, int state)
{
	__u64 acked = tp->bytes_acked;
	int fin_sent = state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING || state == TCP_LAST_ACK;
	if (fin_sent && acked && tp->snd_una == tp->write_seq)
		acked--;
	return acked;
}

/* bytes_received counts the peer's FIN too. */
static __always_inline __u64 payload_received(const struct sock *sk, struct tcp_sock *tp)
{
	__u64 received = tp->bytes_received;
	if (received && (sk->__sk_common.skc_flags & (1UL << SOCK_DONE_BIT)))
		received--;
	return received;
}

/* From here on counts what comes; what the socket did before is not ours. */
static __always_inline void take_baseline(struct tcp_socket *socket, const struct sock *sk, struct tcp_sock *tp, int state)
{
	socket->bytes_acked = payload_acked(tp, state);
	socket->bytes_received = payload_received(sk, tp);
	socket->segs_out = tp->segs_out;
	socket->segs_in = tp->segs_in;
	socket->total_retrans = tp->total_retrans;
	socket->retransmits_counted = tp->total_retrans;
	socket->delivered = tp->delivered;
}

static __always_inline struct tcp_socket *create_tcp_socket(const struct sock *sk)
{
	struct tcp_socket *socket = bpf_sk_storage_get(&tcp_sockets, (void *)sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket)
		count_drop(sk_storage);
	return socket;
}

#endif
