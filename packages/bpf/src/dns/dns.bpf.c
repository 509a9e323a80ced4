/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "cost.bpf.h"
#include "dns_queries.bpf.h"
#include "drops.bpf.h"
#include "maps.bpf.h"

static __always_inline void end_query(const struct dns_in_flight_key *key)
{
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

struct bpf_map;

static long look_at_query(struct bpf_map *map, const struct dns_in_flight_key *in_flight, struct dns_query *query, void *context)
{
	struct dns_in_flight_key key = *in_flight;
	end_query(&key);
	return 0;
}

/*
 * Over all queries under way, once per window. Not an iterator over the map's elements: kernels are met that refuse to load one (EPERM) whatever the
 * capabilities.
 */
SEC("raw_tp")
int on_dns_timeouts(void *ctx)
{
	cost_start(cost, on_dns_timeouts, COST_ALL);
	bpf_for_each_map_elem(&dns_in_flight, look_at_query, (void *)0, 0);
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
