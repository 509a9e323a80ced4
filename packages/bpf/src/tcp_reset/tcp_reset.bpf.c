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
#include "process.bpf.h"
#include "tcp_reset.h"
#include "tcp_socket.bpf.h"

/* Flows that are reset in one window × reasons; a port scan fills it. 104 bytes an entry, two copies. */
WINDOW_MAP(tcp_resets, 4096, 1);

/* The tracepoint says why, and tells of resets without a socket too; set by the agent (apps/agent/src/probes/tcp-programs.ts). */
const volatile __u8 has_reset_reason = 1;

#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_ACK 0x10

/* Of a header in the order of the wire: only what is read here. */
struct tcp_header {
	__u16 source;
	__u16 dest;
	__u32 seq;
	__u32 ack_seq;
	__u8 offset;
	__u8 flags;
	__u16 window;
};

/* The smallest. */
#define IPV4_HEADER_BYTES 20
#define TCP_HEADER_BYTES 20

static __always_inline void count_reset(const struct control *settings, const struct tcp_flow *flow, __u8 direction, __u16 reason)
{
	struct tcp_resets_key key;
	__builtin_memcpy(&key, flow, sizeof(key));
	key.direction = direction;
	key.reason = reason;
	struct tcp_resets_value empty = {};
	__u32 active = *(volatile __u32 *)&settings->active;
	struct tcp_resets_value *slot = window_slot(tcp_resets, active, &key, &empty, 0);
	if (slot)
		__sync_fetch_and_add(&slot->count, 1);
}

/*
 * Ends of a received segment: the sender as peer_address() has it, and of the TCP header what is read here. Returns 0 if the packet has no IP header. One read of as
 * much as the two smallest headers take has all of it for IPv4 without options: each read is a helper's.
 */
static __always_inline int read_headers(__u8 *peer, struct tcp_header *tcp, const struct sk_buff *skb)
{
	__u32 *words = (__u32 *)peer;
	const unsigned char *network = skb->head + skb->network_header, *transport = skb->head + skb->transport_header;
	union {
		__u8 bytes[IPV4_HEADER_BYTES + TCP_HEADER_BYTES];
		__u32 words[(IPV4_HEADER_BYTES + TCP_HEADER_BYTES) / 4];
	} start;
	if (bpf_probe_read_kernel(&start, sizeof(start), network))
		return 0;
	if (start.bytes[0] >> 4 == 6) {
		words[0] = start.words[2];
		words[1] = start.words[3];
		words[2] = start.words[4];
		words[3] = start.words[5];
	} else if (start.bytes[0] >> 4 == 4) {
		words[2] = bpf_htonl(0xffff);
		words[3] = start.words[3];
		if (skb->transport_header - skb->network_header == IPV4_HEADER_BYTES) {
			*tcp = *(struct tcp_header *)&start.bytes[IPV4_HEADER_BYTES];
			return 1;
		}
	} else {
		return 0;
	}
	return bpf_probe_read_kernel(tcp, sizeof(*tcp), transport) == 0;
}

/* The flow that a received segment belongs to, or would belong to if there were a socket for it. */
static __always_inline void flow_of_segment(struct tcp_flow *flow, const struct sk_buff *skb, __u32 netns_inum, const struct control *settings)
{
	struct tcp_header tcp;
	__builtin_memset(flow, 0, sizeof(*flow));
	if (!read_headers(flow->peer, &tcp, skb))
		return;
	if (!tells_peers(settings))
		__builtin_memset(flow->peer, PEER_OTHER, sizeof(flow->peer));
	__u16 port = bpf_ntohs(tcp.dest), peer_port = bpf_ntohs(tcp.source);
	/* Who sends a SYN is the client; any other segment may belong to either side of a connection that is gone. */
	if ((tcp.flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN)
		flow->role = ROLE_SERVER;
	else
		flow->role = guess_role_of_ports(netns_inum, port, peer_port, settings);
	if (flow->role == ROLE_CLIENT)
		flow->peer_port = peer_port;
	else if (flow->role == ROLE_SERVER)
		flow->port = port;
}

static __always_inline __u32 netns_of_packet(const struct sk_buff *skb)
{
	struct net *net = skb->dev->nd_net.net;
	return net ? net->ns.inum : 0;
}

/*
 * `skb`: the segment that is answered by a reset; NULL if the socket resets on its own. `sk`: the connection, or a listener for a segment that fits
 * none of its handshakes, or what is left of a connection in TIME_WAIT, or NULL.
 */
static __always_inline void handle_sent(const struct sock *sk, const struct sk_buff *skb, __u16 reason)
{
	struct control *settings = get_control();
	if (!settings)
		return;
	struct tcp_flow flow;
	struct tcp_sock *tp = 0;
	struct tcp_socket *socket = 0;
	__u32 netns_inum = 0;
	if (sk) {
		netns_inum = netns_of(sk);
		/* NULL for TIME_WAIT, which is no full socket. */
		tp = bpf_skc_to_tcp_sock((void *)sk);
		if (tp)
			socket = bpf_sk_storage_get(&tcp_sockets, (void *)sk, 0, 0);
	} else if (skb) {
		netns_inum = netns_of_packet(skb);
	}
	int is_listener = sk && sk->__sk_common.skc_state == TCP_LISTEN;
	if (tp && !is_listener) {
		fill_flow(&flow, sk, tp, socket);
	} else if (skb) {
		flow_of_segment(&flow, skb, netns_inum, settings);
		if (tp && is_listener) {
			flow.role = ROLE_SERVER;
			flow.peer_port = 0;
			flow.port = local_port(tp);
			flow.process_id = socket ? socket->owner : PROCESS_UNKNOWN;
		}
	} else {
		return;
	}
	count_reset(settings, &flow, DIRECTION_SENT, reason);
	if (netns_inum != settings->netns_inum)
		return;
	account(OutRsts, 1);
	/* The answer to a segment is sent past the socket. A socket's own reset is in its total, which nobody reads again once it is closed. */
	if (skb)
		account(OutSegs, 1);
	else if (tp && socket && sk->__sk_common.skc_state == TCP_CLOSE)
		account(OutSegs, claim32(&socket->segs_out, tp->segs_out));
}

static __always_inline void handle_received(const struct sock *sk)
{
	if (!sk)
		return;
	struct control *settings = get_control();
	struct tcp_sock *tp = bpf_skc_to_tcp_sock((void *)sk);
	if (!settings || !tp)
		return;
	struct tcp_flow flow;
	fill_flow(&flow, sk, tp, bpf_sk_storage_get(&tcp_sockets, (void *)sk, 0, 0));
	/* A reset carries no reason. */
	count_reset(settings, &flow, DIRECTION_RECEIVED, RESET_REASON_UNKNOWN);
}

SEC("tp_btf/tcp_send_reset")
int on_tcp_send_reset(__u64 *ctx)
{
	cost_start(cost, on_tcp_send_reset, COST_RARE);
	__u16 reason = has_reset_reason ? (__u16)ctx[2] : RESET_REASON_UNKNOWN;
	handle_sent((const struct sock *)ctx[0], (const struct sk_buff *)ctx[1], reason);
	cost_end(cost);
	return 0;
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(on_tcp_receive_reset, const struct sock *sk)
{
	cost_start(cost, on_tcp_receive_reset, COST_RARE);
	handle_received(sk);
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
