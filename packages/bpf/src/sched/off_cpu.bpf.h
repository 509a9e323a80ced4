/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What sched_switch tells the off-CPU profile. Both run under the run queue's lock with interrupts off, at 50,000 switches a second
 * and more: the cheapest test first, and nothing that allocates (task storage without CREATE).
 */
#ifndef WAGGLE_OFF_CPU_BPF_H
#define WAGGLE_OFF_CPU_BPF_H

#include "kernel_types.h"
#include "maps.bpf.h"
#include "process.bpf.h"

/*
 * `prev` leaves the CPU; it is still `current`, so a stack taken through `ctx` is its. `blocks`: it waits for something; otherwise it was
 * preempted and waits for a CPU, which is run_queue_latency. Never called for the idle task. `clock_ns`: the run queue's clock.
 */
static __always_inline void off_cpu_leave(void *ctx, const struct control *settings, struct task_struct *prev, int blocks, __u64 clock_ns)
{
}

/* `next` gets the CPU. Never called for the idle task. `process_id` as identify() says. */
static __always_inline void off_cpu_enter(void *ctx, const struct control *settings, struct task_struct *next, __u64 process_id, __u64 clock_ns)
{
}

#endif
