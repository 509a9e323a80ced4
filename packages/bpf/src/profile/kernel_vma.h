/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Kernel types that only the profile reads; as in kernel_types.h, only names matter. */
#ifndef WAGGLE_KERNEL_VMA_H
#define WAGGLE_KERNEL_VMA_H

#include "kernel_types.h"

/* include/linux/mm.h */
#define VM_EXEC 0x00000004
/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	unsigned long vm_flags;
	unsigned long vm_pgoff;
	struct file *vm_file;
};

struct inode___profile {
	unsigned long i_ino;
	long long i_size;
};

/* Both architectures keep the address of the vDSO there. */
struct mm_context___profile {
	void *vdso;
};

struct mm_struct___profile {
	struct mm_context___profile context;
};

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
};

#pragma clang attribute pop

#endif
