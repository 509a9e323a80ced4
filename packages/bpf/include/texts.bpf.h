/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Texts that keys name by an id: file paths, DNS names. A text is registered whenever a key that carries its id is new in the copy that is
 * being written, and always before that key: so whoever reads the copy knows it, nothing has to be remembered between windows, and the
 * registry holds what one window used.
 */
#ifndef WAGGLE_TEXTS_BPF_H
#define WAGGLE_TEXTS_BPF_H

#include <bpf/bpf_helpers.h>
#include "drops.bpf.h"

#define TEXT_BYTES 248

/* 0 is the empty text: not known; 1 is ~other: known, but there was no room for the text. */
#define TEXT_ID_NONE 0
#define TEXT_ID_OTHER 1
#define TEXT_ID_MIN 2

struct text {
	char text[TEXT_BYTES];
};
_Static_assert(sizeof(struct text) == TEXT_BYTES, "the agent decodes this struct");

#define TEXTS_ENTRIES 4096

/* Drained by the agent in every window. 320 bytes an entry. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TEXTS_ENTRIES);
	__type(key, __u64);
	__type(value, struct text);
} texts SEC(".maps");

/* Where a text is put together: it is too long for a program's stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct text);
} text_scratch SEC(".maps");

static __always_inline struct text *get_text_scratch(void)
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&text_scratch, &key);
}

/*
 * Registers what lies in the scratch space under the id. If there is no room, the text shows as empty, and that is counted; false is returned,
 * so that the key may take TEXT_ID_OTHER instead.
 */
static __always_inline _Bool register_text(__u64 id, const struct text *text)
{
	int error = (int)bpf_map_update_elem(&texts, &id, text, BPF_NOEXIST);
	if (!error || error == -17)
		return 1;
	count_drop(texts_full);
	return 0;
}

#define ELLIPSIS_BYTES 3

/* Marks a text that fills its space as cut off at its end. */
static __always_inline void mark_cut(char *text)
{
	text[TEXT_BYTES - 4] = '\xe2';
	text[TEXT_BYTES - 3] = '\x80';
	text[TEXT_BYTES - 2] = '\xa6';
	text[TEXT_BYTES - 1] = 0;
}

#endif
