/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Differences between kernels and architectures, all of them in here. */
#ifndef WAGGLE_CORE_COMPAT_BPF_H
#define WAGGLE_CORE_COMPAT_BPF_H

#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Marks a call that came through the 32-bit table; the agent names it `compat:<call>`. */
#define SYSCALL_COMPAT 0x80000000u

#if defined(__TARGET_ARCH_x86)
/* arch/x86/include/asm/thread_info.h: set for the time of a 32-bit call. */
#define TS_COMPAT 0x0002
static __always_inline __u32 compat_mark(struct task_struct *task)
{
	return task->thread_info.status & TS_COMPAT ? SYSCALL_COMPAT : 0;
}
static __always_inline __u32 syscall_of_regs(struct pt_regs *regs)
{
	return (__u32)regs->orig_ax;
}
#elif defined(__TARGET_ARCH_arm64)
/* arch/arm64/include/asm/thread_info.h: TIF_32BIT, a property of the process. */
#define TIF_32BIT_BIT 22
static __always_inline __u32 compat_mark(struct task_struct *task)
{
	return task->thread_info.flags & (1UL << TIF_32BIT_BIT) ? SYSCALL_COMPAT : 0;
}
static __always_inline __u32 syscall_of_regs(struct pt_regs *regs)
{
	return (__u32)regs->syscallno;
}
#else
#error "unknown target architecture"
#endif

#endif
