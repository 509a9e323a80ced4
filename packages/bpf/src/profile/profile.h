/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space. */
#ifndef WAGGLE_PROFILE_H
#define WAGGLE_PROFILE_H

/* Stacks are named by the agent, out of the two ids and what is mapped where in the address space (include/stacks.bpf.h). */
struct cpu_profile_key {
	__u64 process_id;
	__u64 kernel_stack;
	__u64 user_stack;
	__u32 tgid;
	__u32 space;
};
_Static_assert(sizeof(struct cpu_profile_key) == 32, "no hidden padding");

struct cpu_profile_value {
	__u64 samples;
};

#define MAPPING_PATH_BYTES 512

/* An executable mapping, as on_task_vma writes it to its reader. */
struct mapping {
	__u64 start;
	__u64 end;
	/* Where in the file it begins. */
	__u64 offset;
	/* Inode number and size (bytes) of the file; 0: no file. */
	__u64 inode;
	__u64 size;
	__u32 tgid;
	__u32 space;
	/* 1: the kernel's own code for user space (vDSO). */
	__u32 is_vdso;
	__u32 pad;
	/* As seen from the agent's root directory; empty if it is longer than this. */
	char path[MAPPING_PATH_BYTES];
};
_Static_assert(sizeof(struct mapping) == 56 + MAPPING_PATH_BYTES, "the agent decodes this struct");

#endif
