/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_SOFTIRQ_H
#define WAGGLE_SOFTIRQ_H

struct softirq_latency_key {
	__u8 softirq;
	/* Lowest bits of the CPU: CPUs that tick at the same moment shall not all add to one slot. The agent sums over it. */
	__u8 pad;
	__u16 bucket;
};
_Static_assert(sizeof(struct softirq_latency_key) == 4, "no hidden padding");

struct softirq_latency_value {
	__u64 count;
	__u64 sum;
	__u64 min;
	__u64 max;
};
_Static_assert(sizeof(struct softirq_latency_value) == 32, "same layout as struct histogram_value");

#endif
