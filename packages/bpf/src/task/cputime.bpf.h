/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How a task's running time is split into user and system: as the kernel does for /proc/PID/stat (cputime_adjust() in kernel/sched/cputime.c). */
#ifndef WAGGLE_CPUTIME_BPF_H
#define WAGGLE_CPUTIME_BPF_H

#include "kernel_types.h"
#include "process.bpf.h"

/* Bits that have to go so that the rest is below 2^31. */
static __always_inline __u32 excess_bits(__u64 value)
{
	__u64 rest = value >> 31;
	__u32 bits = 0;
	if (rest >> 16) {
		rest >>= 16;
		bits += 16;
	}
	if (rest >> 8) {
		rest >>= 8;
		bits += 8;
	}
	if (rest >> 4) {
		rest >>= 4;
		bits += 4;
	}
	if (rest >> 2) {
		rest >>= 2;
		bits += 2;
	}
	if (rest >> 1) {
		rest >>= 1;
		bits += 1;
	}
	return bits + (rest ? 1 : 0);
}

/* whole × part / total, for part <= total: to 31 bits of the ratio, without overflow. */
static __always_inline __u64 share_of(__u64 whole, __u64 part, __u64 total)
{
	__u32 shift = excess_bits(total);
	total >>= shift;
	part >>= shift;
	if (!total)
		return 0;
	__u64 high = (whole >> 32) * part;
	__u64 low = (whole & 0xffffffffull) * part;
	return ((high / total) << 32) + (((high % total) << 32) + low) / total;
}

/*
 * The scheduler knows exactly how long a task ran; the tick (or vtime) knows in which proportion that was user and system. Neither part ever goes
 * back: what was counted already stays, and the other part takes the rest.
 */
static __always_inline void split_runtime(struct task_struct *task, const struct task_account *account, __u64 *user_ns, __u64 *system_ns)
{
	__u64 runtime = task->se.sum_exec_runtime;
	__u64 utime = task->utime;
	__u64 stime = task->stime;
	__u64 user_before = account->user_ns;
	__u64 system_before = account->system_ns;
	__u64 system = !stime ? 0 : !utime ? runtime : share_of(runtime, stime, stime + utime);
	if (system < system_before)
		system = system_before;
	if (runtime < system)
		runtime = system;
	__u64 user = runtime - system;
	if (user < user_before) {
		user = user_before;
		system = runtime > user ? runtime - user : 0;
	}
	*user_ns = user;
	*system_ns = system;
}

#endif
