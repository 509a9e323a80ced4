/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What each program costs, known without BPF_ENABLE_STATS (which needs CAP_SYS_ADMIN and taxes every program of the host):
 * each run is counted, and one of 1,024 is timed in here; of rare hooks one of 16, and after the first 256 runs on a CPU one of 128: three readings of the clock
 * in one of 16 runs are 5 ns of each, which counts where a rare hook has its storm. The clock's own price is measured next to it and
 * taken off. Which one: inside of each stretch, because the first run of all pays for cold caches.
 */
#ifndef WAGGLE_COST_BPF_H
#define WAGGLE_COST_BPF_H

#include <bpf/bpf_helpers.h>

/* Runs per timed run, less one. */
#define COST_OFTEN 1023
#define COST_RARE 15
#define COST_KNOWN_RUNS 256
#define COST_KNOWN 127

/* Whether the run is timed that comes after so many. `mask` is known when this is compiled. */
static __always_inline _Bool is_run_timed(__u64 runs, __u32 mask)
{
	if (mask != COST_RARE)
		return (runs & mask) == mask / 2;
	return (runs & (runs < COST_KNOWN_RUNS ? COST_RARE : COST_KNOWN)) == COST_RARE / 2;
}

struct program_cost {
	__u64 events;
	/* Start of the run that is being timed, less what reading the clock takes; 0: none is. */
	__u64 started_ns;
	__u64 timed_events;
	__u64 timed_ns;
};

/* One field per program, named like it. */
struct program_costs {
	struct program_cost on_sys_enter;
	struct program_cost on_sys_exit;
	struct program_cost on_inet_sock_set_state;
	struct program_cost on_tcp_inventory;
	struct program_cost on_tcp_retransmit_skb;
	struct program_cost on_tcp_retransmit_synack;
	struct program_cost on_tcp_send_reset;
	struct program_cost on_tcp_receive_reset;
	struct program_cost on_tcp_cong_state_set;
	struct program_cost on_sock_rcvqueue_full;
	struct program_cost on_sock_exceed_buf_limit;
	struct program_cost on_sched_switch;
	struct program_cost on_task_inventory;
	struct program_cost on_task_newtask;
	struct program_cost on_sched_process_exec;
	struct program_cost on_sched_process_exit;
	struct program_cost on_sched_process_free;
	struct program_cost on_mark_victim;
	struct program_cost on_oom_exit;
	struct program_cost on_block_rq_complete;
	struct program_cost on_cpu_clock;
	struct program_cost on_task_vma;
	struct program_cost on_kernel_symbols;
	struct program_cost on_kfree_skb;
	struct program_cost on_softirq_raise;
	struct program_cost on_softirq_entry;
	struct program_cost on_udp_fail_queue_rcv_skb;
	struct program_cost on_dns_timeouts;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct program_costs);
} program_costs SEC(".maps");

/*
 * At the start and at the end of a program. What the program carries from one to the other is a pointer that is never NULL, and not whether this run is
 * timed: a stack slot that is 0 in one run and not in another makes the verifier walk through everything between the two once for each.
 * barrier_var: clang would take the field's address before the NULL check, which kernels up to 6.12 (seen) refuse.
 */
#define cost_start(cost, program, mask)                                                     \
	struct program_cost *cost;                                                          \
	do {                                                                                \
		__u32 cost_key = 0;                                                         \
		struct program_costs *all = bpf_map_lookup_elem(&program_costs, &cost_key); \
		if (!all)                                                                   \
			return 0;                                                           \
		barrier_var(all);                                                           \
		cost = &all->program;                                                       \
		if (is_run_timed(cost->events++, mask)) {                                   \
			__u64 clock_ns = bpf_ktime_get_ns();                                \
			__u64 started_ns = bpf_ktime_get_ns();                              \
			cost->started_ns = started_ns + (started_ns - clock_ns);            \
		}                                                                           \
	} while (0)

static __always_inline void cost_end(struct program_cost *cost)
{
	__u64 started_ns = cost->started_ns;
	if (!started_ns)
		return;
	__u64 now_ns = bpf_ktime_get_ns();
	cost->started_ns = 0;
	cost->timed_events++;
	cost->timed_ns += now_ns > started_ns ? now_ns - started_ns : 0;
}

#endif
