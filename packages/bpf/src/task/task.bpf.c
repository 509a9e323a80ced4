/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "claim.bpf.h"
#include "cost.bpf.h"
#include "cputime.bpf.h"
#include "drops.bpf.h"
#include "maps.bpf.h"
#include "process.bpf.h"
#include "task.h"

/* Processes of one host in one window: 104 and 88 bytes an entry, two copies. */
WINDOW_MAP(cpu_time, 2048, 1);
WINDOW_MAP(page_faults, 2048, 1);
/* Those that start something, or end. */
WINDOW_MAP(process_exec, 1024, 1);
WINDOW_MAP(process_exits, 1024, 1);

/* include/uapi/linux/sched.h */
#define CLONE_THREAD 0x00010000
/* include/linux/sched.h */
#define EXIT_DEAD 0x00000010
/* include/linux/sched/signal.h */
#define SIGNAL_GROUP_EXIT 0x00000004
/* A wait status: the signal's number, whether it left a core dump, and in the second byte what the process gave to exit(). */
#define STATUS_SIGNAL 0x7f
#define STATUS_CODE 0xff00

static __always_inline void add(__u64 *slot, __u64 amount)
{
	if (amount)
		__sync_fetch_and_add(slot, amount);
}

/* From here on counts what comes; what the task did before is not ours. */
static __always_inline void take_baseline(struct task_struct *task, struct task_account *account)
{
	split_runtime(task, account, &account->user_ns, &account->system_ns);
	account->voluntary_switches = task->nvcsw;
	account->involuntary_switches = task->nivcsw;
	account->minor_faults = task->min_flt;
	account->major_faults = task->maj_flt;
	account->flags |= TASK_ACCOUNTED;
}

/* The amount, or 0 if it is negative: without a branch, for the sake of loading (claim.bpf.h). */
static __always_inline __u64 not_below_zero(__s64 amount)
{
	__s64 sign = amount >> 63;
	barrier_var(sign);
	return amount & ~sign;
}

/* What the task's figures rose by. */
struct task_rise {
	struct cpu_time_value time;
	struct page_faults_value faults;
};

/* Of a live one, whose place the inventory and others read at the same time. */
static __always_inline void claim_rise(struct task_struct *task, struct task_account *account, struct task_rise *rise)
{
	__u64 user_ns, system_ns;
	split_runtime(task, account, &user_ns, &system_ns);
	rise->time.user = claim64(&account->user_ns, user_ns);
	rise->time.system = claim64(&account->system_ns, system_ns);
	rise->time.voluntary_switches = claim32(&account->voluntary_switches, task->nvcsw);
	rise->time.involuntary_switches = claim32(&account->involuntary_switches, task->nivcsw);
	rise->faults.minor = claim32(&account->minor_faults, task->min_flt);
	rise->faults.major = claim32(&account->major_faults, task->maj_flt);
}

/* Of one that the kernel lets go of: nobody reads it any more (take_stock), so nothing is marked as counted, by six atomic operations. */
static __always_inline void last_rise(struct task_struct *task, const struct task_account *account, struct task_rise *rise)
{
	__u64 user_ns, system_ns;
	split_runtime(task, account, &user_ns, &system_ns);
	rise->time.user = not_below_zero(user_ns - account->user_ns);
	rise->time.system = not_below_zero(system_ns - account->system_ns);
	rise->time.voluntary_switches = not_below_zero((__s32)((__u32)task->nvcsw - account->voluntary_switches));
	rise->time.involuntary_switches = not_below_zero((__s32)((__u32)task->nivcsw - account->involuntary_switches));
	rise->faults.minor = not_below_zero((__s32)((__u32)task->min_flt - account->minor_faults));
	rise->faults.major = not_below_zero((__s32)((__u32)task->maj_flt - account->major_faults));
}

