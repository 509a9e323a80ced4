/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Who did it: a process is the name of its thread-group leader in its control group, as one 64-bit id. The id is what hot keys
 * hold; its name is registered once per task, and always before the first event that carries the id is counted.
 */
#ifndef WAGGLE_PROCESS_BPF_H
#define WAGGLE_PROCESS_BPF_H

#include "control_group.bpf.h"
#include "core_compat.bpf.h"
#include "drops.bpf.h"
#include "maps.bpf.h"

/* process_id 0 is "unknown"; 1 is ~other, given out by the agent only. */
#define PROCESS_UNKNOWN 0
#define PROCESS_ID_MIN 2

struct process {
	char comm[TASK_COMM_LEN];
	/* Its group in the hierarchy of version 2. */
	__u64 cgroup_id;
	/* Its groups in control.unit_hierarchies, 0 where that names none. */
	__u64 v1_group_ids[UNIT_HIERARCHIES];
	/* A thread group that had this identity when it registered; for drill-down. */
	__u32 tgid;
	__u32 pad;
};
_Static_assert(sizeof(struct process) == 48, "the agent decodes this struct");

/* Drained by the agent in every window, so it holds what is new: room for 16,384 first seen names in one window. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct process);
} processes SEC(".maps");

/* task_account.flags: the figures below are this task's baseline, from its birth or from the priming inventory. */
#define TASK_ACCOUNTED 1
/* The end of the process was counted; in the leader's account. */
#define TASK_PROCESS_ENDED 2

/* What of a task's cumulative figures is counted already (src/task); of those that count events the lower 32 bits, as none comes 2^31 times in a window. */
struct task_account {
	__u64 user_ns;
	__u64 system_ns;
	__u32 voluntary_switches;
	__u32 involuntary_switches;
	__u32 minor_faults;
	__u32 major_faults;
	__u32 flags;
	__u32 pad;
};

/* In front what sched_switch and system calls need, in one cache line: at a switch all of it is cold as a rule. */
struct task_state {
	/* The task whose place this is (its address); 0: nobody's. Not used in a task's own storage. */
	__u64 owner;
	__u64 process_id;
	/* Time spent waiting for a CPU that is counted already (task_struct.sched_info.run_delay and what sched_switch added). */
	__u64 run_delay_ns;
	/* Since when the task waits, by the run queue's clock; 0 while it does not (off_cpu_waits.bpf.h). */
	__u64 blocked_since_ns;
	/* Entry of the call under way; 0 if it was not seen. */
	__u64 entered_ns;
	__u32 generation;
	/* window_mode.switch_epoch that run_delay_ns and blocked_since_ns are of. */
	__u32 switch_epoch;
	/* Waits that run_delay_ns is of, lower 32 bits. */
	__u32 waits;
	/* noted_waits holds waits of the call under way. */
	__u16 has_noted_waits;
	/* The call under way stands for 2^call_shift (sampling.bpf.h). */
	__u16 call_shift;
	/* Number of the call under way. */
	__u32 syscall;
	/* The owner's number when it got this place. */
	__u32 pid;
	/* What process_id was made of; it is made again when one of them differs. */
	__u64 comm[2];
	__u64 css_set;
	struct task_account account;
};
_Static_assert(sizeof(struct task_state) == 128 && __builtin_offsetof(struct task_state, comm) == 64, "two cache lines");

/*
 * Tasks have their states in places by the lower bits of their numbers: one that is made gets a place that is clean already, and to find it takes no helper.
 * Memory of the task's own (which costs as much as everything else that is done when a process is made) is taken where the place is somebody else's. A place is
 * given back when the kernel lets go of the task (on_sched_process_free). Where that was not seen the next task that it falls to finds out: is_place_lost().
 */
#define TASK_PLACES 8192

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	/* Such an array begins with a page, so that places begin with cache lines. */
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TASK_PLACES);
	__type(key, __u32);
	__type(value, struct task_state);
} task_places SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} task_states SEC(".maps");

/* Nobody's while it is made clean. */
#define PLACE_CLOSED 1

/* The place that the task got under that number; NULL: none. */
static __always_inline struct task_state *place_of(struct task_struct *task, __u32 pid)
{
	__u32 place = pid % TASK_PLACES;
	struct task_state *state = bpf_map_lookup_elem(&task_places, &place);
	return state && state->owner == (__u64)task && state->pid == pid ? state : 0;
}

