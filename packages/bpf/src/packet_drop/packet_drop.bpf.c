/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "cost.bpf.h"
#include "drops.bpf.h"
#include "key_values.h"
#include "maps.bpf.h"
#include "packet_drop.h"
#include "sampling.bpf.h"
#include "tcp_socket.bpf.h"
#include "udp_socket.bpf.h"

/* 100 processes × 10 combinations of reason and protocol; 96 bytes an entry, two copies. */
WINDOW_MAP(packet_drops, 1024, 1);

/* What the running kernel has, set by the agent (apps/agent/src/probes/net-programs.ts). A branch that these switch off may read what is not there. */
const volatile __u8 has_drop_reason = 1;
const volatile __u8 has_rx_socket = 1;
/* Values of enum skb_drop_reason that are no drops. */
const volatile __u32 reason_not_dropped = 0;
const volatile __u32 reason_consumed = 1;

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

/* Extension headers of IPv6 that start with the next header's number and their own length in 8 octets, less one (RFC 8200). */
#define NEXTHDR_HOP 0
#define NEXTHDR_ROUTING 43
#define NEXTHDR_FRAGMENT 44
#define NEXTHDR_DEST 60
#define EXTENSION_HEADERS_MAX 3
#define IPV6_HEADER_BYTES 40

static __always_inline __u16 protocol_of_ipv6(const unsigned char *header, __u8 next)
{
	header += IPV6_HEADER_BYTES;
#pragma unroll
	for (int i = 0; i < EXTENSION_HEADERS_MAX; i++) {
		__u8 extension[2];
		if (next != NEXTHDR_HOP && next != NEXTHDR_ROUTING && next != NEXTHDR_FRAGMENT && next != NEXTHDR_DEST)
			break;
		if (bpf_probe_read_kernel(extension, sizeof(extension), header))
			break;
		/* The fragment header's second byte is reserved: 0, which is right for its 8 octets. */
		header += (extension[1] + 1) * 8;
		next = extension[0];
	}
	return next;
}

/* Of the packet itself where its headers say so, else of the socket it belongs to. */
static __always_inline __u16 protocol_of(const struct sk_buff *skb, const struct sock *sk)
{
	__u16 ethertype = bpf_ntohs(skb->protocol);
	if (ethertype == ETH_P_IP || ethertype == ETH_P_IPV6) {
		const unsigned char *header = skb->head + skb->network_header;
		__u8 start[10];
		/* A device may drop it before there is a network header: then the version is not there. */
		if (!bpf_probe_read_kernel(start, sizeof(start), header)) {
			if (ethertype == ETH_P_IP && start[0] >> 4 == 4)
				return start[9];
			if (ethertype == ETH_P_IPV6 && start[0] >> 4 == 6)
				return protocol_of_ipv6(header, start[6]);
		}
		return ethertype;
	}
	if (ethertype >= ETHERTYPE_MIN)
		return ethertype;
	if (sk) {
		__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
		return family == AF_INET || family == AF_INET6 ? BPF_CORE_READ(sk, sk_protocol) : PROTOCOL_FAMILY + (family & 0xff);
	}
	return ethertype && ethertype < 0x400 ? PROTOCOL_ETHERTYPE + ethertype : 0;
}

/*
 * Owner of a full socket if a probe noted one: TCP's is known from its beginning, UDP's from its bind() or first datagram. A macro, because it is
 * used for two kinds of pointer: the loads are direct, and the verifier takes an instruction for one kind only. `mark` keeps clang from joining them.
 * Returns 0 for what is no full socket.
 */
#define find_owner(sk, mark, process_id, window)                                                                        \
	({                                                                                                              \
		asm volatile("" ::"i"(mark) : "memory");                                                                \
		__u8 state_ = (sk)->__sk_common.skc_state;                                                              \
		int is_full_ = state_ != TCP_TIME_WAIT && state_ != TCP_NEW_SYN_RECV;                                   \
		if (is_full_) {                                                                                         \
			__u16 protocol_ = (sk)->sk_protocol;                                                            \
			if (protocol_ == IPPROTO_TCP) {                                                                 \
				struct tcp_socket *tcp_ = bpf_sk_storage_get(&tcp_sockets, (void *)(sk), 0, 0);         \
				*(process_id) = tcp_ ? tcp_->owner : PROCESS_UNKNOWN;                                   \
			} else if (protocol_ == IPPROTO_UDP) {                                                          \
				struct udp_socket *udp_ = bpf_sk_storage_get(&udp_sockets, (void *)(sk), 0, 0);         \
				*(process_id) = udp_ ? udp_->owner : PROCESS_UNKNOWN;                                   \
				if (*(process_id) == PROCESS_UNKNOWN)                                                   \
					*(process_id) = noted_udp_owner((sk), (window));                                \
			}                                                                                               \
		}                                                                                                       \
		is_full_;                                                                                               \
	})

static __always_inline void handle_drop(const struct sk_buff *skb, __u32 reason, const struct sock *rx_sk)
{
	struct control *settings = get_control();
	if (!settings)
		return;
	__u32 active = *(volatile __u32 *)&settings->active;
	const struct window_mode *mode = mode_of(settings, active);
	__u32 shift = mode->drop_shift & SHIFT_MASK;
	if (mode->off_drops || (shift && !is_sampled(shift)))
		return;
	struct packet_drops_key key = { .reason = reason };
	/* Who was to receive it, else who sent it. */
	const struct sock *sk = rx_sk;
	if (sk) {
		if (!find_owner(rx_sk, 0, &key.process_id, settings->window))
			sk = 0;
	} else {
		sk = skb->sk;
		if (sk && !find_owner(sk, 1, &key.process_id, settings->window))
			sk = 0;
	}
	key.protocol = protocol_of(skb, sk);
	struct packet_drops_value empty = {};
	struct packet_drops_value *slot = window_slot(packet_drops, active, &key, &empty, 0);
	if (!slot)
		return;
	__sync_fetch_and_add(&slot->packets, 1ull << shift);
	__sync_fetch_and_add(&slot->bytes, (__u64)skb->len << shift);
}

SEC("tp_btf/kfree_skb")
int on_kfree_skb(__u64 *ctx)
{
	cost_start(cost, on_kfree_skb, COST_RARE);
	const struct sk_buff *skb = (const struct sk_buff *)ctx[0];
	__u32 reason = has_drop_reason ? (__u32)ctx[2] : 0;
	if (skb && (!has_drop_reason || (reason != reason_not_dropped && reason != reason_consumed))) {
		if (has_rx_socket)
			handle_drop(skb, reason, (const struct sock *)ctx[3]);
		else
			handle_drop(skb, reason, 0);
	}
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
