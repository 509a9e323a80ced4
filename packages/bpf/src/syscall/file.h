/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the file signals send to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_FILE_H
#define WAGGLE_FILE_H

struct file_io_key {
	__u64 process_id;
	__u64 file_id;
};

struct file_io_value {
	__u64 read_bytes;
	__u64 written_bytes;
	__u64 reads;
	__u64 writes;
};

struct file_opens_key {
	__u64 process_id;
	__u64 file_id;
	__u16 result;
	__u8 pad[6];
};
_Static_assert(sizeof(struct file_opens_key) == 24, "no hidden padding");

struct file_opens_value {
	__u64 count;
};

struct fsync_latency_key {
	__u64 process_id;
	__u64 file_id;
	__u8 operation;
	__u8 pad[5];
	__u16 bucket;
};
_Static_assert(sizeof(struct fsync_latency_key) == 24, "no hidden padding");

struct fsync_latency_value {
	__u64 count;
	__u64 sum;
	__u64 min;
	__u64 max;
};
_Static_assert(sizeof(struct fsync_latency_value) == 32, "same layout as struct histogram_value");

#endif
