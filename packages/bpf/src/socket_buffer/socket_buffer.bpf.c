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
#include "socket_buffers.bpf.h"

/* Sockets that queue whole packets and are neither TCP nor UDP: raw, ICMP, vsock. */
SEC("tp_btf/sock_rcvqueue_full")
int BPF_PROG(on_sock_rcvqueue_full, const struct sock *sk)
{
	cost_start(cost, on_sock_rcvqueue_full, COST_RARE);
	count_full(sk, 0);
	cost_end(cost);
	return 0;
}

/* All sockets of the protocol together have reached its limit (tcp_mem, udp_mem), or those of a memory group theirs. */
SEC("tp_btf/sock_exceed_buf_limit")
int BPF_PROG(on_sock_exceed_buf_limit, const struct sock *sk)
{
	cost_start(cost, on_sock_exceed_buf_limit, COST_RARE);
	count_full(sk, 0);
	cost_end(cost);
	return 0;
}

/* A datagram found the receive queue full (RcvbufErrors), or no memory (MemErrors). */
SEC("tp_btf/udp_fail_queue_rcv_skb")
int BPF_PROG(on_udp_fail_queue_rcv_skb, int error, const struct sock *sk)
{
	cost_start(cost, on_udp_fail_queue_rcv_skb, COST_RARE);
	count_full(sk, error);
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
