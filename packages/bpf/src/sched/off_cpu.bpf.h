/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What sched_switch tells the off-CPU profile (off_cpu_waits.bpf.h). Both run under the run queue's lock with interrupts off, at 50,000
 * switches a second and more: the cheapest test first, and nothing that allocates (task storage without CREATE).
 */
#ifndef WAGGLE_OFF_CPU_BPF_H
#define WAGGLE_OFF_CPU_BPF_H

#include "kernel_types.h"
#include "maps.bpf.h"
#include "off_cpu_waits.bpf.h"
#include "process.bpf.h"

/* Shorter waits are not counted. Set by the agent. */
const volatile __u64 off_cpu_min_ns = 1000000;

/* So many long waits (as a power of two) are all counted on each CPU in each second. */
const volatile __u32 off_cpu_exact_bits = 8;

/* A long wait costs 4 us in all, so many of them are thinned out: state of one CPU. */
struct off_cpu_pace {
	/* Seconds (2^30 ns) of the run queue's clock. */
	__u64 second;
	/* Long waits in it. */
	__u64 waits;
	/* Long waits, since the program was loaded, that were counted with a weight or left out for one that was. */
	__u64 thinned;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct off_cpu_pace);
} off_cpu_pace SEC(".maps");

/*
 * How many waits the next one stands for; 0: it is left out. The first 256 of a second stand for themselves, of the next 256 one in two is taken,
 * of the next 512 one in four, and so on, by chance. What one stands for is settled before it is looked at, so sums are right on average.
 */
static __always_inline __u64 weigh_wait(__u64 clock_ns)
{
	__u32 zero = 0;
	struct off_cpu_pace *pace = bpf_map_lookup_elem(&off_cpu_pace, &zero);
	if (!pace)
		return 1;
	if (pace->second != clock_ns >> 30) {
		pace->second = clock_ns >> 30;
		pace->waits = 0;
	}
	__u64 rounds = pace->waits++ >> off_cpu_exact_bits;
	if (!rounds)
		return 1;
	__u32 shift = 1;
	for (int i = 0; i < 20 && rounds > 1; i++) {
		rounds >>= 1;
		shift++;
	}
	pace->thinned++;
	__u64 weight = 1ull << (shift & 31);
	return bpf_get_prandom_u32() & (weight - 1) ? 0 : weight;
}

/* include/linux/sched.h */
#define PF_EXITING 0x00000004

/* What was noted of a task before the epoch is of waits that nobody has seen the end of. */
static __always_inline void keep_to_epoch(struct task_state *state, __u32 epoch)
{
	if (state->switch_epoch == epoch)
		return;
	state->switch_epoch = epoch;
	state->run_delay_ns = 0;
	state->blocked_since_ns = 0;
}

/* What was noted down of a task that will not return from its call. */
static __noinline int forget_noted_waits(const struct control *settings, struct task_struct *task, struct task_state *state)
{
	if (!settings || !state)
		return 0;
	state->has_noted_waits = 0;
	struct off_cpu_key key = { .process_id = state->process_id, .user_stack = STACK_NOT_TAKEN };
	count_noted_waits(settings, task->pid, &key);
	return 0;
}

/*
 * `prev` leaves the CPU; it is still `current`. `blocks`: it waits for something; otherwise it was preempted and waits for a CPU, which is
 * run_queue_latency. Never called for the idle task. `clock_ns`: the run queue's clock.
 */
static __always_inline void off_cpu_leave(const struct control *settings, struct task_struct *prev, int blocks, __u64 clock_ns, __u32 epoch)
{
	if (!blocks)
		return;
	struct task_state *state = find_task_state(prev);
	if (!state)
		return;
	keep_to_epoch(state, epoch);
	state->blocked_since_ns = clock_ns;
	if (state->has_noted_waits && prev->flags & PF_EXITING)
		forget_noted_waits(settings, prev, state);
}

/* A wait of `next` was long: in a function of its own, as few are. */
static __noinline int count_long_wait(const struct control *settings, struct task_struct *next, struct task_state *state, __u64 blocked_ns,
				      __u64 weight)
{
	struct stack_scratch *scratch = get_stack_scratch();
	if (!settings || !state || !scratch)
		return 0;
	blocked_ns *= weight;
	__u64 kernel_stack = register_stack((int)bpf_get_task_stack(next, scratch->frames, STACK_BYTES_MAX, 0));
	/* Inside of a call whose return will be seen: wait for that. */
	if (next->mm && state->entered_ns > settings->stamps_since_ns && !mode_of(settings, *(volatile __u32 *)&settings->active)->off_calls) {
		__u32 pid = next->pid;
		struct noted_waits *noted = 0;
		if (state->has_noted_waits)
			noted = bpf_map_lookup_elem(&noted_waits, &pid);
		if (!noted) {
			struct noted_waits first = { .kernel_stack = { kernel_stack }, .count = { weight }, .blocked = { blocked_ns } };
			if (!(int)bpf_map_update_elem(&noted_waits, &pid, &first, BPF_ANY)) {
				state->has_noted_waits = 1;
				return 0;
			}
		} else {
			for (int i = 0; i < NOTED_PLACES; i++) {
				if (noted->count[i] && noted->kernel_stack[i] != kernel_stack)
					continue;
				noted->kernel_stack[i] = kernel_stack;
				noted->count[i] += weight;
				noted->blocked[i] += blocked_ns;
				return 0;
			}
		}
	}
	struct off_cpu_key key = {
		.process_id = state->process_id,
		.kernel_stack = kernel_stack,
		.user_stack = next->mm ? STACK_NOT_TAKEN : STACK_NONE,
	};
	count_off_cpu(settings, &key, weight, blocked_ns);
	return 0;
}

/* `next` gets the CPU; its process is identified. Never called for the idle task. `state` may be NULL. The switch stands for 2^shift. */
static __always_inline void off_cpu_enter(const struct control *settings, struct task_struct *next, struct task_state *state, __u64 clock_ns, __u32 shift)
{
	if (!state || !state->blocked_since_ns)
		return;
	__u64 blocked_ns = clock_ns - state->blocked_since_ns;
	state->blocked_since_ns = 0;
	/* Clocks of two CPUs may differ by a little. */
	if ((__s64)blocked_ns < (__s64)off_cpu_min_ns)
		return;
	__u64 weight = weigh_wait(clock_ns);
	if (weight)
		count_long_wait(settings, next, state, blocked_ns, weight << shift);
}

#endif