static __always_inline void count_rise(const struct control *settings, __u32 active, const struct task_rise *rise, __u64 process_id)
{
	const struct cpu_time_value time = rise->time;
	const struct window_mode *mode = mode_of(settings, active);
	if (!mode->off_cpu_time && (time.user | time.system | time.voluntary_switches | time.involuntary_switches)) {
		struct cpu_time_key key = { .process_id = process_id };
		struct cpu_time_value empty = {};
		struct cpu_time_value *slot = window_slot(cpu_time, active, &key, &empty, 0);
		if (slot) {
			add(&slot->user, time.user);
			add(&slot->system, time.system);
			add(&slot->voluntary_switches, time.voluntary_switches);
			add(&slot->involuntary_switches, time.involuntary_switches);
		}
	}
	const struct page_faults_value faults = rise->faults;
	if (!mode->off_page_faults && (faults.minor | faults.major)) {
		struct page_faults_key key = { .process_id = process_id };
		struct page_faults_value empty = {};
		struct page_faults_value *slot = window_slot(page_faults, active, &key, &empty, 0);
		if (slot) {
			add(&slot->minor, faults.minor);
			add(&slot->major, faults.major);
		}
	}
}

static __always_inline void take_stock(struct task_struct *task)
{
	struct control *settings = get_control();
	/* What was waited for has its last reading before it or behind it (on_sched_process_free), and perhaps no place any more. All others keep theirs while this runs (RCU). */
	if (!settings || task->exit_state & EXIT_DEAD)
		return;
	struct task_state *state = get_task_state(task);
	if (!state)
		return;
	if (!(state->account.flags & TASK_ACCOUNTED))
		take_baseline(task, &state->account);
	if (settings->priming)
		return;
	__u32 active = *(volatile __u32 *)&settings->active;
	__u64 process_id = identify(task, state, settings);
	struct task_rise rise;
	claim_rise(task, &state->account, &rise);
	count_rise(settings, active, &rise, process_id);
}

SEC("iter/task")
int on_task_inventory(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	if (!task)
		return 0;
	cost_start(cost, on_task_inventory, COST_OFTEN);
	take_stock(task);
	cost_end(cost);
	return 0;
}

static __always_inline struct process_exec_value *exec_slot(const struct control *settings, struct task_struct *task, struct task_state *state)
{
	__u32 active = *(volatile __u32 *)&settings->active;
	struct process_exec_key key = { .process_id = state ? identify(task, state, settings) : PROCESS_UNKNOWN };
	struct process_exec_value empty = {};
	return window_slot(process_exec, active, &key, &empty, 0);
}

/* A new task mostly belongs to what its maker does: then it is identified already, and its name registered. */
static __always_inline void take_identity(struct task_struct *task, struct task_state *state, const struct task_state *maker)
{
	struct task_struct *leader = task->group_leader;
	struct css_set *css_set = task->cgroups;
	if (*(__u64 *)&leader->comm[0] != maker->comm[0] || *(__u64 *)&leader->comm[8] != maker->comm[1] || (__u64)css_set != maker->css_set)
		return;
	state->comm[0] = maker->comm[0];
	state->comm[1] = maker->comm[1];
	state->css_set = maker->css_set;
	state->process_id = maker->process_id;
	state->generation = maker->generation;
}

/* Every new task comes by here, also those that are not made by a system call: kernel threads, workers of io_uring. */
static __always_inline void handle_newtask(struct task_struct *task, __u64 clone_flags)
{
	struct control *settings = get_control();
	if (!settings || !task)
		return;
	struct task_struct *maker = bpf_get_current_task_btf();
	struct task_state *maker_state = get_task_state(maker);
	struct process_exec_value *slot = exec_slot(settings, maker, maker_state);
	if (slot)
		add(clone_flags & CLONE_THREAD ? &slot->threads : &slot->forked, 1);
	/* From now on hooks that may not take memory find the task's state. */
	struct task_state *state = get_task_state(task);
	if (!state)
		return;
	if (maker_state)
		take_identity(task, state, maker_state);
	/* All its figures are 0. */
	state->account.flags |= TASK_ACCOUNTED;
}

