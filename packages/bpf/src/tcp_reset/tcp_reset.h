/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_TCP_RESET_H
#define WAGGLE_TCP_RESET_H

/* `reason` in the key where the kernel says none; else a value of the running kernel's enum sk_rst_reason. */
#define RESET_REASON_UNKNOWN 0xffff

struct tcp_resets_key {
	__u64 process_id;
	__u8 peer[16];
	__u16 peer_port;
	__u16 port;
	__u8 role;
	/* key_values.h */
	__u8 direction;
	__u16 reason;
};
_Static_assert(sizeof(struct tcp_resets_key) == 32, "starts like struct tcp_flow");

struct tcp_resets_value {
	__u64 count;
};

#endif