/* The task's state if it has one; tasks get it when they are made (on_task_newtask) or by the inventory. */
static __always_inline struct task_state *find_task_state(struct task_struct *task)
{
	struct task_state *state = place_of(task, task->pid);
	return state ? state : bpf_task_storage_get(&task_states, task, 0, 0);
}

/* Makes the place clean and nobody's, whose owner is gone. */
static __always_inline void leave_place(struct task_state *state)
{
	state->process_id = 0;
	state->run_delay_ns = 0;
	state->blocked_since_ns = 0;
	state->entered_ns = 0;
	state->generation = 0;
	state->switch_epoch = 0;
	state->waits = 0;
	state->has_noted_waits = 0;
	state->call_shift = 0;
	state->syscall = 0;
	state->pid = 0;
	state->comm[0] = 0;
	state->comm[1] = 0;
	state->css_set = 0;
	__builtin_memset(&state->account, 0, sizeof(state->account));
	/* Not before all of that is seen by others. */
	__sync_lock_test_and_set(&state->owner, 0);
}

/* Whether the owner ended unseen: something else is in its memory by now. (As long as nothing is, the place counts as taken.) */
static __always_inline _Bool is_place_lost(__u64 owner, __u32 pid)
{
	return owner && owner != PLACE_CLOSED && pid && BPF_CORE_READ((struct task_struct *)owner, pid) != (int)pid;
}

static __noinline struct task_state *make_task_state(struct task_struct *task)
{
	struct task_state *state = bpf_task_storage_get(&task_states, task, 0, 0);
	if (state)
		return state;
	__u32 pid = task->pid;
	__u32 place = pid % TASK_PLACES;
	state = bpf_map_lookup_elem(&task_places, &place);
	if (state) {
		__u64 owner = state->owner;
		if (is_place_lost(owner, state->pid) && __sync_val_compare_and_swap(&state->owner, owner, PLACE_CLOSED) == owner)
			leave_place(state);
		owner = __sync_val_compare_and_swap(&state->owner, 0, (__u64)task);
		/* Or the inventory has just taken it for the task, on another CPU. */
		if (!owner || owner == (__u64)task) {
			state->pid = pid;
			return state;
		}
	}
	state = bpf_task_storage_get(&task_states, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!state)
		count_drop(task_storage);
	return state;
}

/* May take memory if the task is new, so not for hooks that hold a run queue's lock: those look up what is there (find_task_state). */
static __always_inline struct task_state *get_task_state(struct task_struct *task)
{
	struct task_state *state = place_of(task, task->pid);
	return state ? state : make_task_state(task);
}

/* Multiply and fold: each input bit reaches all output bits; the seed is secret, so that collisions cannot be made. */
static __always_inline __u64 mix(__u64 hash, __u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ull;
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93ull;
	return hash ^ (hash >> 29);
}

/* Eight characters as they lie in a comm (little-endian, as x86 and arm64 are). */
#define COMM_PART(a, b, c, d, e, f, g, h)                                                                                 \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 | (__u64)(f) << 40 | \
	 (__u64)(g) << 48 | (__u64)(h) << 56)

/*
 * A runtime's own word for its first thread says nothing about the program: V8 names it MainThread, in each Node.js since
 * version 24. The name of the executable is what the process was called before, and what people call it. A program that
 * chooses a name (process.title) keeps it.
 */
static __always_inline int is_runtime_name(const __u64 *comm)
{
	return comm[0] == COMM_PART('M', 'a', 'i', 'n', 'T', 'h', 'r', 'e') && comm[1] == COMM_PART('a', 'd', 0, 0, 0, 0, 0, 0);
}

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000

/*
 * Kernel threads are numbered by CPU or pool (`kworker/37:1`, `ksoftirqd/5`): hundreds of names on a large host, for one worker each. What is before
 * the number says what they do. The threads of interrupts keep theirs: it names the interrupt.
 */
static __always_inline void cut_number(char *comm)
{
	if (comm[0] == 'i' && comm[1] == 'r' && comm[2] == 'q' && comm[3] == '/')
		return;
	int is_behind = 0;
#pragma unroll
	for (int i = 0; i < TASK_COMM_LEN; i++) {
		if (comm[i] == '/')
			is_behind = 1;
		if (is_behind)
			comm[i] = 0;
	}
}