SEC("tp_btf/task_newtask")
int BPF_PROG(on_task_newtask, struct task_struct *task, __u64 clone_flags)
{
	cost_start(cost, on_task_newtask, COST_RARE);
	handle_newtask(task, clone_flags);
	cost_end(cost);
	return 0;
}

/*
 * A thread that executes a program takes the number of its process's first one (de_thread() in fs/exec.c): its state would not be found by that any more, so it
 * goes where it is found whatever the number. The first one has ended then, and still has its place (on_sched_process_free).
 */
static __noinline int keep_state(struct task_struct *task, __u32 old_pid)
{
	struct task_state *before = place_of(task, old_pid);
	if (!before)
		return 0;
	struct task_state *state = bpf_task_storage_get(&task_states, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (state) {
		__builtin_memcpy(state, before, sizeof(*state));
		state->owner = 0;
	} else {
		count_drop(task_storage);
	}
	leave_place(before);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_sched_process_exec, struct task_struct *task, int old_pid)
{
	cost_start(cost, on_sched_process_exec, COST_RARE);
	if (task->pid != old_pid)
		keep_state(task, old_pid);
	struct control *settings = get_control();
	if (settings) {
		struct process_exec_value *slot = exec_slot(settings, task, get_task_state(task));
		if (slot)
			add(&slot->count, 1);
	}
	cost_end(cost);
	return 0;
}

/* What the parent gets from wait(2): the leader's, unless the whole group was ended (wait_task_zombie() in kernel/exit.c). */
static __always_inline __u16 exit_status_of(struct task_struct *leader, struct signal_struct *group)
{
	__u32 status = group->flags & SIGNAL_GROUP_EXIT ? group->group_exit_code : leader->exit_code;
	return status & STATUS_SIGNAL ? status & STATUS_SIGNAL : status & STATUS_CODE;
}

static __always_inline void handle_exit(struct task_struct *task)
{
	struct control *settings = get_control();
	if (!settings)
		return;
	struct task_state *state = get_task_state(task);
	/* Also for on_sched_process_free(), where the name cannot be asked any more. */
	__u64 process_id = state ? identify(task, state, settings) : PROCESS_UNKNOWN;
	struct signal_struct *group = task->signal;
	if (group->live.counter)
		return;
	/* Threads that end at the same time both see that none is left. */
	struct task_struct *leader = task->group_leader;
	struct task_state *leader_state = find_task_state(leader);
	if (leader_state && (__sync_fetch_and_or(&leader_state->account.flags, TASK_PROCESS_ENDED) & TASK_PROCESS_ENDED))
		return;
	__u32 active = *(volatile __u32 *)&settings->active;
	struct process_exits_key key = { .process_id = process_id, .exit_status = exit_status_of(leader, group) };
	struct process_exits_value empty = {};
	struct process_exits_value *slot = window_slot(process_exits, active, &key, &empty, 0);
	if (slot)
		add(&slot->count, 1);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_sched_process_exit, struct task_struct *task)
{
	cost_start(cost, on_sched_process_exit, COST_RARE);
	handle_exit(task);
	cost_end(cost);
	return 0;
}

/*
 * The last reading of a task: after it ran for the last time and was waited for. (At sched_process_exit the costly part of the end, giving back
 * memory and files, is still to come.)
 */
SEC("tp_btf/sched_process_free")
int BPF_PROG(on_sched_process_free, struct task_struct *task)
{
	cost_start(cost, on_sched_process_free, COST_RARE);
	struct control *settings = get_control();
	struct task_state *state = find_task_state(task);
	/* The first thread of a process, after another one has taken its number. */
	if (!state && task->tgid != task->pid)
		state = place_of(task, task->tgid);
	if (settings && state && (state->account.flags & TASK_ACCOUNTED)) {
		__u32 active = *(volatile __u32 *)&settings->active;
		struct task_rise rise;
		last_rise(task, &state->account, &rise);
		count_rise(settings, active, &rise, state->process_id);
	}
	if (state && state->owner == (__u64)task)
		leave_place(state);
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
