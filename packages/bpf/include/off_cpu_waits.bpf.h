/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where tasks waited, by stack. A stack at each switch would be dear, and most waits are short: so one that turns out to have been long is
 * counted when the task gets a CPU again, at sched_switch.
 * There its kernel stack lies still and can be read; its user stack cannot, as another task's memory is mapped. So a wait inside a system
 * call is noted down, and counted when the call returns: then the task is `current`, and its user stack is what it was when it waited.
 */
#ifndef WAGGLE_OFF_CPU_WAITS_BPF_H
#define WAGGLE_OFF_CPU_WAITS_BPF_H

#include "stacks.bpf.h"

struct off_cpu_key {
	__u64 process_id;
	__u64 kernel_stack;
	__u64 user_stack;
	__u32 tgid;
	__u32 space;
};
_Static_assert(sizeof(struct off_cpu_key) == 32, "no hidden padding");

struct off_cpu_value {
	__u64 count;
	__u64 blocked;
};

/* 112 bytes an entry, two copies. */
WINDOW_MAP(off_cpu, 3072, 1);

/* Places in the kernel where one call may wait and still have them told apart by user stack; further ones are counted without it. */
#define NOTED_PLACES 4

struct noted_waits {
	__u64 kernel_stack[NOTED_PLACES];
	__u64 count[NOTED_PLACES];
	__u64 blocked[NOTED_PLACES];
};

/* Waits of calls that have not returned yet, by task (pid): from the wait's end until the return, microseconds as a rule. 168 bytes an entry. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct noted_waits);
} noted_waits SEC(".maps");

static __always_inline void count_off_cpu(const struct control *settings, const struct off_cpu_key *key, __u64 count, __u64 blocked_ns)
{
	__u32 active = *(volatile __u32 *)&settings->active;
	struct off_cpu_value empty = {};
	struct off_cpu_value *slot = window_slot(off_cpu, active, key, &empty, 0);
	if (slot) {
		__sync_fetch_and_add(&slot->count, count);
		__sync_fetch_and_add(&slot->blocked, blocked_ns);
	}
}

/* Counts what was noted down for the task, under `key` with each place's kernel stack. */
static __always_inline void count_noted_waits(const struct control *settings, __u32 pid, struct off_cpu_key *key)
{
	struct noted_waits *noted = bpf_map_lookup_elem(&noted_waits, &pid);
	if (!noted)
		return;
	for (int i = 0; i < NOTED_PLACES; i++) {
		if (!noted->count[i])
			break;
		key->kernel_stack = noted->kernel_stack[i];
		count_off_cpu(settings, key, noted->count[i], noted->blocked[i]);
	}
	bpf_map_delete_elem(&noted_waits, &pid);
}

#endif
