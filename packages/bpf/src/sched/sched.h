/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_SCHED_H
#define WAGGLE_SCHED_H

struct run_queue_latency_key {
	__u64 process_id;
	__u16 bucket;
	__u16 pad[3];
};
_Static_assert(sizeof(struct run_queue_latency_key) == 16, "no hidden padding");

struct run_queue_latency_value {
	__u64 count;
	__u64 sum;
	__u64 min;
	__u64 max;
};
_Static_assert(sizeof(struct run_queue_latency_value) == 32, "same layout as struct histogram_value");

#endif
