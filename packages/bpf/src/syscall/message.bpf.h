/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What a call moved through a UDP socket, or a TCP connection to a DNS server, message by message: whose it is, between which addresses, and where
 * its bytes lie in user space. The call's arguments say so in four ways (enum shape).
 *
 * All of it lies in per-CPU memory and not on the stack, of which on_sys_exit has little left. Nothing else runs on_sys_exit on the same CPU
 * before it is done: the kernel skips a program that runs there already.
 */
#ifndef WAGGLE_MESSAGE_BPF_H
#define WAGGLE_MESSAGE_BPF_H

#include "call.bpf.h"
#include "dns_queries.bpf.h"
#include "open_file.bpf.h"
#include <bpf/bpf_endian.h>

/* recv flags (include/linux/socket.h): what is only looked at, or is an error report, was not received. */
#define MSG_PEEK 0x2
#define MSG_ERRQUEUE 0x2000

enum shape {
	/* (fd, buffer, length, flags, address, …): sendto, recvfrom, read, write */
	SHAPE_BUFFER,
	/* (fd, iovec, count): readv, writev */
	SHAPE_VECTOR,
	/* (fd, msghdr, flags): sendmsg, recvmsg */
	SHAPE_MESSAGE,
	/* (fd, mmsghdr, count, flags): sendmmsg, recvmmsg */
	SHAPE_MESSAGES,
};

/* As 64-bit programs have them (include/linux/socket.h, include/uapi/linux/uio.h). */
struct user_iovec {
	__u64 base;
	__u64 length;
};

struct user_msghdr {
	__u64 name;
	__u32 name_length;
	__u32 pad;
	__u64 vector;
	__u64 vector_length;
	__u64 control;
	__u64 control_length;
	__u32 flags;
	__u32 pad2;
};
_Static_assert(sizeof(struct user_msghdr) == 56, "as in the kernel");

struct user_mmsghdr {
	struct user_msghdr header;
	/* What was sent or received; written by the kernel. */
	__u32 bytes;
	__u32 pad;
};
_Static_assert(sizeof(struct user_mmsghdr) == 64, "as in the kernel");

/* A DNS message's header (RFC 1035, 4.1.1), a name and two numbers: 12 + 255 + 4 bytes. A power of two, so that a length is a mask. */
#define DNS_PACKET_BYTES 512
/* Buffers of one message, or of one call on a stream, that are looked into: glibc sends two queries as length, query, length, query. */
#define BUFFERS_MAX 4

struct message {
	/* The call. */
	__u64 process_id;
	__u64 socket;
	/* Argument 2, argument 3 of a vector, and argument 5 of what takes an address. */
	__u64 data;
	__u64 count;
	__u64 address;
	__u64 result;
	__u32 shape;
	__u32 is_sent;
	__u32 netns_inum;
	/* The socket: the peer it is connected to, and the port its program chose, 0 if the kernel did. */
	__u8 connected_peer[16];
	__u16 connected_port;
	__u16 port;
	/* The message that is looked at: its peer (all zero: not known), its bytes, and where they begin. */
	__u16 peer_port;
	/* The call stands for 2^shift calls (sampling.bpf.h). */
	__u16 shift;
	__u8 peer[16];
	__u64 bytes;
	__u64 buffer;
	__u64 buffer_bytes;
	/* The vector of buffers it is the first of, and how many there are; 0: it has none. */
	__u64 vector;
	__u64 vector_length;
	struct user_mmsghdr header;
	/* What the parser of names keeps between two bytes (dns_messages.bpf.h). */
	__u32 name_bytes;
	__u32 label_left;
	/* How much gather() has put into the packet, and where a stream's next message begins; 0: not known. */
	__u32 gathered;
	__u32 next_at;
	/* Where the message of DNS begins that is looked at. */
	__u32 dns_at;
	__u32 pad;
	/* Only DNS_PACKET_BYTES of it are used; the rest lets any part be put at any place before that. */
	__u8 packet[2 * DNS_PACKET_BYTES];
	struct dns_query query;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct message);
} messages SEC(".maps");

static __always_inline struct message *get_message(void)
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&messages, &key);
}

