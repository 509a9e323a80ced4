/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "cost.bpf.h"
#include "dns_queries.bpf.h"
#include "drops.bpf.h"
#include "maps.bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};
#pragma clang attribute pop

static __always_inline void end_query(const struct dns_in_flight_key *key)
{
	/* Not the iterator's own value: kernels up to 6.1 (seen) take no such pointer for a map's value. */
	struct dns_query *query = bpf_map_lookup_elem(&dns_in_flight, key);
	struct control *settings = get_control();
	if (!query || !settings)
		return;
	__u64 sent_ns = *(volatile __u64 *)&query->sent_ns;
	/* While the signal is off no answer is seen: what waited when that began is forgotten. */
	int is_off = mode_of(settings, *(volatile __u32 *)&settings->active)->off_dns_queries;
	if (sent_ns && !is_off && bpf_ktime_get_ns() - sent_ns < DNS_TIMEOUT_NS)
		return;
	if (!is_off && claim_query(query, sent_ns))
		count_query(key, query, DNS_TIMEOUT, DNS_TIMEOUT_NS);
	bpf_map_delete_elem(&dns_in_flight, key);
}

/* Over all elements of dns_in_flight, once per window. */
SEC("iter/bpf_map_elem")
int on_dns_timeouts(struct bpf_iter__bpf_map_elem *ctx)
{
	struct cost_timer timer;
	const struct dns_in_flight_key *in_flight = ctx->key;
	if (!in_flight)
		return 0;
	cost_start(timer, on_dns_timeouts, COST_RARE);
	struct dns_in_flight_key key = *in_flight;
	end_query(&key);
	cost_end(&timer);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
