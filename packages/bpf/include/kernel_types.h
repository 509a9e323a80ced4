/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The few kernel types that the probes read, written by hand. Only names matter: preserve_access_index makes clang record
 * every access as a CO-RE relocation, and libbpf finds the running kernel's offset. So there is no generated vmlinux.h to keep.
 */
#ifndef WAGGLE_KERNEL_TYPES_H
#define WAGGLE_KERNEL_TYPES_H

#include <linux/bpf.h>

#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define TASK_COMM_LEN 16

enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
	TCP_NEW_SYN_RECV,
};

/* enum tcp_ca_state (include/uapi/linux/tcp.h) */
#define TCP_CA_RECOVERY 3
#define TCP_CA_LOSS 4

/* include/net/inet_connection_sock.h */
#define ICSK_TIME_LOSS_PROBE 5

/* Bit of enum sock_flags (include/net/sock.h): set by tcp_fin() and by nothing else. */
#define SOCK_DONE_BIT 1

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct thread_info {
	unsigned long flags;
	__u32 status;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct path f_path;
};

struct mm_struct {
	struct file *exe_file;
};

struct task_struct {
	struct thread_info thread_info;
	int tgid;
	struct mm_struct *mm;
	struct task_struct *group_leader;
	char comm[TASK_COMM_LEN];
	struct css_set *cgroups;
};

/* x86 and arm64 members side by side: only the one named in core_compat.bpf.h is ever read. */
struct pt_regs {
	unsigned long orig_ax;
	__s32 syscallno;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__u32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__u32 skc_daddr;
	__u16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	unsigned long skc_flags;
};

struct sock {
	struct sock_common __sk_common;
	int sk_err;
	__u16 sk_type;
};

struct socket {
	struct sock *sk;
};

struct inet_sock {
	struct sock sk;
	__u16 inet_sport;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	__u8 icsk_ca_state : 5;
	__u8 icsk_pending;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 segs_out;
	__u32 segs_in;
	__u32 total_retrans;
	__u32 srtt_us;
	__u32 snd_wnd;
	__u32 snd_una;
	__u32 write_seq;
	__u32 delivered;
	__u64 bytes_received;
	__u64 bytes_acked;
};

struct request_sock {
	struct sock_common __req_common;
};

struct sk_buff {
	char cb[48];
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop

#endif
