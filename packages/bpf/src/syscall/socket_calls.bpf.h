/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Where signals hang that want to know of calls on sockets. */
#ifndef WAGGLE_SOCKET_CALLS_BPF_H
#define WAGGLE_SOCKET_CALLS_BPF_H

#include "call.bpf.h"
#include "open_file.bpf.h"

/*
 * Whether anything below wants to be called. A constant to the verifier: while it is 0 no call looks up its socket, and what is behind it is
 * not even loaded.
 */
const volatile __u8 wants_socket_calls = 0;

/*
 * Every call that succeeded (ret >= 0) on a socket: classes CALL_SEND, CALL_RECEIVE, and CALL_WRITE, CALL_READ where the descriptor (argument 1)
 * is a socket's. `file` is the descriptor's file as an address, to be read by bpf_probe_read_kernel or BPF_CORE_READ (see sock_of_file). A call's
 * buffers lie in user space: bpf_probe_read_user, which fails for what is not in memory.
 *
 * Keep the first test cheap: all of TCP and of Unix sockets comes by.
 */
static __noinline int handle_socket_call(const struct call *call, __u64 file)
{
	return 0;
}

#endif
