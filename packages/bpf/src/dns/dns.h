/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_DNS_H
#define WAGGLE_DNS_H

struct dns_queries_key {
	__u64 process_id;
	__u64 query_name_id;
	__u8 resolver[16];
	__u16 query_type;
	__u8 rcode;
	__u8 pad[3];
	__u16 bucket;
};
_Static_assert(sizeof(struct dns_queries_key) == 40, "no hidden padding");

struct dns_queries_value {
	__u64 count;
	__u64 sum;
	__u64 min;
	__u64 max;
};
_Static_assert(sizeof(struct dns_queries_value) == 32, "same layout as struct histogram_value");

#endif
