/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "call.bpf.h"
#include "calls.bpf.h"
#include "core_compat.bpf.h"
#include "cost.bpf.h"
#include "drops.bpf.h"
#include "histogram.bpf.h"
#include "maps.bpf.h"
#include "off_cpu_return.bpf.h"
#include "process.bpf.h"
#include "sampling.bpf.h"
#include "syscall.h"

/* A host with 400 processes × 4 busy calls × 20 buckets each; 112 bytes an entry, two copies. */
WINDOW_MAP(syscall_latency, 32768, BUCKETED_OTHERS);
/* 400 processes × 10 combinations of call and error. */
WINDOW_MAP(syscall_errors, 4096, 1);

static __always_inline void count_error(__u32 active, __u64 process_id, __u32 syscall, long ret, __u32 shift)
{
	__u16 error = visible_error(ret);
	if (!error || restores_registers(syscall))
		return;
	struct syscall_errors_key key = { .process_id = process_id, .syscall = syscall, .errno = error };
	struct syscall_errors_value empty = {};
	struct syscall_errors_value *slot = window_slot(syscall_errors, active, &key, &empty, 0);
	if (slot)
		__sync_fetch_and_add(&slot->count, 1ull << shift);
}

static __always_inline void handle_exit(void *ctx, struct pt_regs *regs, long ret)
{
	struct control *settings = get_control();
	if (!settings)
		return;
	/* Read once: the copies may be flipped while this runs. */
	__u32 active = *(volatile __u32 *)&settings->active;
	const struct window_mode *mode = mode_of(settings, active);
	if (mode->off_calls)
		return;
	/* Of a window that is sampled, calls whose entry was passed over are not counted, and nor are those that have no entry. */
	__u32 shift = mode->call_shift & SHIFT_MASK;
	if (shift && mode->entry_unseen && !is_sampled(shift))
		return;
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = get_task_state(task);
	if (shift && !mode->entry_unseen) {
		if (!state || state->entered_ns <= settings->stamps_since_ns)
			return;
		shift = state->call_shift & SHIFT_MASK;
	}

	struct syscall_latency_key key = { .bucket = BUCKET_NONE };
	__u64 elapsed_ns = 0;
	if (state) {
		key.process_id = identify(task, state, settings);
		if (state->has_noted_waits)
			off_cpu_return(ctx, settings, task, state);
		__u64 entered_ns = state->entered_ns;
		if (entered_ns > settings->stamps_since_ns) {
			elapsed_ns = bpf_ktime_get_ns() - entered_ns;
			key.bucket = bucket_index(elapsed_ns);
			key.syscall = state->syscall;
		}
		state->entered_ns = 0;
	}
	/* The entry was not seen: the call is older than the program, or seccomp refused it. Only then the registers are asked:
	 * rt_sigreturn has overwritten them by now. */
	if (key.bucket == BUCKET_NONE) {
		key.syscall = syscall_of_regs(regs) | compat_mark(task);
		/* A new task's first way out of the kernel: its parent made that call, and only there it counts. */
		if (ret == 0 && makes_task(key.syscall))
			return;
	}

	if (!mode->off_syscall_latency) {
		struct syscall_latency_value empty = { .min = ~0ull };
		struct syscall_latency_value *slot = window_slot(syscall_latency, active, &key, &empty, other_of_bucket(key.bucket));
		if (slot)
			histogram_add_sampled((struct histogram_value *)slot, elapsed_ns, shift);
	}
	if (ret < 0 && !mode->off_syscall_errors)
		count_error(active, key.process_id, key.syscall, ret, shift);

	__u8 class = class_of_call(key.syscall);
	if (class == CALL_ORDINARY)
		return;
	struct call call = {
		.task = task,
		.state = state,
		.settings = settings,
		.regs = regs,
		.ret = ret,
		.elapsed_ns = elapsed_ns,
		.process_id = key.process_id,
		.syscall = key.syscall,
		.active = active,
		.class = class,
		.shift = shift,
	};
	handle_call(&call);
}

/* Decides for both ends of the call: one that is passed over leaves entered_ns at 0, where the last exit has put it. */
static __always_inline void handle_enter(long number)
{
	struct control *settings = get_control();
	if (!settings)
		return;
	const struct window_mode *mode = mode_of(settings, *(volatile __u32 *)&settings->active);
	__u32 shift = mode->call_shift & SHIFT_MASK;
	if (mode->off_calls || (shift && !is_sampled(shift)))
		return;
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = get_task_state(task);
	if (!state)
		return;
	state->syscall = (__u32)number | compat_mark(task);
	state->call_shift = shift;
	state->entered_ns = bpf_ktime_get_ns();
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long number)
{
	cost_start(cost, on_sys_enter, COST_OFTEN);
	handle_enter(number);
	cost_end(cost);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	cost_start(cost, on_sys_exit, COST_OFTEN);
	handle_exit(ctx, regs, ret);
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