/* How the call's arguments say what was moved; -1 for a call that received nothing for good. */
static __always_inline int shape_of(const struct call *call)
{
	__u64 flags = 0;
	int shape = SHAPE_BUFFER;
	switch (call->syscall) {
	case NR_READV:
	case NR_WRITEV:
	case NR_PREADV2:
	case NR_PWRITEV2:
		return SHAPE_VECTOR;
	case NR_SENDMSG:
		return SHAPE_MESSAGE;
	case NR_SENDMMSG:
		return SHAPE_MESSAGES;
	case NR_RECVMSG:
		flags = call_argument_3(call->regs);
		shape = SHAPE_MESSAGE;
		break;
	case NR_RECVMMSG:
		flags = call_argument_4(call->regs);
		shape = SHAPE_MESSAGES;
		break;
	case NR_RECVFROM:
		flags = call_argument_4(call->regs);
		break;
	}
	return flags & (MSG_PEEK | MSG_ERRQUEUE) ? -1 : shape;
}

/* A program's struct sockaddr_in or sockaddr_in6. */
static __always_inline void read_address(struct message *message, __u64 address)
{
	struct {
		__u16 family;
		__u16 port;
		__u32 address;
	} start;
	if (!address || bpf_probe_read_user(&start, sizeof(start), (void *)address))
		return;
	if (start.family == AF_INET) {
		__u32 *words = (__u32 *)message->peer;
		words[0] = 0;
		words[1] = 0;
		words[2] = bpf_htonl(0xffff);
		words[3] = start.address;
	} else if (start.family != AF_INET6 || bpf_probe_read_user(message->peer, sizeof(message->peer), (void *)(address + 8))) {
		return;
	}
	message->peer_port = bpf_ntohs(start.port);
}

/* Looks at the message of that number. The call's own destination goes before the one the socket is connected to. */
static __always_inline void select_message(struct message *message, __u32 index)
{
	__builtin_memcpy(message->peer, message->connected_peer, sizeof(message->peer));
	message->peer_port = message->connected_port;
	message->bytes = message->result;
	message->buffer = message->data;
	message->buffer_bytes = message->result;
	message->vector = 0;
	message->vector_length = 0;
	__u64 address = 0;
	if (message->shape == SHAPE_BUFFER) {
		address = message->address;
	} else if (message->shape == SHAPE_VECTOR) {
		message->vector = message->data;
		message->vector_length = message->count;
	} else {
		__u64 stride = message->shape == SHAPE_MESSAGES ? sizeof(struct user_mmsghdr) : 0;
		message->buffer = 0;
		message->buffer_bytes = 0;
		if (stride) {
			if (bpf_probe_read_user(&message->header, sizeof(message->header), (void *)(message->data + index * stride)))
				return;
			message->bytes = message->header.bytes;
		} else if (bpf_probe_read_user(&message->header.header, sizeof(message->header.header), (void *)message->data)) {
			return;
		}
		address = message->header.header.name_length ? message->header.header.name : 0;
		message->vector = message->header.header.vector;
		message->vector_length = message->header.header.vector_length;
	}
	read_address(message, address);
	if (message->vector_length) {
		struct user_iovec first = {};
		bpf_probe_read_user(&first, sizeof(first), (void *)message->vector);
		message->buffer = first.base;
		message->buffer_bytes = first.length < message->bytes ? first.length : message->bytes;
	}
}

/*
 * Puts the selected message's bytes from `from` on into its packet, `wanted` of them at most, out of as many buffers as they lie in. Returns how many
 * there are. A global function: the verifier walks through it once.
 */
__noinline int gather(__u32 from, __u32 wanted)
{
	struct message *message = get_message();
	if (!message || from >= message->bytes)
		return 0;
	if (wanted > DNS_PACKET_BYTES - 1)
		wanted = DNS_PACKET_BYTES - 1;
	if (wanted > message->bytes - from)
		wanted = message->bytes - from;
	message->gathered = 0;
	for (__u32 i = 0; i < BUFFERS_MAX; i++) {
		struct user_iovec buffer = { .base = message->buffer, .length = message->buffer_bytes };
		if (i && (i >= message->vector_length || bpf_probe_read_user(&buffer, sizeof(buffer), (void *)(message->vector + i * sizeof(buffer)))))
			break;
		if (from >= buffer.length) {
			from -= buffer.length;
			continue;
		}
		__u32 at = *(volatile __u32 *)&message->gathered;
		if (at >= wanted)
			break;
		__u64 bytes = buffer.length - from;
		if (bytes > wanted - at)
			bytes = wanted - at;
		at &= DNS_PACKET_BYTES - 1;
		bytes &= DNS_PACKET_BYTES - 1;
		if (bpf_probe_read_user(message->packet + at, bytes, (void *)(buffer.base + from)))
			break;
		message->gathered = at + bytes;
		from = 0;
	}
	return message->gathered;
}

#endif
