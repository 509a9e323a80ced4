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
#include "tcp_congestion.bpf.h"
#include "tcp_socket.bpf.h"

/*
 * Fires before the state is stored, and also for the state that the connection is in: of each new one that it is open, which is nothing entered, but
 * also of a recovery or a loss that follows directly on another one, which the kernel counts anew (TCPSackRecovery, tcp_enter_recovery()).
 */
static __always_inline void handle_state(const struct sock *sk, __u8 state)
{
	if (!sk)
		return;
	struct control *settings = get_control();
	struct tcp_sock *tp = bpf_skc_to_tcp_sock((void *)sk);
	if (!settings || !tp)
		return;
	struct inet_connection_sock *icsk = &tp->inet_conn;
	if (state == TCP_CA_OPEN && BPF_CORE_READ_BITFIELD(icsk, icsk_ca_state) == TCP_CA_OPEN)
		return;
	struct tcp_socket *socket = bpf_sk_storage_get(&tcp_sockets, (void *)sk, 0, 0);
	__u32 active = *(volatile __u32 *)&settings->active;
	struct tcp_congestion_value *slot = congestion_slot(active, tp, socket, state);
	if (slot)
		__sync_fetch_and_add(&slot->entered, 1);
}

SEC("tp_btf/tcp_cong_state_set")
int BPF_PROG(on_tcp_cong_state_set, const struct sock *sk, __u8 state)
{
	cost_start(cost, on_tcp_cong_state_set, COST_RARE);
	handle_state(sk, state);
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
