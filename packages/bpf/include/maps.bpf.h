/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Maps that every object shares (the loader creates each once, by name), and the two copies of a signal's map.
 *
 * A signal's map exists as <map>_a and <map>_b. Programs write the copy that control.active names; the agent flips it, waits a
 * grace period, and then owns the other copy alone: what it reads and deletes is the exact delta of one window.
 */
#ifndef WAGGLE_MAPS_BPF_H
#define WAGGLE_MAPS_BPF_H

#include <bpf/bpf_helpers.h>
#include "histogram.bpf.h"

/*
 * How a window is measured; written by the agent while nobody reads it, so that a window has one mode from its first event to its last. All zero:
 * everything, exact. Fields off_<map> are 1 if nobody wants the map's signals (only of maps that a hot program shares with others), coarse_… if
 * keys shall not tell that dimension apart, …_shift if one of 2^shift events is counted, as 2^shift (sampling.bpf.h).
 */
struct window_mode {
	/* Raised when what sched_switch has noted of tasks is not to be used any more: waits went by that it did not see. */
	__u32 switch_epoch;
	__u8 call_shift;
	__u8 switch_shift;
	__u8 softirq_shift;
	__u8 drop_shift;
	/* on_sys_enter does not run: on_sys_exit decides itself which calls are sampled. */
	__u8 entry_unseen;
	/* Nobody wants any signal of the family: the programs run, if at all, to have their runs counted. */
	__u8 off_calls;
	__u8 off_switches;
	__u8 off_softirqs;
	__u8 off_drops;
	__u8 off_syscall_latency;
	__u8 off_syscall_errors;
	__u8 off_file_io;
	__u8 off_file_opens;
	__u8 off_fsync_latency;
	__u8 off_udp_traffic;
	__u8 off_dns_queries;
	__u8 off_tcp_accept_delay;
	__u8 off_run_queue_latency;
	__u8 off_off_cpu;
	__u8 off_tcp_connections;
	__u8 off_tcp_rtt;
	__u8 off_tcp_listen_queue;
	__u8 off_tcp_congestion;
	__u8 off_socket_buffers;
	__u8 off_cpu_time;
	__u8 off_page_faults;
	__u8 coarse_peer;
	__u8 coarse_file;
	__u8 coarse_query_name;
	__u8 pad[3];
};
_Static_assert(sizeof(struct window_mode) == 36, "no hidden padding");

/* A host's units are in systemd's own hierarchy, its containers perhaps only in those of the controllers, which are alike. */
#define UNIT_HIERARCHIES 2

struct control {
	/* 0: copy a is written, 1: copy b. Shares its 8 bytes with `window`, so that both change at once. */
	__u32 active;
	/* Number of the window, from 1. */
	__u32 window;
	/* Raised when the agent forgets processes, so that the ones that live register again. */
	__u32 generation;
	/* Network namespace of the agent, for what is compared with its /proc/net/snmp. */
	__u32 netns_inum;
	/* Random: nobody can choose a name that takes another process's id. */
	__u64 seed;
	/* The kernel's range for ports of outgoing connections (net.ipv4.ip_local_port_range). */
	__u16 ephemeral_port_min;
	__u16 ephemeral_port_max;
	/* 1, 2: the inventory only takes notes, of listeners or of connections, and counts nothing; 0 otherwise. */
	__u32 priming;
	/* Time stamps (bpf_ktime_get_ns) that are not younger were taken by programs that were detached since: what they began may long be over. */
	__u64 stamps_since_ns;
	/*
	 * Hierarchies of version 1 whose groups tell units apart, beside the one of version 2 (/proc/self/cgroup has their numbers);
	 * 0: none, as on every host that has version 2 only.
	 */
	__u32 unit_hierarchies[UNIT_HIERARCHIES];
	/* By copy of the maps. */
	struct window_mode modes[2];
};
_Static_assert(sizeof(struct control) == 120, "the agent writes this struct");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps");

static __always_inline struct control *get_control(void)
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&control, &key);
}

/* All bytes of an address that stands for all peers (coarse_peer); no peer has it. */
#define PEER_OTHER 0xff

/* Mode of the window whose copy is `active`. */
static __always_inline const struct window_mode *mode_of(const struct control *settings, __u32 active)
{
	return active ? &settings->modes[1] : &settings->modes[0];
}

