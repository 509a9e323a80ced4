/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "cost.bpf.h"
#include "drops.bpf.h"
#include "maps.bpf.h"
#include "process.bpf.h"
#include "tcp_retransmits.bpf.h"
#include "tcp_socket.bpf.h"

/* tcp_skb_cb.tcp_gso_segs (include/net/tcp.h): behind seq and end_seq since Linux 4.0. */
#define CB_GSO_SEGS 8

/*
 * The socket's own total tells how many segments, as it rises with RetransSegs (__tcp_retransmit_skb()). So attempts that were not
 * traced (seen for a few of 1,000 probes on 6.18; always for those that failed below TCP before 6.14) are counted with the next
 * one that is, or by the inventory, or at the end of the connection (settle_retransmits()).
 */
static __always_inline void handle_retransmit(const struct sock *sk, const struct sk_buff *skb)
{
	if (!sk)
		return;
	struct control *settings = get_control();
	struct tcp_sock *tp = bpf_skc_to_tcp_sock((void *)sk);
	if (!settings || !tp)
		return;
	__u32 segments;
	struct tcp_socket *socket = bpf_sk_storage_get(&tcp_sockets, (void *)sk, 0, 0);
	if (socket) {
		segments = claim32(&socket->retransmits_counted, tp->total_retrans);
	} else {
		/* Older than the agent and held by nobody: what it sent again before is not ours. */
		__u16 gso_segments = 1;
		if (skb)
			gso_segments = *(__u16 *)&skb->cb[CB_GSO_SEGS];
		segments = gso_segments ? gso_segments : 1;
		socket = create_tcp_socket(sk);
		if (socket) {
			int state = sk->__sk_common.skc_state;
			take_baseline(socket, sk, tp, state);
			socket->total_retrans -= segments;
			socket->role = guess_role(sk, tp, settings);
			socket->flags = SOCKET_OWNER_GUESSED | (state == TCP_SYN_SENT ? 0 : SOCKET_ESTABLISHED);
		}
	}
	struct tcp_flow flow;
	fill_flow(&flow, sk, tp, socket);
	count_segments(settings, sk, &flow, class_of(sk->__sk_common.skc_state, tp), segments);
}

/* `sk` is the listener, whose owner is meant; with TCP Fast Open it is the child, which counts the segment in its total too. */
static __always_inline void handle_synack(const struct sock *sk, const struct request_sock *request)
{
	if (!sk || !request)
		return;
	struct control *settings = get_control();
	struct tcp_sock *tp = bpf_skc_to_tcp_sock((void *)sk);
	if (!settings || !tp)
		return;
	struct tcp_socket *socket = bpf_sk_storage_get(&tcp_sockets, (void *)sk, 0, 0);
	struct tcp_flow flow = { .role = ROLE_SERVER, .port = local_port(tp) };
	peer_address(flow.peer, &request->__req_common);
	if (socket) {
		flow.process_id = socket->owner;
		if (sk->__sk_common.skc_state != TCP_LISTEN)
			__sync_fetch_and_add(&socket->retransmits_counted, 1);
	}
	count_segments(settings, sk, &flow, CLASS_SYNACK, 1);
	/* Each SYN-ACK is made anew, so that the kernel counts it among OutSegs like the first one. */
	if (netns_of(sk) == settings->netns_inum)
		account(OutSegs, 1);
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(on_tcp_retransmit_skb, const struct sock *sk, const struct sk_buff *skb)
{
	cost_start(cost, on_tcp_retransmit_skb, COST_RARE);
	handle_retransmit(sk, skb);
	cost_end(cost);
	return 0;
}

SEC("tp_btf/tcp_retransmit_synack")
int BPF_PROG(on_tcp_retransmit_synack, const struct sock *sk, const struct request_sock *request)
{
	cost_start(cost, on_tcp_retransmit_synack, COST_RARE);
	handle_synack(sk, request);
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
