/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_SYSCALL_H
#define WAGGLE_SYSCALL_H

struct syscall_latency_key {
	__u64 process_id;
	__u32 syscall;
	__u16 bucket;
	__u16 pad;
};
_Static_assert(sizeof(struct syscall_latency_key) == 16, "no hidden padding");

struct syscall_latency_value {
	__u64 count;
	__u64 sum;
	__u64 min;
	__u64 max;
};
_Static_assert(sizeof(struct syscall_latency_value) == 32, "same layout as struct histogram_value");

struct syscall_errors_key {
	__u64 process_id;
	__u32 syscall;
	__u16 errno;
	__u16 pad;
};
_Static_assert(sizeof(struct syscall_errors_key) == 16, "no hidden padding");

struct syscall_errors_value {
	__u64 count;
};

struct tcp_accept_delay_key {
	__u64 process_id;
	__u16 port;
	__u16 bucket;
	__u32 pad;
};
_Static_assert(sizeof(struct tcp_accept_delay_key) == 16, "no hidden padding");

struct tcp_accept_delay_value {
	__u64 count;
	__u64 sum;
	__u64 min;
	__u64 max;
};

#endif
