/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_BLOCK_H
#define WAGGLE_BLOCK_H

/* `device`: 12 bits of major number, 20 of minor, as in the kernel's own dev_t; 0: none. `operation`: key_values.h. */
struct block_latency_key {
	__u32 device;
	__u8 operation;
	__u8 pad;
	__u16 bucket;
};
_Static_assert(sizeof(struct block_latency_key) == 8, "no hidden padding");

struct block_latency_value {
	__u64 count;
	__u64 sum;
	__u64 min;
	__u64 max;
};
_Static_assert(sizeof(struct block_latency_value) == 32, "same layout as struct histogram_value");

struct block_io_key {
	__u32 device;
	__u8 operation;
	__u8 pad[3];
};
_Static_assert(sizeof(struct block_io_key) == 8, "no hidden padding");

struct block_io_value {
	__u64 count;
	__u64 bytes;
};

struct block_errors_key {
	__u32 device;
	__u8 operation;
	__u8 pad;
	__u16 errno;
};
_Static_assert(sizeof(struct block_errors_key) == 8, "no hidden padding");

struct block_errors_value {
	__u64 count;
};

#endif
