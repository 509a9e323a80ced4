/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What each program costs, known without BPF_ENABLE_STATS (which needs CAP_SYS_ADMIN and taxes every program of the host):
 * each run is counted, and one of 1,024 is timed in here; of rare hooks one of 16, and after the first 256 runs on a CPU one of 128: reading the clock often
 * in one of 16 runs is 5 ns of each and more, which counts where a rare hook has its storm. The clock's own price is measured next to it and taken off.
 *
 * Which one of each stretch of so many runs, changes from one to the next: what programs do comes round (a connection is the same eight state changes, a packet the same
 * softirqs), and one that is always at the same place of a stretch of 2^n would always be the same of them. The run before it is timed too and forgotten: what times is
 * run so rarely that it is in no cache: without that, the 50 ns of a call's entry came out as 60 to 70.
 */
#ifndef WAGGLE_COST_BPF_H
#define WAGGLE_COST_BPF_H

#include <bpf/bpf_helpers.h>

/* Runs per timed run, in bits. */
#define COST_ALL 0
#define COST_OFTEN 10
#define COST_RARE 4
#define COST_KNOWN_RUNS 256
#define COST_KNOWN 7

/*
 * How many runs after the chosen one of its stretch a run is: 0 goes ahead, 1 counts. Chosen is the place that the stretch's number, times 2^32 over the golden ratio, spreads
 * evenly.
 */
static __always_inline __u32 runs_after_chosen(__u64 runs, __u32 bits)
{
	__u32 stretch = runs >> bits;
	return ((__u32)runs & ((1u << bits) - 1)) - (((stretch + 1) * 2654435769u) >> (32 - bits));
}

/* The same; `bits` is known when this is compiled. */
static __always_inline __u32 cost_turn(__u64 runs, __u32 bits)
{
	if (bits == COST_ALL)
		return 1;
	if (bits == COST_RARE && runs >= COST_KNOWN_RUNS)
		return runs_after_chosen(runs, COST_KNOWN);
	return runs_after_chosen(runs, bits);
}

struct program_cost {
	__u64 events;
	/* Start of the run that is being timed, less what reading the clock takes; odd: it is not to count; 0: none is. */
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
	struct program_cost on_cgroup_mkdir;
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
#define cost_start(cost, program, bits)                                                     \
	struct program_cost *cost;                                                          \
	do {                                                                                \
		__u32 cost_key = 0;                                                         \
		struct program_costs *all = bpf_map_lookup_elem(&program_costs, &cost_key); \
		if (!all)                                                                   \
			return 0;                                                           \
		barrier_var(all);                                                           \
		cost = &all->program;                                                       \
		__u32 cost_turn_ = cost_turn(cost->events++, bits);                         \
		if (cost_turn_ <= 1) {                                                      \
			__u64 clock_ns = bpf_ktime_get_ns();                                \
			__u64 started_ns = bpf_ktime_get_ns();                              \
			started_ns += started_ns - clock_ns;                                \
			cost->started_ns = cost_turn_ ? started_ns & ~1ull : started_ns | 1; \
		}                                                                           \
	} while (0)

static __always_inline void cost_end(struct program_cost *cost)
{
	__u64 started_ns = cost->started_ns;
	if (!started_ns)
		return;
	__u64 now_ns = bpf_ktime_get_ns();
	cost->started_ns = 0;
	if (started_ns & 1)
		return;
	cost->timed_events++;
	cost->timed_ns += now_ns > started_ns ? now_ns - started_ns : 0;
}

#endif
