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
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_MPTCP 262
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
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

/* include/linux/tcp.h: a slow start threshold that was never set. */
#define TCP_INFINITE_SSTHRESH 0x7fffffff

/* enum tcp_ca_state (include/uapi/linux/tcp.h) */
#define TCP_CA_OPEN 0
#define TCP_CA_RECOVERY 3
#define TCP_CA_LOSS 4

/* include/net/inet_connection_sock.h */
#define ICSK_TIME_LOSS_PROBE 5

/* Bit of enum sock_flags (include/net/sock.h): set by tcp_fin() and by nothing else. */
#define SOCK_DONE_BIT 1

/* Bit of sk_userlocks (include/net/sock.h): the program chose the port, not the kernel. */
#define SOCK_BINDPORT_LOCK 8

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct thread_info {
	unsigned long flags;
	__u32 status;
};

struct kernfs_node {
	__u64 id;
};

struct list_head {
	struct list_head *next;
};

/* A hierarchy of control groups. */
struct cgroup_root {
	/* 0: the one of version 2. */
	int hierarchy_id;
};

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

/* The groups of a task, one in each hierarchy; tasks that are in the same ones share it. */
struct css_set {
	struct cgroup *dfl_cgrp;
	struct list_head cgrp_links;
};

struct cgrp_cset_link {
	struct cgroup *cgrp;
	struct list_head cgrp_link;
};

struct qstr {
	/* Hash and, in the upper half, length. */
	__u64 hash_len;
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct inode {
	unsigned short i_mode;
};

struct timespec64 {
	long long tv_sec;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	/* Of a socket's file: its struct socket. */
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct mm_struct {
	struct file *exe_file;
};

/* CONFIG_SCHED_INFO: time spent waiting for a CPU, and since when the task waits (0: it does not). Both on the run queue's clock. */
struct sched_info {
	/* How often the task got a CPU. */
	unsigned long pcount;
	__u64 run_delay;
	__u64 last_queued;
};

/* A CPU's run queue. */
struct rq {
	__u64 clock;
};

struct cfs_rq {
	struct rq *rq;
};

struct sched_entity {
	__u64 sum_exec_runtime;
	/* CONFIG_FAIR_GROUP_SCHED */
	struct cfs_rq *cfs_rq;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	/* Threads that have not begun to end. */
	atomic_t live;
	/* Wait status if the group was ended as a whole. */
	int group_exit_code;
	unsigned int flags;
	/* The memory that the OOM killer wants back. */
	struct mm_struct *oom_mm;
};

struct task_struct {
	struct thread_info thread_info;
	int pid;
	unsigned int flags;
	unsigned int __state;
	struct sched_entity se;
	struct sched_info sched_info;
	int tgid;
	struct mm_struct *mm;
	/* How far it has ended: EXIT_… */
	int exit_state;
	/* Wait status, of a thread that ends. */
	int exit_code;
	struct task_struct *group_leader;
	/* Nanoseconds as the timer tick sees them: proportions, not times. */
	__u64 utime;
	__u64 stime;
	unsigned long nvcsw;
	unsigned long nivcsw;
	unsigned long min_flt;
	unsigned long maj_flt;
	struct signal_struct *signal;
	char comm[TASK_COMM_LEN];
	struct files_struct *files;
	struct css_set *cgroups;
};

/* x86 and arm64 members side by side: only those named in core_compat.bpf.h are ever read. */
struct pt_regs {
	unsigned long di;
	unsigned long si;
	unsigned long dx;
	unsigned long r10;
	unsigned long r8;
	unsigned long r9;
	unsigned long orig_ax;
	__u64 regs[31];
	__u64 orig_x0;
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

typedef struct {
	atomic_t refs;
} refcount_t;

struct sock {
	struct sock_common __sk_common;
	/* Of the receive queue, the bytes and the most there may be. */
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
	int sk_rcvbuf;
	/* Of what is being sent: in the queue of a stream, and in packets on their way; and the most there may be. */
	int sk_wmem_queued;
	refcount_t sk_wmem_alloc;
	int sk_sndbuf;
	/* Of a listener: connections that wait to be accepted, and how many may. */
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
	atomic_t sk_drops;
	/* NULL: no descriptor was made for it yet, or it is gone. */
	struct socket *sk_socket;
	int sk_err;
	__u8 sk_userlocks : 4;
	__u16 sk_type;
	__u16 sk_protocol;
};

struct socket {
	struct sock *sk;
};

struct inet_sock {
	struct sock sk;
	__u16 inet_sport;
};

struct tcp_congestion_ops {
	char name[16];
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	const struct tcp_congestion_ops *icsk_ca_ops;
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
	__u32 rcv_wnd;
	__u32 snd_cwnd;
	__u32 snd_ssthresh;
	__u32 snd_una;
	__u32 write_seq;
	__u32 delivered;
	__u64 bytes_received;
	__u64 bytes_acked;
};

struct mptcp_sock {
	struct sock *first;
};

struct request_sock {
	struct sock_common __req_common;
};

struct net_device {
	possible_net_t nd_net;
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	char cb[48];
	unsigned int len;
	/* An ethertype, in network byte order. */
	__u16 protocol;
	/* Of the headers, from `head`. */
	__u16 network_header;
	__u16 transport_header;
	unsigned char *head;
};

struct gendisk {
	int major;
	int first_minor;
};

struct request_queue {
	/* Since 5.17; before, a request named its disk itself. */
	struct gendisk *disk;
};

/* A request to a block device. */
struct request {
	struct request_queue *q;
	/* enum req_op in the lowest 8 bits. */
	unsigned int cmd_flags;
	__u32 rq_flags;
	/* Bytes that are not done yet. */
	unsigned int __data_len;
	struct gendisk *rq_disk;
	/* When it was made (ktime_get_ns()); 0 if nobody keeps statistics on the device. */
	__u64 start_time_ns;
	unsigned short nr_phys_segments;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop

#endif
