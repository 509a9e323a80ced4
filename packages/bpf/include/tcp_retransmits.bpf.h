/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The map of retransmitted segments, and how a probe adds to it: the retransmit hooks, and whoever reads a socket's totals. */
#ifndef WAGGLE_TCP_RETRANSMITS_BPF_H
#define WAGGLE_TCP_RETRANSMITS_BPF_H

#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "../src/tcp_retransmit/tcp_retransmit.h"
#include "drops.bpf.h"
#include "maps.bpf.h"
#include "tcp_socket.bpf.h"

/* Flows that lose segments in one window × classes; 104 bytes an entry, two copies. */
WINDOW_MAP(tcp_retransmits, 8192, 1);

static __always_inline void count_segments(const struct control *settings, const struct sock *sk, struct tcp_flow *flow, __u8 class, __u64 segments)
{
	if (!segments)
		return;
	if (netns_of(sk) == settings->netns_inum)
		account(RetransSegs, segments);
	struct tcp_retransmits_key key;
	__builtin_memcpy(&key, flow, sizeof(key));
	key.class = class;
	struct tcp_retransmits_value empty = {};
	__u32 active = *(volatile __u32 *)&settings->active;
	struct tcp_retransmits_value *slot = window_slot(tcp_retransmits, active, &key, &empty, 0);
	if (slot)
		__sync_fetch_and_add(&slot->segments, segments);
}

/* The congestion state says why: a timeout enters Loss and duplicate ACKs enter Recovery before they send anything. */
static __always_inline __u8 class_of(int state, struct tcp_sock *tp)
{
	if (state == TCP_SYN_SENT)
		return CLASS_SYN;
	struct inet_connection_sock *icsk = &tp->inet_conn;
	__u8 congestion = BPF_CORE_READ_BITFIELD(icsk, icsk_ca_state);
	if (congestion == TCP_CA_LOSS)
		return CLASS_TIMEOUT;
	if (congestion == TCP_CA_RECOVERY)
		return CLASS_FAST;
	/* tcp_send_loss_probe() clears icsk_pending after it has sent. */
	if (icsk->icsk_pending == ICSK_TIME_LOSS_PROBE)
		return CLASS_TAIL_LOSS_PROBE;
	return CLASS_OTHER;
}

/*
 * Counts what a socket sent again and no hook told of, by the rise of its own total. `state`: the one it is in, or was in until now.
 */
static __noinline void settle_retransmits(const struct control *settings, const struct sock *sk, struct tcp_sock *tp, struct tcp_socket *socket, int state)
{
	if (!settings || !sk || !tp || !socket)
		return;
	__u32 segments = claim32(&socket->retransmits_counted, tp->total_retrans);
	if (!segments)
		return;
	struct tcp_flow flow;
	fill_flow(&flow, sk, tp, socket);
	count_segments(settings, sk, &flow, class_of(state, tp), segments);
}

#endif
