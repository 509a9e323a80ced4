/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Where signals hang that want to know of calls on sockets. */
#ifndef WAGGLE_SOCKET_CALLS_BPF_H
#define WAGGLE_SOCKET_CALLS_BPF_H

#include "call.bpf.h"
#include "dns_messages.bpf.h"
#include "message.bpf.h"
#include "open_file.bpf.h"
#include "udp_socket.bpf.h"
#include "udp_traffic.bpf.h"

/*
 * Whether anything below wants to be called. A constant to the verifier: while it is 0 no call looks up its socket, and what is behind it is
 * not even loaded.
 */
const volatile __u8 wants_socket_calls = 1;

/* Messages that one call can move (UIO_MAXIOV, include/uapi/linux/uio.h), in parts: the verifier walks through each round of a loop. */
#define MESSAGES_MAX 1024
#define MESSAGES_PART 32
/* Messages that are looked at of one call on a stream. */
#define STREAM_MESSAGES_MAX 16
/* A header, a name of one byte (the root's) and two numbers. */
#define DNS_QUERY_BYTES_MIN (DNS_HEADER_BYTES + 5)

/* One message of a call on a UDP socket. A global function: the verifier walks through it once, and not once for each message. */
__noinline int handle_datagram(__u32 index)
{
	struct message *message = get_message();
	if (!message)
		return 0;
	select_message(message, index);
	if (wants_udp_traffic)
		count_datagram(message);
	/* What is received without asking from whom may be an answer, too. */
	return wants_dns_queries && (message->peer_port == DNS_PORT || (!message->is_sent && !message->peer_port));
}

/* MESSAGES_PART of a call's messages, from `first` to below `count`. */
__noinline int handle_datagrams(__u32 first, __u32 count, __u32 wants_dns)
{
	for (__u32 i = 0; i < MESSAGES_PART; i++) {
		if (first + i >= count)
			break;
		if (handle_datagram(first + i) && wants_dns)
			handle_dns_message(0);
	}
	return 0;
}

/*
 * Looks for a message from `from` on in what a call on a connection to a DNS server moved. There a message has its length before it (RFC 1035, 4.2.2): in
 * the same call, or moved by a call of its own, and several may follow one another. Returns where the message itself begins, -1 if there is none;
 * message->next_at is where the next one's length is.
 */
__noinline int find_stream_message(__u32 from)
{
	struct message *message = get_message();
	if (!message)
		return -1;
	if (!from)
		select_message(message, 0);
	message->next_at = 0;
	int bytes = gather(from, sizeof(__u16) + DNS_HEADER_BYTES);
	if (bytes < DNS_HEADER_BYTES)
		return -1;
	const __u8 *packet = message->packet;
	__u32 length = packet[0] << 8 | packet[1];
	/*
	 * Behind a length a query has one question where another has no answers, and an answer has the bit that makes it one where another has the number of
	 * its questions, which is small.
	 */
	int has_length = message->is_sent ? !packet[6] && packet[7] == 1 : packet[4] >> 7;
	if (bytes < (int)sizeof(__u16) + DNS_HEADER_BYTES || length < (message->is_sent ? DNS_QUERY_BYTES_MIN : DNS_HEADER_BYTES) || !has_length)
		/* Within a call that began with a length only what has one is a message. */
		return from ? -1 : 0;
	__u64 next_at = (__u64)from + sizeof(__u16) + length;
	message->next_at = next_at < message->bytes ? next_at : 0;
	return from + sizeof(__u16);
}

/* All messages of a call on a connection to a DNS server. */
static __always_inline void handle_stream(struct message *message)
{
	__u32 from = 0;
	for (__u32 i = 0; i < STREAM_MESSAGES_MAX; i++) {
		int at = find_stream_message(from);
		if (at < 0)
			return;
		/* The message is read into the same place. */
		__u32 next_at = *(volatile __u32 *)&message->next_at;
		handle_dns_message(at);
		if (!next_at)
			return;
		from = next_at;
	}
}

/* What a struct sock starts with. */
struct sock_start {
	__u32 peer;
	__u32 local;
	__u32 hash;
	__u16 peer_port;
	__u16 port;
	__u16 family;
	__u8 others[30];
	__u64 net;
};
_Static_assert(sizeof(struct sock_start) == 56, "no hidden padding");

#define starts_with(field, at) (bpf_core_field_offset(struct sock, __sk_common.field) == (at))

#ifdef WAGGLE_DIRECT_LOADS

static __always_inline void read_sock_start(struct sock_start *start, struct sock *sk)
{
	__u64 address = (__u64)sk;
	__builtin_memset(start, 0, sizeof(*start));
	start->peer = kernel_field(struct sock, address, __sk_common.skc_daddr);
	start->peer_port = kernel_field(struct sock, address, __sk_common.skc_dport);
	start->port = kernel_field(struct sock, address, __sk_common.skc_num);
	start->family = kernel_field(struct sock, address, __sk_common.skc_family);
	start->net = kernel_field(struct sock, address, __sk_common.skc_net.net);
}

#else

