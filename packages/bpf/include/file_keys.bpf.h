/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Keys with a file in them are as many as there are files. Each copy of such a map takes them up to a limit below its size; from there on a
 * process's further files share one key with file ~other. So its sums stay its own, and a process that comes late still finds room.
 */
#ifndef WAGGLE_FILE_KEYS_BPF_H
#define WAGGLE_FILE_KEYS_BPF_H

#include <bpf/bpf_helpers.h>
#include "drops.bpf.h"
#include "maps.bpf.h"
#include "texts.bpf.h"

#define FILE_KEYS_IO 0
#define FILE_KEYS_OPENS 1
#define FILE_KEYS_FSYNC 2
/* Not of a map's keys: of the registry of texts, what paths of open files may take. The rest is for what could not be opened, and for other names. */
#define FILE_KEYS_PATHS 3
#define FILE_KEYS_MAPS 4
#define FILE_PATHS (TEXTS_ENTRIES / 4 * 3)

struct file_keys {
	/* Window that the count is of. */
	__u32 window;
	__u32 keys;
};

/* By map and copy. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FILE_KEYS_MAPS * 2);
	__type(key, __u32);
	__type(value, struct file_keys);
} file_keys SEC(".maps");

/* Takes room for one more key with a file. Two CPUs that begin a window together may miscount by a few, which the rest of the map takes. */
static __always_inline _Bool take_file_key(__u32 map, __u32 active, __u32 window, __u32 keys_max)
{
	__u32 index = map * 2 + (active & 1);
	struct file_keys *taken = bpf_map_lookup_elem(&file_keys, &index);
	if (!taken)
		return 0;
	if (taken->window != window) {
		taken->window = window;
		taken->keys = 0;
	}
	if (taken->keys >= keys_max) {
		count_drop(file_paths_full);
		return 0;
	}
	__sync_fetch_and_add(&taken->keys, 1);
	return 1;
}

#endif
