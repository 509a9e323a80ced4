/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Bytes and calls by file, for regular files. */
#ifndef WAGGLE_FILE_IO_BPF_H
#define WAGGLE_FILE_IO_BPF_H

#include "call.bpf.h"
#include "file.h"
#include "file_keys.bpf.h"
#include "file_path.bpf.h"
#include "open_file.bpf.h"

const volatile __u8 wants_file_io = 1;

/* Files that processes read or write in one window; 112 bytes an entry, two copies. */
#define FILE_IO_ENTRIES 4096
#define FILE_IO_FILES (FILE_IO_ENTRIES / 4 * 3)
WINDOW_MAP(file_io, FILE_IO_ENTRIES, 1);

static __noinline struct file_io_value *add_file_io(const struct call *call, struct file_io_key *key, __u64 file)
{
	if (file && (!take_file_key(FILE_KEYS_IO, call->active, call->settings->window, FILE_IO_FILES) || !register_path(key->file_id, file)))
		key->file_id = TEXT_ID_OTHER;
	struct file_io_value empty = {};
	return window_slot(file_io, call->active, key, &empty, 0);
}

/* One call that moved `bytes` from or to a regular file. */
static __always_inline void count_file_io(const struct call *call, __u64 file, struct open_file parts, _Bool is_write, __u64 bytes)
{
	struct file_io_key key = { .process_id = call->process_id, .file_id = TEXT_ID_OTHER };
	_Bool is_coarse = mode_of_call(call)->coarse_file;
	if (!is_coarse)
		key.file_id = id_of_file(parts, call->settings);
	struct file_io_value *slot = window_has(file_io, call->active, &key);
	if (!slot)
		slot = add_file_io(call, &key, is_coarse ? 0 : file);
	if (!slot)
		return;
	barrier_var(slot);
	if (is_write) {
		__sync_fetch_and_add(&slot->written_bytes, bytes << call->shift);
		__sync_fetch_and_add(&slot->writes, 1ull << call->shift);
	} else {
		__sync_fetch_and_add(&slot->read_bytes, bytes << call->shift);
		__sync_fetch_and_add(&slot->reads, 1ull << call->shift);
	}
}

/* A call that copied between two descriptors (sendfile, splice, copy_file_range): a read of one and a write of the other, if they are files. */
static __noinline int count_copy(const struct call *call, __u32 from, __u32 to)
{
	if (call->ret < 0)
		return 0;
#pragma unroll
	for (int is_write = 0; is_write < 2; is_write++) {
		__u64 file = file_of_fd(call->task, is_write ? to : from);
		struct open_file parts = parts_of_file(file);
		if (type_of_inode(parts.inode) == S_IFREG)
			count_file_io(call, file, parts, is_write, call->ret);
	}
	return 0;
}

/* Requests that are looked at of one io_submit; programs mostly submit one or a few. */
#define SUBMITTED_MAX 16
/* Buffers of one request that are added up. */
#define SUBMITTED_BUFFERS_MAX 8

/* Where struct iocb (include/uapi/linux/aio_abi.h) has what is read of it: opcode, priority, descriptor, buffer, bytes. */
#define IOCB_OPCODE_AT 16
struct submitted {
	__u16 opcode;
	__u16 priority;
	__u32 fd;
	/* Of several buffers: their vector, and how many they are. */
	__u64 buffer;
	__u64 bytes;
};
#define IOCB_CMD_PREAD 0
#define IOCB_CMD_PWRITE 1
#define IOCB_CMD_PREADV 7
#define IOCB_CMD_PWRITEV 8

static __noinline __u64 bytes_of_vector(__u64 vector, __u64 count)
{
	__u64 bytes = 0;
	for (int i = 0; i < SUBMITTED_BUFFERS_MAX; i++) {
		__u64 length = 0;
		/* struct iovec: a base, a length. */
		if ((__u64)i >= count || bpf_probe_read_user(&length, sizeof(length), (void *)(vector + i * 16 + 8)))
			break;
		bytes += length;
	}
	return bytes;
}

/* Linux AIO: what was asked for, when it was. How much of it was done only the completion says, which programs may read without a call. */
static __noinline int count_submitted(const struct call *call, __u64 address)
{
	__u64 iocb = 0;
	struct submitted request;
	if (bpf_probe_read_user(&iocb, sizeof(iocb), (void *)address) || bpf_probe_read_user(&request, sizeof(request), (void *)(iocb + IOCB_OPCODE_AT)))
		return 0;
	_Bool is_vector = request.opcode == IOCB_CMD_PREADV || request.opcode == IOCB_CMD_PWRITEV;
	_Bool is_write = request.opcode == IOCB_CMD_PWRITE || request.opcode == IOCB_CMD_PWRITEV;
	if (!is_vector && !is_write && request.opcode != IOCB_CMD_PREAD)
		return 0;
	__u64 bytes = is_vector ? bytes_of_vector(request.buffer, request.bytes) : request.bytes;
	__u64 file = file_of_fd(call->task, request.fd);
	struct open_file parts = parts_of_file(file);
	if (type_of_inode(parts.inode) == S_IFREG)
		count_file_io(call, file, parts, is_write, bytes);
	return 0;
}

static __always_inline void handle_submit_call(const struct call *call)
{
	__u64 requests = call_argument_3(call->regs);
	for (int i = 0; i < SUBMITTED_MAX; i++) {
		if (i >= call->ret)
			break;
		count_submitted(call, requests + i * sizeof(__u64));
	}
}

#endif
