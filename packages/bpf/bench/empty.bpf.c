/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Programs that do nothing, on the hooks of the real ones: what the kernel's own statistics show for them is the floor. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define EMPTY(tracepoint)                \
	SEC("tp_btf/" #tracepoint)       \
	int empty_##tracepoint(void *ctx) \
	{                                \
		return 0;                \
	}

EMPTY(sys_enter)
EMPTY(sys_exit)
EMPTY(inet_sock_set_state)
EMPTY(tcp_retransmit_skb)
EMPTY(tcp_retransmit_synack)
EMPTY(tcp_send_reset)
EMPTY(tcp_receive_reset)
EMPTY(tcp_cong_state_set)
EMPTY(udp_fail_queue_rcv_skb)
EMPTY(kfree_skb)
EMPTY(task_newtask)
EMPTY(sched_process_free)
EMPTY(sched_process_exit)
EMPTY(sched_process_exec)
EMPTY(sched_switch)
EMPTY(block_rq_complete)
EMPTY(softirq_entry)
EMPTY(softirq_raise)

SEC("perf_event")
int empty_cpu_clock(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
