/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "block.h"
#include "block_status.bpf.h"
#include "cost.bpf.h"
#include "drops.bpf.h"
#include "histogram.bpf.h"
#include "key_values.h"
#include "maps.bpf.h"

/* 20 busy disks × 3 operations × 50 buckets; 104 bytes an entry, two copies. */
WINDOW_MAP(block_latency, 3072, BUCKETED_OTHERS);
/* 100 disks × 4 operations. */
WINDOW_MAP(block_io, 512, 1);
WINDOW_MAP(block_errors, 256, 1);

/* enum req_op (include/linux/blk_types.h): bit 0 says that data goes to the device; from 32 on they are commands of drivers (SG_IO). */
#define REQ_OP_MASK 0xff
#define REQ_OP_FLUSH 2
#define REQ_OP_DISCARD 3
#define REQ_OP_PASSTHROUGH 32

/* RQF_FLUSH_SEQ: the request is one of the steps that a flush takes. An enumeration since 6.12. Set by the agent from the kernel's BTF. */
const volatile __u32 flush_sequence_flag = 1 << 4;

static __always_inline __u32 device_of(struct request *request)
{
	struct gendisk *disk;
	if (bpf_core_field_exists(request->rq_disk))
		disk = request->rq_disk;
	else
		disk = request->q->disk;
	return disk ? (__u32)disk->major << 20 | (disk->first_minor & 0xfffff) : 0;
}

/* As /proc/diskstats groups them, but that a write of nothing (what fsync() asks for) is a flush. */
static __always_inline __u8 operation_of(struct request *request, __u8 op, __u32 bytes_left)
{
	if (op == REQ_OP_DISCARD)
		return OPERATION_DISCARD;
	if (!(op & 1))
		return op == REQ_OP_FLUSH ? OPERATION_FLUSH : OPERATION_READ;
	return bytes_left || request->nr_phys_segments ? OPERATION_WRITE : OPERATION_FLUSH;
}

/*
 * A request may be completed in parts, and data that goes with a flush passes here twice: when it is written, and, with nothing left, when all
 * steps of the flush are done. The kernel's own request for flushing the disk belongs to that which asked for it, and is not counted beside it.
 */
static __always_inline void handle_complete(struct request *request, __s64 status, __u32 bytes)
{
	struct control *settings = get_control();
	__u8 op = request->cmd_flags & REQ_OP_MASK;
	if (!settings || op >= REQ_OP_PASSTHROUGH)
		return;
	__u32 active = *(volatile __u32 *)&settings->active;
	__u32 bytes_left = request->__data_len;
	int is_step = (request->rq_flags & flush_sequence_flag) != 0;
	int is_done = !is_step && bytes >= bytes_left;
	__u32 device = device_of(request);
	__u8 operation = operation_of(request, op, bytes_left);

	if (is_done || bytes) {
		struct block_io_key key = { .device = device, .operation = operation };
		struct block_io_value empty = {};
		struct block_io_value *slot = window_slot(block_io, active, &key, &empty, 0);
		if (slot) {
			if (is_done)
				__sync_fetch_and_add(&slot->count, 1);
			if (bytes)
				__sync_fetch_and_add(&slot->bytes, bytes);
		}
	}
	__u64 started_ns = request->start_time_ns;
	if (is_done && started_ns) {
		__u64 elapsed_ns = bpf_ktime_get_ns() - started_ns;
		struct block_latency_key key = { .device = device, .operation = operation, .bucket = bucket_index(elapsed_ns) };
		struct block_latency_value empty = { .min = ~0ull };
		struct block_latency_value *slot = window_slot(block_latency, active, &key, &empty, key.bucket);
		if (slot)
			histogram_add((struct histogram_value *)slot, elapsed_ns);
	}
	if (status && !is_step) {
		struct block_errors_key key = { .device = device, .operation = operation, .errno = errno_of_status(status) };
		struct block_errors_value empty = {};
		struct block_errors_value *slot = window_slot(block_errors, active, &key, &empty, 0);
		if (slot)
			__sync_fetch_and_add(&slot->count, 1);
	}
}

/* Arguments: struct request *, the error (block_status.bpf.h), bytes that are done by this. */
SEC("tp_btf/block_rq_complete")
int on_block_rq_complete(__u64 *ctx)
{
	cost_start(cost, on_block_rq_complete, COST_OFTEN);
	handle_complete((struct request *)ctx[0], ctx[1], ctx[2]);
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
