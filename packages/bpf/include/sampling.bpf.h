/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One of 2^shift events, which then counts as 2^shift: every sum is right on average (unbiased), whatever the events are like. The choice is random;
 * every 2^shift-th would keep step with programs that do the same few things in turns.
 */
#ifndef WAGGLE_SAMPLING_BPF_H
#define WAGGLE_SAMPLING_BPF_H

#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include "maps.bpf.h"
#include "process.bpf.h"

/* A shift is a byte that the agent writes; the mask keeps shifting by it defined. */
#define SHIFT_MASK 31

/* Whether this event is one of those that count. */
static __always_inline _Bool is_sampled(__u32 shift)
{
	return !(bpf_get_prandom_u32() & ((1u << (shift & SHIFT_MASK)) - 1));
}

/*
 * Whether what happens to the task between leaving a CPU and getting one again is among those that count: the same answer at both ends, and nothing
 * has to be noted for it. The kernel counts a task's switches before it says that the task leaves (__schedule(), kernel/sched/core.c).
 */
static __always_inline _Bool is_wait_sampled(const struct control *settings, const struct task_struct *task, __u32 shift)
{
	__u64 wait = (task->nvcsw + task->nivcsw) << 32 | (__u32)task->pid;
	return !(mix(settings->seed, wait) & ((1u << (shift & SHIFT_MASK)) - 1));
}

#endif
