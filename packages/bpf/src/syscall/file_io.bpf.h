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

#endif
