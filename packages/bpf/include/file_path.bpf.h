/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Names of files: an id that hot keys hold, and the path that is registered as its text. The path is walked from the file upwards, through the
 * mount points, to the root of its mount namespace: the way a person inside the container would write it, whatever chroot the process lives in.
 */
#ifndef WAGGLE_FILE_PATH_BPF_H
#define WAGGLE_FILE_PATH_BPF_H

#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "file_keys.bpf.h"
#include "kernel_word.bpf.h"
#include "maps.bpf.h"
#include "open_file.bpf.h"
#include "process.bpf.h"
#include "texts.bpf.h"

/* Of a deeper path the topmost directories are left out and `…/` stands for them. */
#define PATH_COMPONENTS 32
/* Directories and mount points that are visited at most. */
#define PATH_STEPS 48
#define COMPONENT_BYTES_MAX 255
/* What the components and their slashes may take, so that there is room for the ellipsis and the final zero. */
#define PATH_BYTES_MAX (TEXT_BYTES - ELLIPSIS_BYTES - 1)

/*
 * Too long for a program's stack. The counters lie here as well: what the verifier reads back from a map is any number to it, so that one pass
 * through a loop stands for all of them.
 */
struct path_scratch {
	/* Addresses of the components' names, from the file upwards. */
	__u64 names[PATH_COMPONENTS];
	/* How many they are, and their bytes with a slash each. */
	__u32 count;
	__u32 bytes;
	/* End of the text so far. */
	__u32 at;
	/* It does not begin at the root, because it is too long or the root was not found. */
	__u8 is_cut;
	/* It begins with a slash. */
	__u8 is_rooted;
	/* Only TEXT_BYTES of it are used; the rest lets any component be written at any place before that. */
	char text[512];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct path_scratch);
} path_scratch SEC(".maps");

/*
 * Id of an open file: its inode, and the name it was opened by. So what was written under a temporary name and then renamed is told apart, and
 * so are a file that was deleted and the next one that got its inode. The hash of a name is salted with its directory (fs/namei.c).
 */
static __always_inline __u64 id_of_file(struct open_file file, const struct control *settings)
{
	__u64 hash_and_length = kernel_field(struct dentry, file.dentry, d_name.hash_len);
	__u64 id = mix(settings->seed, file.inode ^ hash_and_length << 32);
	return id < TEXT_ID_MIN ? id + TEXT_ID_MIN : id;
}

/* Collects the components of the path, from the file upwards. */
static __always_inline void collect_path(struct path_scratch *path, __u64 file)
{
	__u64 dentry = kernel_field(struct file, file, f_path.dentry);
	__u64 mount = kernel_field(struct file, file, f_path.mnt) - bpf_core_field_offset(struct mount, mnt);
	__u64 root = kernel_field(struct mount, mount, mnt.mnt_root);
	path->count = 0;
	path->bytes = 0;
	path->is_cut = 1;
	path->is_rooted = 1;
	for (int step = 0; step < PATH_STEPS && dentry; step++) {
		if (dentry == root) {
			__u64 parent_mount = kernel_field(struct mount, mount, mnt_parent);
			if (parent_mount == mount) {
				path->is_cut = 0;
				break;
			}
			dentry = kernel_field(struct mount, mount, mnt_mountpoint);
			mount = parent_mount;
			root = kernel_field(struct mount, mount, mnt.mnt_root);
			continue;
		}
		__u64 parent = kernel_field(struct dentry, dentry, d_parent);
		__u32 count = path->count;
		/* The top of a tree that is mounted nowhere: a memfd has no directory at all. */
		if (parent == dentry) {
			path->is_cut = 0;
			if (count)
				break;
			path->is_rooted = 0;
		}
		__u64 hash_and_length = kernel_field(struct dentry, dentry, d_name.hash_len);
		__u32 bytes = path->bytes + (__u32)(hash_and_length >> 32) + 1;
		if (count >= PATH_COMPONENTS || (count && bytes > PATH_BYTES_MAX))
			break;
		path->names[count] = kernel_field(struct dentry, dentry, d_name.name);
		path->count = count + 1;
		path->bytes = bytes;
		if (parent == dentry)
			break;
		dentry = parent;
	}
}

/* Puts the components together, from the root downwards. */
static __always_inline void write_path(struct path_scratch *path)
{
	path->at = 0;
	if (path->is_cut) {
		path->text[0] = '\xe2';
		path->text[1] = '\x80';
		path->text[2] = '\xa6';
		path->at = ELLIPSIS_BYTES;
	}
	for (int i = PATH_COMPONENTS - 1; i >= 0; i--) {
		__u32 at = path->at;
		if (i >= (int)path->count || at >= TEXT_BYTES)
			continue;
		if (path->is_rooted)
			path->text[at++] = '/';
		int written = (int)bpf_probe_read_kernel_str(&path->text[at], COMPONENT_BYTES_MAX + 1, (void *)path->names[i]);
		path->at = written > 0 ? at + written - 1 : at;
	}
	__u32 at = path->at;
	/* The root itself. */
	if (!at)
		path->text[at++] = '/';
	if (at < TEXT_BYTES)
		path->text[at] = 0;
	else
		mark_cut(path->text);
}

/*
 * Registers the path of an open file (an address) under its id. 0 if there is no room for it, else 1. Not static: the verifier then looks at it once
 * and not at each place that calls it.
 */
__noinline int register_path(__u64 id, __u64 file)
{
	/* Another process, or another bucket, was here before. */
	if (bpf_map_lookup_elem(&texts, &id))
		return 1;
	__u32 zero = 0;
	struct path_scratch *path = bpf_map_lookup_elem(&path_scratch, &zero);
	struct control *settings = get_control();
	if (!path || !settings || !take_file_key(FILE_KEYS_PATHS, settings->active, settings->window, FILE_PATHS))
		return 0;
	collect_path(path, file);
	write_path(path);
	return register_text(id, (struct text *)path->text);
}

#endif
