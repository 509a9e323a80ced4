/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How long connections wait in the accept queue: from the end of the handshake (tcp_connection.bpf.c) until accept() hands them out. */
#ifndef WAGGLE_ACCEPT_BPF_H
#define WAGGLE_ACCEPT_BPF_H

#include "call.bpf.h"
#include "drops.bpf.h"
#include "histogram.bpf.h"
#include "maps.bpf.h"
#include "open_file.bpf.h"
#include "syscall.h"
#include "tcp_accept.bpf.h"

/* Processes × ports × 10 buckets; 112 bytes an entry, two copies. */
WINDOW_MAP(tcp_accept_delay, 4096, BUCKETED_OTHERS);

/* A constant to the verifier: while it is 0 no accept() looks up its socket. */
const volatile __u8 wants_accept_delay = 1;

/* accept and accept4 that succeeded; what they return is the new descriptor. */
static __noinline int handle_accept_call(const struct call *call)
{
	if (call->ret < 0)
		return 0;
	__u64 sk = sock_of_file(file_of_fd(call->task, (__u32)call->ret));
	if (!sk)
		return 0;
	/* Anything but an established TCP connection that was noted is not in there. */
	struct waiting_connection *waiting = bpf_map_lookup_elem(&tcp_waiting, &sk);
	if (!waiting) {
		sk = first_subflow(sk);
		waiting = sk ? bpf_map_lookup_elem(&tcp_waiting, &sk) : 0;
	}
	if (!waiting)
		return 0;
	__u64 established_ns = waiting->established_ns;
	struct tcp_accept_delay_key key = { .process_id = call->process_id, .port = waiting->port };
	/* Of two threads that find it, one takes it. */
	if ((int)bpf_map_delete_elem(&tcp_waiting, &sk))
		return 0;
	__u64 delay_ns = bpf_ktime_get_ns() - established_ns;
	key.bucket = bucket_index(delay_ns);
	struct tcp_accept_delay_value empty = { .min = ~0ull };
	struct tcp_accept_delay_value *slot = window_slot(tcp_accept_delay, call->active, &key, &empty, key.bucket);
	if (slot)
		histogram_add_sampled((struct histogram_value *)slot, delay_ns, call->shift);
	return 0;
}

#endif
