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

/* include/linux/sched.h */
#define PF_EXITING 0x00000004

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
static __always_inline void off_cpu_leave(const struct control *settings, struct task_struct *prev, int blocks, __u64 clock_ns)
{
	if (!blocks)
		return;
	struct task_state *state = find_task_state(prev);
	if (!state)
		return;
	state->blocked_since_ns = clock_ns;
	if (state->has_noted_waits && prev->flags & PF_EXITING)
		forget_noted_waits(settings, prev, state);
}

/* A wait of `next` was long: in a function of its own, as few are. */
static __noinline int count_long_wait(const struct control *settings, struct task_struct *next, struct task_state *state, __u64 blocked_ns)
{
	struct stack_scratch *scratch = get_stack_scratch();
	if (!settings || !state || !scratch)
		return 0;
	__u64 kernel_stack = register_stack(settings, scratch, (int)bpf_get_task_stack(next, scratch->frames, STACK_BYTES_MAX, 0));
	/* Inside of a call whose return will be seen: wait for that. */
	if (next->mm && state->entered_ns) {
		__u32 pid = next->pid;
		struct noted_waits *noted = 0;
		if (state->has_noted_waits)
			noted = bpf_map_lookup_elem(&noted_waits, &pid);
		if (!noted) {
			struct noted_waits first = { .kernel_stack = { kernel_stack }, .count = { 1 }, .blocked = { blocked_ns } };
			if (!(int)bpf_map_update_elem(&noted_waits, &pid, &first, BPF_ANY)) {
				state->has_noted_waits = 1;
				return 0;
			}
		} else {
			for (int i = 0; i < NOTED_PLACES; i++) {
				if (noted->count[i] && noted->kernel_stack[i] != kernel_stack)
					continue;
				noted->kernel_stack[i] = kernel_stack;
				noted->count[i]++;
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
	count_off_cpu(settings, &key, 1, blocked_ns);
	return 0;
}

/* `next` gets the CPU; its process is identified. Never called for the idle task. `state` may be NULL. */
static __always_inline void off_cpu_enter(const struct control *settings, struct task_struct *next, struct task_state *state, __u64 clock_ns)
{
	if (!state || !state->blocked_since_ns)
		return;
	__u64 blocked_ns = clock_ns - state->blocked_since_ns;
	state->blocked_since_ns = 0;
	/* Clocks of two CPUs may differ by a little. */
	if ((__s64)blocked_ns >= (__s64)off_cpu_min_ns)
		count_long_wait(settings, next, state, blocked_ns);
}

#endif
