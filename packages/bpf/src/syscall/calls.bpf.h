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

/* A call on a descriptor that may be a file's or a socket's. */
static __always_inline void handle_descriptor_call(const struct call *call)
{
	if (call->ret < 0)
		return;
	__u64 file = file_of_fd(call->task, (__u32)call_argument_1(call->regs));
	struct open_file parts = parts_of_file(file);
	__u32 type = type_of_inode(parts.inode);
	if (type == S_IFREG && wants_file_io && !mode_of_call(call)->off_file_io)
		count_file_io(call, file, parts, call->class == CALL_WRITE, call->ret);
	else if (type == S_IFSOCK && wants_socket_calls)
		handle_socket_call(call, file);
}

/* A function of its own, so that an ordinary call does not pay for what this keeps on the stack. */
static __noinline int handle_call(const struct call *call)
{
	const struct window_mode *mode = mode_of_call(call);
	_Bool wants_sockets = wants_socket_calls && !(mode->off_udp_traffic && mode->off_dns_queries);
	switch (call->class) {
	case CALL_READ:
	case CALL_WRITE:
		if ((wants_file_io && !mode->off_file_io) || wants_sockets)
			handle_descriptor_call(call);
		break;
	case CALL_SEND:
	case CALL_RECEIVE:
		/* These succeed on sockets only. */
		if (wants_sockets && call->ret >= 0)
			handle_socket_call(call, file_of_fd(call->task, (__u32)call_argument_1(call->regs)));
		break;
	case CALL_SENDFILE:
		if (wants_file_io && !mode->off_file_io)
			count_copy(call, (__u32)call_argument_2(call->regs), (__u32)call_argument_1(call->regs));
		break;
	case CALL_SPLICE:
		if (wants_file_io && !mode->off_file_io)
			count_copy(call, (__u32)call_argument_1(call->regs), (__u32)call_argument_3(call->regs));
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
	}
	return 0;
}

#endif
