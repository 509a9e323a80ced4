/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "cost.bpf.h"
#include "drops.bpf.h"
#include "histogram.bpf.h"
#include "maps.bpf.h"
#include "sampling.bpf.h"
#include "softirq.h"

/* Slots by CPU, so that few of them meet in one. */
#define SHARDS 4
/* 10 vectors × 50 buckets × shards; 104 bytes an entry, two copies. */
WINDOW_MAP(softirq_latency, 2048, BUCKETED_OTHERS);

/* Linux has 10 (enum in include/linux/interrupt.h); a power of two, so that an index is a mask. */
#define VECTORS_MAX 16

/* Raised, and not among those that are sampled; younger than any time stamp. */
#define PASSED_OVER (~0ull)

/* When each vector was raised first on this CPU and has not run since; 0: it is not waiting. */
struct raised {
	__u64 raised_ns[VECTORS_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct raised);
} softirq_raised SEC(".maps");

/* The mask in sight of the verifier: clang would move it behind the scaling. */
static __always_inline __u64 vector_index(__u64 vector)
{
	vector &= VECTORS_MAX - 1;
	barrier_var(vector);
	return vector;
}

/* Also for a vector that is raised again before it ran: it waits since the first time, and this is the usual case under load. */
static __always_inline void handle_raise(__u32 vector)
{
	__u32 key = 0;
	struct control *settings = get_control();
	if (!settings)
		return;
	const struct window_mode *mode = mode_of(settings, *(volatile __u32 *)&settings->active);
	if (mode->off_softirqs)
		return;
	struct raised *raised = bpf_map_lookup_elem(&softirq_raised, &key);
	if (!raised)
		return;
	vector = vector_index(vector);
	if (raised->raised_ns[vector] > settings->stamps_since_ns)
		return;
	__u32 shift = mode->softirq_shift & SHIFT_MASK;
	if (shift && !is_sampled(shift))
		raised->raised_ns[vector] = PASSED_OVER;
	else
		raised->raised_ns[vector] = bpf_ktime_get_ns();
}

static __always_inline void handle_entry(__u32 vector)
{
	__u32 key = 0;
	struct raised *raised = bpf_map_lookup_elem(&softirq_raised, &key);
	if (!raised)
		return;
	vector = vector_index(vector);
	__u64 raised_ns = raised->raised_ns[vector];
	raised->raised_ns[vector] = 0;
	struct control *settings = get_control();
	/* Raised before the programs were attached, or between being taken up and this (see the README). */
	if (!settings || raised_ns <= settings->stamps_since_ns || raised_ns == PASSED_OVER)
		return;
	__u32 active = *(volatile __u32 *)&settings->active;
	const struct window_mode *mode = mode_of(settings, active);
	if (mode->off_softirqs)
		return;
	__u64 elapsed_ns = bpf_ktime_get_ns() - raised_ns;
	struct softirq_latency_key latency = {
		.softirq = vector,
		.pad = bpf_get_smp_processor_id() & (SHARDS - 1),
		.bucket = bucket_index(elapsed_ns),
	};
	struct softirq_latency_value empty = { .min = ~0ull };
	struct softirq_latency_value *slot = window_slot(softirq_latency, active, &latency, &empty, latency.bucket);
	if (slot)
		histogram_add_sampled((struct histogram_value *)slot, elapsed_ns, mode->softirq_shift & SHIFT_MASK);
}

SEC("tp_btf/softirq_raise")
int BPF_PROG(on_softirq_raise, unsigned int vector)
{
	cost_start(cost, on_softirq_raise, COST_OFTEN);
	handle_raise(vector);
	cost_end(cost);
	return 0;
}

SEC("tp_btf/softirq_entry")
int BPF_PROG(on_softirq_entry, unsigned int vector)
{
	cost_start(cost, on_softirq_entry, COST_OFTEN);
	handle_entry(vector);
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
