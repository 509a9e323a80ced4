/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "cost.bpf.h"
#include "drops.bpf.h"
#include "histogram.bpf.h"
#include "maps.bpf.h"
#include "process.bpf.h"
#include "off_cpu.bpf.h"
#include "sampling.bpf.h"
#include "sched.h"

/* 200 processes and kernel threads × 30 buckets each; 112 bytes an entry, two copies. */
WINDOW_MAP(run_queue_latency, 6144, BUCKETED_OTHERS);

/* The tracepoint says in what state `prev` leaves (since 5.18); else it is read from the task. Set by the agent from the kernel's BTF. */
const volatile __u32 has_prev_state = 0;

/* struct task_struct before 5.14. */
struct task_struct___state {
	long state;
} __attribute__((preserve_access_index));

/*
 * How long `next` has waited for a CPU: the kernel's own account of it (kernel/sched/stats.h). At this point last_queued is when the task got
 * into this CPU's queue, and run_delay has all earlier waits and what it waited in other queues before it was moved here; so the rise of
 * their sum is the whole wait. No hook on wakeups is needed.
 *
 * On a crowded CPU a few of a thousand switches do not come by here (seen on 6.18). The kernel's figures have them, so they are counted with the next
 * one of the task, each as the average of what all of them waited: count and sum are always the kernel's.
 */
static __always_inline void count_wait(__u32 active, struct task_struct *next, struct task_state *state, __u64 process_id, __u64 clock_ns, __u32 shift)
{
	__u64 queued_ns = next->sched_info.last_queued;
	if (!queued_ns)
		return;
	__u64 sum_ns = clock_ns - queued_ns;
	__u32 waits = 1;
	/* Of a sampled task the waits in between were not looked at: then it is this CPU's queue alone. */
	if (state && !shift) {
		__u64 total_ns = next->sched_info.run_delay + sum_ns;
		__u32 total_waits = (__u32)next->sched_info.pcount + 1;
		if (state->run_delay_ns) {
			sum_ns = total_ns - state->run_delay_ns;
			waits = total_waits - state->waits;
		}
		state->run_delay_ns = total_ns;
		state->waits = total_waits;
	}
	__u64 waited_ns = waits > 1 ? sum_ns / waits : sum_ns;
	struct run_queue_latency_key key = { .process_id = process_id, .bucket = bucket_index(waited_ns) };
	struct run_queue_latency_value empty = { .min = ~0ull };
	struct run_queue_latency_value *slot = window_slot(run_queue_latency, active, &key, &empty, key.bucket);
	if (slot)
		histogram_add_several((struct histogram_value *)slot, waited_ns, (__u64)waits << shift, sum_ns << shift);
}

static __always_inline void handle_switch(int is_preempted, struct task_struct *prev, struct task_struct *next, __u32 prev_state)
{
	struct control *settings = get_control();
	if (!settings)
		return;
	__u32 active = *(volatile __u32 *)&settings->active;
	const struct window_mode *mode = mode_of(settings, active);
	if (mode->off_switches)
		return;
	__u32 shift = mode->switch_shift & SHIFT_MASK;
	_Bool counts_prev = prev->pid && !mode->off_off_cpu && (!shift || is_wait_sampled(settings, prev, shift));
	_Bool counts_next = next->pid && (!shift || is_wait_sampled(settings, next, shift));
	if (!counts_prev && !counts_next)
		return;
	/* Both are of this CPU. Any task has a place in its CPU's fair queue, whatever its class. */
	__u64 clock_ns = next->pid ? next->se.cfs_rq->rq->clock : prev->se.cfs_rq->rq->clock;
	if (counts_prev)
		off_cpu_leave(settings, prev, !is_preempted && prev_state, clock_ns, mode->switch_epoch);
	if (!counts_next)
		return;
	struct task_state *state = find_task_state(next);
	__u64 process_id = state ? identify_cold(next, state, settings) : PROCESS_UNKNOWN;
	if (state)
		keep_to_epoch(state, mode->switch_epoch);
	if (!mode->off_run_queue_latency)
		count_wait(active, next, state, process_id, clock_ns, shift);
	if (!mode->off_off_cpu)
		off_cpu_enter(settings, next, state, clock_ns, shift);
}

/* Arguments: bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state. */
SEC("tp_btf/sched_switch")
int on_sched_switch(__u64 *ctx)
{
	cost_start(cost, on_sched_switch, COST_OFTEN);
	struct task_struct *prev = (void *)ctx[1];
	struct task_struct *next = (void *)ctx[2];
	__u32 prev_state;
	if (has_prev_state)
		prev_state = ctx[3];
	else if (bpf_core_field_exists(prev->__state))
		prev_state = prev->__state;
	else
		prev_state = ((struct task_struct___state *)prev)->state;
	handle_switch(ctx[0], prev, next, prev_state);
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
