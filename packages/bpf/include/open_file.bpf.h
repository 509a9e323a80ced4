/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* From a descriptor to what it stands for. Addresses are read safely: a file that another thread has closed reads as nothing, or as another. */
#ifndef WAGGLE_OPEN_FILE_BPF_H
#define WAGGLE_OPEN_FILE_BPF_H

#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "kernel_word.bpf.h"

/* include/uapi/linux/stat.h */
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000

/* Address of the task's open file; 0 if the descriptor is not open (any more). */
static __always_inline __u64 file_of_fd(struct task_struct *task, __u32 fd)
{
	struct fdtable *table = task->files->fdt;
	if (fd >= table->max_fds)
		return 0;
	return kernel_word((__u64)(table->fd + fd));
}

/* Addresses of an open file's parts; 0 where one cannot be read. */
struct open_file {
	__u64 inode;
	__u64 dentry;
};

#ifdef WAGGLE_DIRECT_LOADS

static __always_inline struct open_file parts_of_file(__u64 file)
{
	return (struct open_file){ .inode = kernel_field(struct file, file, f_inode), .dentry = kernel_field(struct file, file, f_path.dentry) };
}

#else

/* Bytes that are read of struct file at once. Inode and path lie within them in every kernel seen (5.10 to 6.18), in either order. */
#define FILE_SPAN_BYTES 64

/* A read by helper costs the same whatever its size, so both parts are read by one. */
static __always_inline struct open_file parts_of_file(__u64 file)
{
	struct open_file parts = {};
	__u32 inode_at = bpf_core_field_offset(struct file, f_inode);
	__u32 dentry_at = bpf_core_field_offset(struct file, f_path.dentry);
	__u32 from = inode_at < dentry_at ? inode_at : dentry_at;
	__u32 to = (inode_at < dentry_at ? dentry_at : inode_at) + sizeof(__u64);
	if (to - from > FILE_SPAN_BYTES) {
		bpf_probe_read_kernel(&parts.inode, sizeof(parts.inode), (void *)(file + inode_at));
		bpf_probe_read_kernel(&parts.dentry, sizeof(parts.dentry), (void *)(file + dentry_at));
		return parts;
	}
	__u64 span[FILE_SPAN_BYTES / 8];
	if (bpf_probe_read_kernel(span, to - from, (void *)(file + from)) == 0) {
		parts.inode = span[(inode_at - from) / 8 & (FILE_SPAN_BYTES / 8 - 1)];
		parts.dentry = span[(dentry_at - from) / 8 & (FILE_SPAN_BYTES / 8 - 1)];
	}
	return parts;
}

#endif

/* S_IFREG, S_IFSOCK, …; 0 if it cannot be read. */
static __always_inline __u32 type_of_inode(__u64 inode)
{
	return kernel_field(struct inode, inode, i_mode) & S_IFMT;
}

/* Address of the struct sock of a socket's file; 0 if it cannot be read. */
static __always_inline __u64 sock_of_file(__u64 file)
{
	return kernel_field(struct socket, kernel_field(struct file, file, private_data), sk);
}

/* Address of the TCP connection that a multipath connection (an address of a struct sock) was begun with; 0 if it is none, or the kernel has no such. */
static __always_inline __u64 first_subflow(__u64 sk)
{
	struct mptcp_sock *multipath = 0;
	if (!bpf_core_field_exists(multipath->first) || (__u16)kernel_field(struct sock, sk, sk_protocol) != IPPROTO_MPTCP)
		return 0;
	return kernel_field(struct mptcp_sock, sk, first);
}

#endif
