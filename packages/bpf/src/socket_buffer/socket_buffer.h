/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_SOCKET_BUFFER_H
#define WAGGLE_SOCKET_BUFFER_H

struct socket_buffers_key {
	__u64 process_id;
	/* See key_values.h. */
	__u16 protocol;
	__u16 port;
	__u32 pad;
};
_Static_assert(sizeof(struct socket_buffers_key) == 16, "no hidden padding");

struct socket_buffers_value {
	__u64 sockets;
	__u64 receive_bytes;
	__u64 receive_limit_bytes;
	__u64 receive_full_sockets;
	__u64 send_bytes;
	__u64 send_limit_bytes;
	__u64 send_full_sockets;
	__u64 full;
};

#endif
