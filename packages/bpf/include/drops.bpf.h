/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a probe could not keep, by reason. The field's name is the reason that is shipped (read from BTF). */
#ifndef WAGGLE_DROPS_BPF_H
#define WAGGLE_DROPS_BPF_H

#include <bpf/bpf_helpers.h>

struct drops {
	/* No memory for per-task state: the call is counted under process "unknown", without latency. */
	__u64 task_storage;
	/* No memory for per-socket state: the socket has no owner and no baseline, so its bytes are not counted. */
	__u64 sk_storage;
	/* The registry of processes was full: the process shows as unknown until there is room. */
	__u64 processes_full;
	/* The registry of texts was full: the file or name shows as empty. */
	__u64 texts_full;
	/* Too many DNS queries were under way: what became of this one is not known, and it is in no row. */
	__u64 dns_in_flight_full;
	/* The registry of DNS names was full: the query counts under name ~other. */
	__u64 dns_names_full;
	/* A file's path had no room among the keys: its events count for their process under file ~other. */
	__u64 file_paths_full;
	/* Accepted connections without a delay: too many waited at once, or nobody saw who accepted them (io_uring). */
	__u64 tcp_waiting_full;
	__u64 tcp_accept_unseen;
	/* Events that went to ~other because the map was full. Totals hold, dimensions do not. */
	__u64 syscall_latency_full;
	__u64 syscall_errors_full;
	__u64 file_io_full;
	__u64 file_opens_full;
	__u64 fsync_latency_full;
	__u64 tcp_connections_full;
	__u64 tcp_retransmits_full;
	__u64 tcp_rtt_full;
	__u64 tcp_connect_latency_full;
	__u64 tcp_connect_failures_full;
	__u64 tcp_resets_full;
	__u64 tcp_accept_delay_full;
	__u64 tcp_listen_queue_full;
	__u64 tcp_congestion_full;
	__u64 socket_buffers_full;
	__u64 packet_drops_full;
	__u64 softirq_latency_full;
	__u64 udp_traffic_full;
	__u64 dns_queries_full;
	__u64 run_queue_latency_full;
	__u64 cpu_time_full;
	__u64 page_faults_full;
	__u64 process_exec_full;
	__u64 process_exits_full;
	__u64 oom_kills_full;
	__u64 block_latency_full;
	__u64 block_io_full;
	__u64 block_errors_full;
	/* The registry of call stacks was full: the sample shows under the frame [lost]. */
	__u64 stack_chunks_full;
	__u64 cpu_profile_full;
	__u64 off_cpu_full;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct drops);
} drops SEC(".maps");

#define count_drop(reason)                                                   \
	do {                                                                 \
		__u32 drops_key = 0;                                         \
		struct drops *all = bpf_map_lookup_elem(&drops, &drops_key); \
		if (all) {                                                   \
			barrier_var(all);                                    \
			__sync_fetch_and_add(&all->reason, 1);               \
		}                                                            \
	} while (0)

#endif
