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
/* Arguments of a 64-bit call, also when it returns: the kernel gives back all but rax, rcx and r11. */
#define call_argument_1(regs) ((regs)->di)
#define call_argument_2(regs) ((regs)->si)
#define call_argument_3(regs) ((regs)->dx)
#define call_argument_4(regs) ((regs)->r10)
#define call_argument_5(regs) ((regs)->r8)
#define call_argument_6(regs) ((regs)->r9)
#define NR_CLONE 56
#define NR_FORK 57
#define NR_VFORK 58
#define NR_RT_SIGRETURN 15
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
/* Arguments of a call, also when it returns: then x0 holds the result. */
#define call_argument_1(regs) ((regs)->orig_x0)
#define call_argument_2(regs) ((regs)->regs[1])
#define call_argument_3(regs) ((regs)->regs[2])
#define call_argument_4(regs) ((regs)->regs[3])
#define call_argument_5(regs) ((regs)->regs[4])
#define call_argument_6(regs) ((regs)->regs[5])
/* arm64 has clone and clone3 only. */
#define NR_CLONE 220
#define NR_FORK NR_CLONE
#define NR_VFORK NR_CLONE
#define NR_RT_SIGRETURN 139
#else
#error "unknown target architecture"
#endif

#define NR_CLONE3 435
/* Of the 32-bit tables of x86 and arm alike. */
#define NR_COMPAT_FORK 2
#define NR_COMPAT_CLONE 120
#define NR_COMPAT_VFORK 190
#define NR_COMPAT_SIGRETURN 119
#define NR_COMPAT_RT_SIGRETURN 173

/* Whether a call makes a task: the new one leaves the kernel as if it had made the call too. */
static __always_inline int makes_task(__u32 syscall)
{
	if (syscall & SYSCALL_COMPAT) {
		__u32 number = syscall & ~SYSCALL_COMPAT;
		return number == NR_COMPAT_FORK || number == NR_COMPAT_CLONE || number == NR_COMPAT_VFORK || number == NR_CLONE3;
	}
	return syscall == NR_CLONE || syscall == NR_FORK || syscall == NR_VFORK || syscall == NR_CLONE3;
}

/* Whether a call gives back the registers of what a signal interrupted, and so "returns" what was in one of them. */
static __always_inline int restores_registers(__u32 syscall)
{
	return syscall == NR_RT_SIGRETURN || syscall == (SYSCALL_COMPAT | NR_COMPAT_SIGRETURN) ||
	       syscall == (SYSCALL_COMPAT | NR_COMPAT_RT_SIGRETURN);
}

#endif