/*
 * Two copies, and for each an array that takes what the copy had no room for: one slot per bucket of a bucketed map (the last
 * one for BUCKET_NONE), one slot otherwise. So a full map costs dimensions, never counts.
 */
#define WINDOW_MAP(name, entries, others)               \
	struct {                                        \
		__uint(type, BPF_MAP_TYPE_HASH);        \
		__uint(max_entries, entries);           \
		__type(key, struct name##_key);         \
		__type(value, struct name##_value);     \
	} name##_a SEC(".maps"), name##_b SEC(".maps"); \
	struct {                                        \
		__uint(type, BPF_MAP_TYPE_ARRAY);       \
		__uint(max_entries, others);            \
		__type(key, __u32);                     \
		__type(value, struct name##_value);     \
	} name##_other_a SEC(".maps"), name##_other_b SEC(".maps")

#define BUCKETED_OTHERS (BUCKET_COUNT + 1)

static __always_inline void *find_or_insert(void *map, const void *key, const void *empty)
{
	void *value = bpf_map_lookup_elem(map, key);
	if (value)
		return value;
	/* -EEXIST: another CPU was faster, which is as good. */
	bpf_map_update_elem(map, key, empty, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

/*
 * The slot of a key in the copy that is being written, else the slot for the rest. NULL only if the array lookup fails.
 * The branches name their map on their own, marked so that clang cannot join them: one map per call site is what lets the
 * verifier inline the lookup.
 */
#define window_slot(name, active, key, empty, other_index)                                       \
	({                                                                                       \
		struct name##_value *slot_;                                                      \
		if (active) {                                                                    \
			asm volatile("" ::"i"(1) : "memory");                                    \
			slot_ = find_or_insert(&name##_b, key, empty);                           \
		} else {                                                                         \
			asm volatile("" ::"i"(0) : "memory");                                    \
			slot_ = find_or_insert(&name##_a, key, empty);                           \
		}                                                                                \
		if (!slot_) {                                                                    \
			__u32 other_ = (other_index);                                            \
			count_drop(name##_full);                                                 \
			slot_ = (active) ? bpf_map_lookup_elem(&name##_other_b, &other_)         \
					 : bpf_map_lookup_elem(&name##_other_a, &other_);        \
		}                                                                                \
		slot_;                                                                           \
	})

/* Whether the key is in the copy that is being written. */
#define window_has(name, active, key)                                                   \
	({                                                                              \
		void *found_;                                                           \
		if (active) {                                                           \
			asm volatile("" ::"i"(1) : "memory");                           \
			found_ = bpf_map_lookup_elem(&name##_b, key);                   \
		} else {                                                                \
			asm volatile("" ::"i"(0) : "memory");                           \
			found_ = bpf_map_lookup_elem(&name##_a, key);                   \
		}                                                                       \
		found_;                                                                 \
	})

#define other_of_bucket(bucket) ((bucket) == BUCKET_NONE ? BUCKET_COUNT : (bucket))

/*
 * Quantities that the kernel counts itself, counted again by the probes in the agent's network namespace; cumulative since
 * the programs were loaded. The field's name is the quantity's.
 */
struct accounting {
	__u64 RetransSegs;
	__u64 ActiveOpens;
	__u64 PassiveOpens;
	__u64 AttemptFails;
	__u64 EstabResets;
	__u64 OutSegs;
	__u64 OutRsts;
	__u64 ListenDrops;
	__u64 UdpRcvbufErrors;
	__u64 UdpInDatagrams;
	__u64 UdpOutDatagrams;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct accounting);
} accounting SEC(".maps");

#define account(quantity, amount)                                                           \
	do {                                                                                \
		__u32 accounting_key = 0;                                                   \
		struct accounting *all = bpf_map_lookup_elem(&accounting, &accounting_key); \
		if (all) {                                                                  \
			barrier_var(all);                                                   \
			__sync_fetch_and_add(&all->quantity, amount);                       \
		}                                                                           \
	} while (0)

/*
 * The same for a quantity that is counted with softirqs off only, and in no hard interrupt: nobody comes between reading and writing on the same CPU, so it
 * takes no atomic operation.
 */
#define account_in_softirq(quantity, amount)                                                \
	do {                                                                                \
		__u32 accounting_key = 0;                                                   \
		struct accounting *all = bpf_map_lookup_elem(&accounting, &accounting_key); \
		if (all) {                                                                  \
			barrier_var(all);                                                   \
			all->quantity += amount;                                            \
		}                                                                           \
	} while (0)

#endif