/* A read by helper costs the same whatever its size: the fields by one where they lie as they have in every kernel seen (5.10 to 6.18), else one by one. */
static __always_inline void read_sock_start(struct sock_start *start, struct sock *sk)
{
	__builtin_memset(start, 0, sizeof(*start));
	if (starts_with(skc_daddr, 0) && starts_with(skc_dport, 12) && starts_with(skc_num, 14) && starts_with(skc_family, 16) && starts_with(skc_net, 48)) {
		bpf_probe_read_kernel(start, sizeof(*start), sk);
	} else {
		start->peer = BPF_CORE_READ(sk, __sk_common.skc_daddr);
		start->peer_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
		start->port = BPF_CORE_READ(sk, __sk_common.skc_num);
		start->family = BPF_CORE_READ(sk, __sk_common.skc_family);
		start->net = (__u64)BPF_CORE_READ(sk, __sk_common.skc_net.net);
	}
}

#endif

/* The socket's peer, its address as 16 bytes, IPv4 as ::ffff:a.b.c.d; all zero if it is not connected. */
static __always_inline void read_connected_peer(struct message *message, struct sock *sk, const struct sock_start *start)
{
	__u32 *words = (__u32 *)message->connected_peer;
	words[0] = 0;
	words[1] = 0;
	words[2] = 0;
	words[3] = 0;
	message->connected_port = bpf_ntohs(start->peer_port);
	if (!start->peer_port)
		return;
	if (start->family == AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		bpf_core_read(words, 16, &sk->__sk_common.skc_v6_daddr);
	} else {
		words[2] = bpf_htonl(0xffff);
		words[3] = start->peer;
	}
}

/* What the messages of the call have in common. False if there are none. */
static __always_inline _Bool begin_messages(struct message *message, const struct call *call, struct sock *sk, const struct sock_start *start)
{
	int shape = shape_of(call);
	if (shape < 0)
		return 0;
	message->process_id = call->process_id;
	message->socket = (__u64)sk;
	message->data = call_argument_2(call->regs);
	message->count = call_argument_3(call->regs);
	message->address = call->syscall == NR_SENDTO || call->syscall == NR_RECVFROM ? call_argument_5(call->regs) : 0;
	message->result = call->ret;
	message->shape = shape;
	message->shift = call->shift;
	message->netns_inum = kernel_field(struct net, start->net, ns.inum);
	message->is_sent = call->class == CALL_SEND || call->class == CALL_WRITE;
	message->port = kernel_bits(struct sock, (__u64)sk, sk_userlocks) & SOCK_BINDPORT_LOCK ? start->port : 0;
	read_connected_peer(message, sk, start);
	return 1;
}

static __noinline int handle_bind_call(const struct call *call)
{
	__u64 sk = sock_of_file(file_of_fd(call->task, (__u32)call_argument_1(call->regs)));
	if (sk && (__u16)kernel_field(struct sock, sk, sk_protocol) == IPPROTO_UDP)
		note_udp_owner(sk, call->process_id, call->settings->window);
	return 0;
}

/*
 * Every call that succeeded (ret >= 0) on a socket: classes CALL_SEND, CALL_RECEIVE, and CALL_WRITE, CALL_READ where the descriptor (argument 1)
 * is a socket's. `file` is the descriptor's file as an address, to be read by bpf_probe_read_kernel or BPF_CORE_READ (see sock_of_file). A call's
 * buffers lie in user space: bpf_probe_read_user, which fails for what is not in memory.
 *
 * Keep the first test cheap: all of TCP and of Unix sockets comes by.
 */
static __noinline int handle_socket_call(const struct call *call, __u64 file)
{
	struct sock *sk = (struct sock *)sock_of_file(file);
	struct sock_start start;
	read_sock_start(&start, sk);
	if (start.family != AF_INET && start.family != AF_INET6)
		return 0;
	__u16 protocol = kernel_field(struct sock, (__u64)sk, sk_protocol);
	/* A query and its answer are two calls: where only some are looked at, nearly all would seem to have no answer. */
	_Bool wants_dns = wants_dns_queries && !call->shift && !mode_of_call(call)->off_dns_queries;
	if (protocol != IPPROTO_UDP && !(protocol == IPPROTO_TCP && wants_dns && start.peer_port == bpf_htons(DNS_PORT)))
		return 0;
	/* A raw socket may have protocol UDP too: what it moves has its headers, and counts as nobody's datagram in the kernel. */
	if (protocol == IPPROTO_UDP && (__u16)kernel_field(struct sock, (__u64)sk, sk_type) != SOCK_DGRAM)
		return 0;
	struct message *message = get_message();
	if (!message || !begin_messages(message, call, sk, &start))
		return 0;
	if (protocol == IPPROTO_TCP) {
		handle_stream(message);
		return 0;
	}
	note_udp_owner(message->socket, message->process_id, call->settings->window);
	__u32 count = message->shape == SHAPE_MESSAGES ? message->result : 1;
	for (__u32 first = 0; first < MESSAGES_MAX; first += MESSAGES_PART) {
		if (first >= count)
			break;
		handle_datagrams(first, count, wants_dns);
	}
	return 0;
}

#endif
