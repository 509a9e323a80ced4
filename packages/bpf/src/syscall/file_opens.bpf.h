/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who opens what, and what cannot be opened. */
#ifndef WAGGLE_FILE_OPENS_BPF_H
#define WAGGLE_FILE_OPENS_BPF_H

#include "call.bpf.h"
#include "file.h"
#include "file_keys.bpf.h"
#include "file_path.bpf.h"
#include "open_file.bpf.h"

const volatile __u8 wants_file_opens = 1;

/*
 * Files that processes open in one window; 96 bytes an entry, two copies. A walk through a file system opens everything once, and must not take
 * the room of what fails: successes have the first half only.
 */
#define FILE_OPENS_ENTRIES 4096
#define FILE_OPENS_OPENED (FILE_OPENS_ENTRIES / 2)
#define FILE_OPENS_FILES (FILE_OPENS_ENTRIES / 4 * 3)
WINDOW_MAP(file_opens, FILE_OPENS_ENTRIES, 1);

/* Id of a path as a program wrote it: of its bytes, up to the zero at bytes[length - 1]. */
static __always_inline __u64 id_of_text(const struct text *text, __u32 length, const struct control *settings)
{
	const __u64 *words = (const __u64 *)text->text;
	__u64 id = settings->seed;
	for (int i = 0; i < TEXT_BYTES / 8; i++) {
		int left = (int)length - i * 8;
		if (left <= 0)
			break;
		__u64 word = words[i];
		/* What is behind the end is of an earlier text. */
		if (left < 8)
			word &= (1ull << (left * 8 & 63)) - 1;
		id = mix(id, word);
	}
	return id < TEXT_ID_MIN ? id + TEXT_ID_MIN : id;
}

static __noinline struct file_opens_value *add_file_open(__u32 active, struct file_opens_key *key)
{
	struct file_opens_value empty = {};
	return window_slot(file_opens, active, key, &empty, 0);
}

/* Files are not told apart (window_mode.coarse_file): nothing of the path is read. */
static __always_inline int count_coarse_open(const struct call *call, struct file_opens_key *key)
{
	struct file_opens_value *slot = add_file_open(call->active, key);
	if (slot)
		__sync_fetch_and_add(&slot->count, 1ull << call->shift);
	return 0;
}

static __noinline int count_opened(const struct call *call)
{
	struct file_opens_key key = { .process_id = call->process_id, .file_id = TEXT_ID_OTHER };
	if (mode_of_call(call)->coarse_file)
		return count_coarse_open(call, &key);
	__u64 file = file_of_fd(call->task, (__u32)call->ret);
	key.file_id = TEXT_ID_NONE;
	if (file)
		key.file_id = id_of_file(parts_of_file(file), call->settings);
	struct file_opens_value *slot = window_has(file_opens, call->active, &key);
	if (!slot) {
		if (file && (!take_file_key(FILE_KEYS_OPENS, call->active, call->settings->window, FILE_OPENS_OPENED) || !register_path(key.file_id, file)))
			key.file_id = TEXT_ID_OTHER;
		slot = add_file_open(call->active, &key);
	}
	if (slot)
		__sync_fetch_and_add(&slot->count, 1ull << call->shift);
	return 0;
}

/* The path is read when the call returns: the kernel has just read it, so it is in memory, unless the call failed for that. */
static __noinline int count_failed_open(const struct call *call, __u16 error)
{
	struct file_opens_key key = { .process_id = call->process_id, .file_id = TEXT_ID_OTHER, .result = error };
	if (mode_of_call(call)->coarse_file)
		return count_coarse_open(call, &key);
	key.file_id = TEXT_ID_NONE;
	struct text *text = get_text_scratch();
	if (!text)
		return 0;
	const char *path = (const char *)(call->class == CALL_OPEN ? call_argument_1(call->regs) : call_argument_2(call->regs));
	int length = (int)bpf_probe_read_user_str(text, TEXT_BYTES, path);
	if (length >= TEXT_BYTES)
		mark_cut(text->text);
	if (length > 0)
		key.file_id = id_of_text(text, length, call->settings);
	struct file_opens_value *slot = window_has(file_opens, call->active, &key);
	if (!slot) {
		if (length > 0 && (!take_file_key(FILE_KEYS_OPENS, call->active, call->settings->window, FILE_OPENS_FILES) || !register_text(key.file_id, text)))
			key.file_id = TEXT_ID_OTHER;
		slot = add_file_open(call->active, &key);
	}
	if (slot)
		__sync_fetch_and_add(&slot->count, 1ull << call->shift);
	return 0;
}

static __always_inline void handle_open_call(const struct call *call)
{
	if (call->ret >= 0) {
		count_opened(call);
		return;
	}
	__u16 error = visible_error(call->ret);
	if (error)
		count_failed_open(call, error);
}

#endif