/* Keeps the compiler from moving what is written across it. */
#ifndef barrier
#define barrier() asm volatile("" ::: "memory")
#endif

static __noinline __u64 register_process(struct task_struct *task, struct task_state *state, const struct control *settings)
{
	if (!task || !state || !settings)
		return PROCESS_UNKNOWN;
	struct process process = { .cgroup_id = task->cgroups->dfl_cgrp->kn->id, .tgid = task->tgid };
	__u64 *comm = (__u64 *)process.comm;
	comm[0] = state->comm[0];
	comm[1] = state->comm[1];
	if (task->flags & PF_KTHREAD)
		cut_number(process.comm);
	if (is_runtime_name(comm)) {
		const unsigned char *name = task->mm->exe_file->f_path.dentry->d_name.name;
		__u64 executable[TASK_COMM_LEN / 8] = {};
		if (bpf_probe_read_kernel_str(executable, sizeof(executable), name) > 1) {
			comm[0] = executable[0];
			comm[1] = executable[1];
		}
	}
	__u64 id = mix(mix(mix(settings->seed, comm[0]), comm[1]), process.cgroup_id);
#pragma unroll
	for (int i = 0; i < UNIT_HIERARCHIES; i++) {
		if (!settings->unit_hierarchies[i])
			continue;
		/* Read as a number: the verifier takes no pointer for one. */
		process.v1_group_ids[i] = find_v1_group((__u64)BPF_CORE_READ(task, cgroups), settings->unit_hierarchies[i]);
		id = mix(id, process.v1_group_ids[i]);
	}
	if (id < PROCESS_ID_MIN)
		id += PROCESS_ID_MIN;
	/*
	 * Mostly a sibling has registered the same name: looking is half the price of finding out by trying. An int, whatever the helper's declaration says: before
	 * Linux 6.4 the upper half of the register is not set.
	 */
	int error = bpf_map_lookup_elem(&processes, &id) ? 0 : (int)bpf_map_update_elem(&processes, &id, &process, BPF_NOEXIST);
	state->process_id = id;
	barrier();
	/* -EEXIST: a sibling did meanwhile. Anything else: try again at the next event. */
	if (error && error != -17) {
		count_drop(processes_full);
		state->generation = settings->generation - 1;
	} else {
		state->generation = settings->generation;
	}
	return id;
}

/*
 * Id of the task's process. Three comparisons see every change: a rename (prctl, exec, /proc/PID/comm) in the leader's comm, a
 * move to another control group in css_set (by address: only the slow path follows it), a forgetful agent in the generation.
 */
static __always_inline __u64 identify(struct task_struct *task, struct task_state *state, const struct control *settings)
{
	struct task_struct *leader = task->group_leader;
	__u64 comm_low = *(__u64 *)&leader->comm[0];
	__u64 comm_high = *(__u64 *)&leader->comm[8];
	struct css_set *css_set = task->cgroups;

	if (state->comm[0] == comm_low && state->comm[1] == comm_high && state->css_set == (__u64)css_set &&
	    state->generation == settings->generation && state->process_id != PROCESS_UNKNOWN)
		return state->process_id;

	/* What is half new and half old is nothing to a sample that interrupts here (identify_aside). */
	state->generation = settings->generation - 1;
	barrier();
	state->comm[0] = comm_low;
	state->comm[1] = comm_high;
	state->css_set = (__u64)css_set;
	return register_process(task, state, settings);
}

/*
 * The same for who may have interrupted a program that is just changing the task's state, on its CPU: it changes nothing of that, and takes from it what is settled.
 * Else it registers the name itself.
 */
static __always_inline __u64 identify_aside(struct task_struct *task, const struct control *settings)
{
	struct task_state copy = {};
	const struct task_state *state = place_of(task, task->pid);
	if (state) {
		copy.generation = state->generation;
		copy.process_id = state->process_id;
		copy.comm[0] = state->comm[0];
		copy.comm[1] = state->comm[1];
		copy.css_set = state->css_set;
	}
	return identify(task, &copy, settings);
}

/* The same for hooks that run where nothing of the task is in the caches: only a new generation is seen. Names and groups as of the last identify(). */
static __always_inline __u64 identify_cold(struct task_struct *task, struct task_state *state, const struct control *settings)
{
	if (state->process_id != PROCESS_UNKNOWN && state->generation == settings->generation)
		return state->process_id;
	return identify(task, state, settings);
}

#endif
