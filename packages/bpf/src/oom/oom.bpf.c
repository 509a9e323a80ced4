/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "cost.bpf.h"
#include "drops.bpf.h"
#include "maps.bpf.h"
#include "oom.h"
#include "process.bpf.h"

/* Processes of one name that are killed count as one entry. */
WINDOW_MAP(oom_kills, 128, 1);

static __always_inline void count_kill(struct task_struct *victim)
{
	struct control *settings = get_control();
	if (!settings || !victim)
		return;
	__u32 active = *(volatile __u32 *)&settings->active;
	struct task_state *state = get_task_state(victim);
	struct oom_kills_key key = { .process_id = state ? identify(victim, state, settings) : PROCESS_UNKNOWN };
	struct oom_kills_value empty = {};
	struct oom_kills_value *slot = window_slot(oom_kills, active, &key, &empty, 0);
	if (slot)
		__sync_fetch_and_add(&slot->count, 1);
}

/* Runs in whatever task ran out of memory; the victim is another one as a rule. */
SEC("tp_btf/mark_victim")
int BPF_PROG(on_mark_victim, struct task_struct *victim)
{
	cost_start(cost, on_mark_victim, COST_RARE);
	count_kill(victim);
	cost_end(cost);
	return 0;
}

/* For kernels whose mark_victim names only a pid: the victim itself knows, and ends soon. The leader's end stands for the process. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_oom_exit, struct task_struct *task)
{
	cost_start(cost, on_oom_exit, COST_RARE);
	if (task->pid == task->tgid && task->signal->oom_mm)
		count_kill(task);
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
