/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Hands the calls that are not ordinary to those who want them. */
#ifndef WAGGLE_CALLS_BPF_H
#define WAGGLE_CALLS_BPF_H

#include "accept.bpf.h"
#include "call.bpf.h"
#include "file_io.bpf.h"
#include "file_opens.bpf.h"
#include "fsync.bpf.h"
#include "open_file.bpf.h"
#include "socket_calls.bpf.h"

/*
 * Every handler is a function of its own: an ordinary call then does not pay for what they keep on the stack, and only those under way count towards
 * the 512 bytes that the stacks of nested functions may take together (6.12 and older).
 */

/*
 * A call on a descriptor that may be a file's or a socket's. Returns the file (an address) if it is a socket's and somebody wants those, else 0: what
 * handle_socket_call keeps on the stack must not come on top of what this does.
 */
static __noinline __u64 handle_descriptor_call(const struct call *call, _Bool wants_sockets)
{
	if (call->ret < 0)
		return 0;
	__u64 file = file_of_fd(call->task, (__u32)call_argument_1(call->regs));
	struct open_file parts = parts_of_file(file);
	__u32 type = type_of_inode(parts.inode);
	if (type == S_IFREG && wants_file_io && !mode_of_call(call)->off_file_io)
		count_file_io(call, file, parts, call->class == CALL_WRITE, call->ret);
	return type == S_IFSOCK && wants_sockets ? file : 0;
}

static __always_inline void handle_call(const struct call *call)
{
	const struct window_mode *mode = mode_of_call(call);
	_Bool wants_sockets = wants_socket_calls && !(mode->off_udp_traffic && mode->off_dns_queries);
	__u64 socket_file = 0;
	switch (call->class) {
	case CALL_READ:
	case CALL_WRITE:
		if ((wants_file_io && !mode->off_file_io) || wants_sockets)
			socket_file = handle_descriptor_call(call, wants_sockets);
		break;
	case CALL_SEND:
	case CALL_RECEIVE:
		/* These succeed on sockets only. */
		if (wants_sockets && call->ret >= 0)
			socket_file = file_of_fd(call->task, (__u32)call_argument_1(call->regs));
		break;
	case CALL_SENDFILE:
		if (wants_file_io && !mode->off_file_io)
			count_copy(call, (__u32)call_argument_2(call->regs), (__u32)call_argument_1(call->regs));
		break;
	case CALL_SPLICE:
		if (wants_file_io && !mode->off_file_io)
			count_copy(call, (__u32)call_argument_1(call->regs), (__u32)call_argument_3(call->regs));
		break;
	case CALL_SUBMIT:
		if (wants_file_io && !mode->off_file_io)
			handle_submit_call(call);
		break;
	case CALL_OPEN:
	case CALL_OPENAT:
		if (wants_file_opens && !mode->off_file_opens)
			handle_open_call(call);
		break;
	case CALL_SYNC:
		if (wants_fsync && !mode->off_fsync_latency)
			handle_sync_call(call);
		break;
	case CALL_ACCEPT:
		if (wants_accept_delay && !mode->off_tcp_accept_delay)
			handle_accept_call(call);
		break;
	case CALL_BIND:
		/* Who binds a socket may never move a datagram through it, but leave it full. */
		if (!call->ret)
			handle_bind_call(call);
		break;
	}
	if (wants_socket_calls && socket_file)
		handle_socket_call(call, socket_file);
}

#endif
