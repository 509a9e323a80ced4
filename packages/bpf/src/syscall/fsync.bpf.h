/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How long programs wait until what they wrote is on its device. */
#ifndef WAGGLE_FSYNC_BPF_H
#define WAGGLE_FSYNC_BPF_H

#include "call.bpf.h"
#include "file.h"
#include "file_keys.bpf.h"
#include "file_path.bpf.h"
#include "histogram.bpf.h"
#include "key_values.h"
#include "open_file.bpf.h"

const volatile __u8 wants_fsync = 1;

/* 200 files × 10 buckets; 120 bytes an entry, two copies. */
#define FSYNC_ENTRIES 2048
#define FSYNC_FILES (FSYNC_ENTRIES / 4 * 3)
WINDOW_MAP(fsync_latency, FSYNC_ENTRIES, BUCKETED_OTHERS);

#define EBADF 9
#define EINVAL 22

static __always_inline __u8 operation_of_sync(__u32 syscall)
{
	switch (syscall) {
	case NR_FSYNC:
		return OPERATION_FSYNC;
	case NR_FDATASYNC:
		return OPERATION_FDATASYNC;
	case NR_SYNC_FILE_RANGE:
		return OPERATION_SYNC_FILE_RANGE;
	case NR_SYNCFS:
		return OPERATION_SYNCFS;
	case NR_MSYNC:
		return OPERATION_MSYNC;
	default:
		return OPERATION_SYNC;
	}
}

static __noinline int handle_sync_call(const struct call *call)
{
	/* No entry, no latency; and a descriptor that is none, or cannot be synced (a pipe), kept nobody waiting. */
	if (!call->elapsed_ns || call->ret == -EBADF || call->ret == -EINVAL)
		return 0;
	struct fsync_latency_key key = {
		.process_id = call->process_id,
		.operation = operation_of_sync(call->syscall),
		.bucket = bucket_index(call->elapsed_ns),
	};
	/* sync has no file, and msync names memory. */
	__u64 file = 0;
	if (key.operation != OPERATION_SYNC && key.operation != OPERATION_MSYNC)
		file = file_of_fd(call->task, (__u32)call_argument_1(call->regs));
	if (file && mode_of_call(call)->coarse_file) {
		key.file_id = TEXT_ID_OTHER;
	} else if (file) {
		key.file_id = id_of_file(parts_of_file(file), call->settings);
		if (!window_has(fsync_latency, call->active, &key) &&
		    (!take_file_key(FILE_KEYS_FSYNC, call->active, call->settings->window, FSYNC_FILES) || !register_path(key.file_id, file)))
			key.file_id = TEXT_ID_OTHER;
	}
	struct fsync_latency_value empty = { .min = ~0ull };
	struct fsync_latency_value *slot = window_slot(fsync_latency, call->active, &key, &empty, key.bucket);
	if (slot)
		histogram_add_sampled((struct histogram_value *)slot, call->elapsed_ns, call->shift);
	return 0;
}

#endif
