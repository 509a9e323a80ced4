/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* DNS queries that wait for their answer, and how one that has ended is counted: by an answer (syscall), or by none in time (dns). */
#ifndef WAGGLE_DNS_QUERIES_BPF_H
#define WAGGLE_DNS_QUERIES_BPF_H

#include <bpf/bpf_helpers.h>
#include "../src/dns/dns.h"
#include "drops.bpf.h"
#include "histogram.bpf.h"
#include "key_values.h"
#include "maps.bpf.h"
#include "texts.bpf.h"

/* Names × buckets: 4,096 in one window, 136 bytes an entry, two copies. */
WINDOW_MAP(dns_queries, 4096, BUCKETED_OTHERS);

/* A query without an answer after this long has timed out: what glibc waits for a resolver by default (RES_TIMEOUT). */
#define DNS_TIMEOUT_NS 5000000000ull

struct dns_in_flight_key {
	/* Address of the struct sock: names the socket while it lives. */
	__u64 socket;
	/* A socket may ask several servers under one id. */
	__u8 resolver[16];
	/* Transaction id, as it is on the wire. */
	__u16 id;
	__u16 pad;
	/* 0; of a query that is asked while another one waits under the id, a hash of its question, so that each gets its own answer. */
	__u32 question;
};
_Static_assert(sizeof(struct dns_in_flight_key) == 32, "no hidden padding");

struct dns_query {
	/* When it was sent; 0: it has ended, and whoever set that has counted it. */
	__u64 sent_ns;
	/* Who asked. */
	__u64 process_id;
	__u64 name_id;
	__u16 type;
	/* Others were asked under its id while it waited: an answer is held against the question. */
	__u16 has_siblings;
	__u32 pad;
	struct text name;
};

/* 1,024 queries without an answer at one moment: 5,000 a second at 200 ms each. 376 bytes an entry. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct dns_in_flight_key);
	__type(value, struct dns_query);
} dns_in_flight SEC(".maps");

/* Names have a registry of their own (see texts.bpf.h): files fill the common one on some hosts, and would take their room. 320 bytes an entry. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct text);
} dns_names SEC(".maps");

/* False: there is no room, so that the key takes TEXT_ID_OTHER instead. */
static __always_inline _Bool register_name(__u64 id, const struct text *name)
{
	int error = (int)bpf_map_update_elem(&dns_names, &id, name, BPF_NOEXIST);
	if (!error || error == -17)
		return 1;
	count_drop(dns_names_full);
	return 0;
}

/*
 * Whether the caller is the one to count the query's end: an answer and the end of its time may come at once. Nobody counts one whose answer may
 * have come while nobody looked.
 */
static __always_inline int claim_query(struct dns_query *query, __u64 sent_ns)
{
	struct control *settings = get_control();
	return settings && sent_ns > settings->stamps_since_ns && __sync_val_compare_and_swap(&query->sent_ns, sent_ns, 0) == sent_ns;
}

/*
 * Counts a query that has ended. One that timed out took at least as long as it was waited for, and counts as that: left out, a resolver that does
 * not answer would have a good latency.
 */
static __always_inline void count_query(const struct dns_in_flight_key *in_flight, const struct dns_query *query, __u8 rcode, __u64 elapsed_ns)
{
	struct control *settings = get_control();
	if (!settings)
		return;
	if (elapsed_ns >= DNS_TIMEOUT_NS || rcode == DNS_TIMEOUT) {
		rcode = DNS_TIMEOUT;
		elapsed_ns = DNS_TIMEOUT_NS;
	}
	struct dns_queries_key key = {
		.process_id = query->process_id,
		.query_name_id = query->name_id,
		.query_type = query->type,
		.rcode = rcode,
		.bucket = bucket_index(elapsed_ns),
	};
	__builtin_memcpy(key.resolver, in_flight->resolver, sizeof(key.resolver));
	__u32 active = *(volatile __u32 *)&settings->active;
	if (mode_of(settings, active)->coarse_query_name)
		key.query_name_id = TEXT_ID_OTHER;
	else if (!window_has(dns_queries, active, &key) && !register_name(key.query_name_id, &query->name))
		key.query_name_id = TEXT_ID_OTHER;
	struct dns_queries_value empty = { .min = ~0ull };
	struct dns_queries_value *slot = window_slot(dns_queries, active, &key, &empty, key.bucket);
	if (slot)
		histogram_add((struct histogram_value *)slot, elapsed_ns);
}

#endif
