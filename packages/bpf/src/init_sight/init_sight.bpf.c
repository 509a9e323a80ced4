/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "init_sight.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct init_sight);
} init_sight SEC(".maps");

/* A switch to init is seen in the context of the task before it, one away from init in init's own. */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch_of_init, int preempt, struct task_struct *previous, struct task_struct *next)
{
	int is_to = next->tgid == INIT_TGID, is_from = previous->tgid == INIT_TGID;
	if (is_to == is_from)
		return 0;
	__u32 key = 0;
	struct init_sight *seen = bpf_map_lookup_elem(&init_sight, &key);
	if (seen)
		__sync_fetch_and_add(is_to ? &seen->switches_to : &seen->switches_from, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
