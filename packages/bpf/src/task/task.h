/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_TASK_H
#define WAGGLE_TASK_H

struct cpu_time_key {
	__u64 process_id;
};

struct cpu_time_value {
	__u64 user;
	__u64 system;
	__u64 voluntary_switches;
	__u64 involuntary_switches;
};

struct page_faults_key {
	__u64 process_id;
};

struct page_faults_value {
	__u64 minor;
	__u64 major;
};

struct process_exec_key {
	__u64 process_id;
};

struct process_exec_value {
	__u64 count;
	__u64 forked;
	__u64 threads;
};

struct process_exits_key {
	__u64 process_id;
	/* As wait(2) gives it, without the mark of a core dump. */
	__u16 exit_status;
	__u16 pad[3];
};
_Static_assert(sizeof(struct process_exits_key) == 16, "no hidden padding");

struct process_exits_value {
	__u64 count;
};

#endif
