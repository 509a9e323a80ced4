/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "cost.bpf.h"
#include "drops.bpf.h"
#include "histogram.bpf.h"
#include "maps.bpf.h"
#include "open_file.bpf.h"
#include "process.bpf.h"
#include "socket_buffers.bpf.h"
#include "tcp_accept.bpf.h"
#include "tcp_congestion.bpf.h"
#include "tcp_connection.h"
#include "tcp_retransmits.bpf.h"
#include "tcp_socket.bpf.h"
#include "udp_socket.bpf.h"

/* control.priming */
#define PRIME_LISTENERS 1
#define PRIME_CONNECTIONS 2

/* Peers × services: 16,384 combinations in one window, 168 bytes an entry, two copies. */
WINDOW_MAP(tcp_connections, 16384, 1);
/* One connection makes one sample, so busy flows fill about 10 buckets. */
WINDOW_MAP(tcp_rtt, 16384, BUCKETED_OTHERS);
WINDOW_MAP(tcp_connect_latency, 8192, BUCKETED_OTHERS);
WINDOW_MAP(tcp_connect_failures, 4096, 1);
/* Processes × ports; 112 bytes an entry, two copies. */
WINDOW_MAP(tcp_listen_queue, 2048, 1);

/* srtt_us is in eighths of a microsecond. */
#define SRTT_UNIT_NS 125

static __always_inline void add(__u64 *slot, __u64 amount)
{
	if (amount)
		__sync_fetch_and_add(slot, amount);
}

static __always_inline void count_rtt(__u32 active, const struct tcp_flow *flow, struct tcp_sock *tp, struct tcp_socket *socket, __u32 window)
{
	__u32 seen = *(volatile __u32 *)&socket->delivered;
	__u32 delivered = tp->delivered;
	__u64 rtt_ns = (__u64)tp->srtt_us * SRTT_UNIT_NS;
	/* No acknowledgement since the last sample: srtt is old news. */
	if (!rtt_ns || delivered == seen || __sync_val_compare_and_swap(&socket->delivered, seen, delivered) != seen)
		return;
	socket->rtt_window = window;
	struct tcp_rtt_key key;
	__builtin_memcpy(&key, flow, sizeof(key));
	key.pad = 0;
	key.bucket = bucket_index(rtt_ns);
	struct tcp_rtt_value empty = { .min = ~0ull };
	struct tcp_rtt_value *slot = window_slot(tcp_rtt, active, &key, &empty, key.bucket);
	if (slot)
		histogram_add((struct histogram_value *)slot, rtt_ns);
}

/* Adds what the socket's totals rose by, and `extra` (opened, closed, active, zero_window). The kernel's OutSegs has no retransmissions. */
static __always_inline void count_totals(const struct control *settings, __u32 active, const struct tcp_flow *flow, const struct sock *sk, struct tcp_sock *tp,
					 struct tcp_socket *socket, int state, const struct tcp_connections_value *extra)
{
	struct tcp_connections_value sum = *extra;
	sum.bytes_sent = claim64(&socket->bytes_acked, payload_acked(tp, state));
	sum.bytes_received = claim64(&socket->bytes_received, payload_received(sk, tp));
	sum.segments_sent = claim32(&socket->segs_out, tp->segs_out);
	sum.segments_received = claim32(&socket->segs_in, tp->segs_in);
	sum.segments_retransmitted = claim32(&socket->total_retrans, tp->total_retrans);
	if (sum.segments_sent != sum.segments_retransmitted && netns_of(sk) == settings->netns_inum)
		account(OutSegs, sum.segments_sent - sum.segments_retransmitted);
	if (!(sum.bytes_sent | sum.bytes_received | sum.segments_sent | sum.segments_received | sum.segments_retransmitted | sum.opened |
	      sum.closed | sum.active | sum.zero_window))
		return;

	if (mode_of(settings, active)->off_tcp_connections)
		return;
	struct tcp_connections_value empty = {};
	struct tcp_connections_value *slot = window_slot(tcp_connections, active, flow, &empty, 0);
	if (!slot)
		return;
	add(&slot->bytes_sent, sum.bytes_sent);
	add(&slot->bytes_received, sum.bytes_received);
	add(&slot->segments_sent, sum.segments_sent);
	add(&slot->segments_received, sum.segments_received);
	add(&slot->segments_retransmitted, sum.segments_retransmitted);
	add(&slot->opened, sum.opened);
	add(&slot->closed, sum.closed);
	add(&slot->active, sum.active);
	add(&slot->zero_window, sum.zero_window);
}

static __always_inline void count_connect_latency(__u32 active, const struct tcp_flow *flow, __u64 elapsed_ns)
{
	struct tcp_connect_latency_key key = { .process_id = flow->process_id, .peer_port = flow->peer_port, .bucket = bucket_index(elapsed_ns) };
	__builtin_memcpy(key.peer, flow->peer, sizeof(key.peer));
	struct tcp_connect_latency_value empty = { .min = ~0ull };
	struct tcp_connect_latency_value *slot = window_slot(tcp_connect_latency, active, &key, &empty, key.bucket);
	if (slot)
		histogram_add((struct histogram_value *)slot, elapsed_ns);
}

static __always_inline void count_connect_failure(__u32 active, const struct tcp_flow *flow, int error)
{
	struct tcp_connect_failures_key key = { .process_id = flow->process_id, .peer_port = flow->peer_port, .errno = error };
	__builtin_memcpy(key.peer, flow->peer, sizeof(key.peer));
	struct tcp_connect_failures_value empty = {};
	struct tcp_connect_failures_value *slot = window_slot(tcp_connect_failures, active, &key, &empty, 0);
	if (slot)
		add(&slot->count, 1);
}

/* Only for states a socket enters in its owner's own call: connect and listen. */
static __always_inline __u64 current_process(const struct control *settings)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = get_task_state(task);
	return state ? identify(task, state, settings) : PROCESS_UNKNOWN;
}

static __always_inline void on_connect(const struct control *settings, const struct sock *sk, struct tcp_sock *tp)
{
	if (netns_of(sk) == settings->netns_inum)
		account(ActiveOpens, 1);
	struct tcp_socket *socket = create_tcp_socket(sk);
	if (!socket)
		return;
	take_baseline(socket, sk, tp, TCP_CLOSE);
	/* The SYN takes a sequence number, and its acknowledgement will be counted in bytes_acked. */
	socket->bytes_acked += 1;
	socket->owner = current_process(settings);
	socket->candidate = 0;
	socket->connect_ns = bpf_ktime_get_ns();
	socket->role = ROLE_CLIENT;
	socket->flags = 0;
	socket->window = 0;
}

static __always_inline void on_listen(const struct control *settings, const struct sock *sk)
{
	struct tcp_socket *socket = create_tcp_socket(sk);
	if (!socket)
		return;
	socket->owner = current_process(settings);
	socket->role = ROLE_SERVER;
	socket->drops = sk->sk_drops.counter;
	/* Process 1 listens on behalf of services that it starts later (socket activation). */
	struct task_struct *task = bpf_get_current_task_btf();
	socket->flags = task->tgid == 1 ? SOCKET_OWNER_GUESSED : 0;
}

/* The child has its listener's storage (BPF_F_CLONE), of which only the owner is its own; peer and ports are not set yet. */
static __always_inline void on_child(const struct control *settings, const struct sock *sk)
{
	if (netns_of(sk) == settings->netns_inum) {
		account(PassiveOpens, 1);
		/* The SYN-ACK: no socket counts it. */
		account(OutSegs, 1);
	}
	struct tcp_socket *socket = create_tcp_socket(sk);
	if (!socket)
		return;
	__u64 owner = socket->owner;
	__builtin_memset(socket, 0, sizeof(*socket));
	socket->owner = owner;
	socket->role = ROLE_SERVER;
	socket->flags = SOCKET_OWNER_GUESSED;
}

static __always_inline void on_established(const struct control *settings, __u32 active, const struct sock *sk, struct tcp_sock *tp, int old_state)
{
	struct tcp_socket *socket = bpf_sk_storage_get(&tcp_sockets, (void *)sk, 0, 0);
	if (!socket) {
		socket = create_tcp_socket(sk);
		if (!socket)
			return;
		socket->role = old_state == TCP_SYN_SENT ? ROLE_CLIENT : ROLE_SERVER;
		socket->flags = SOCKET_OWNER_GUESSED;
		take_baseline(socket, sk, tp, TCP_ESTABLISHED);
	}
	socket->flags |= SOCKET_ESTABLISHED;
	struct tcp_flow flow;
	fill_flow(&flow, sk, tp, socket);
	if (socket->role == ROLE_CLIENT) {
		if (socket->connect_ns)
			count_connect_latency(active, &flow, bpf_ktime_get_ns() - socket->connect_ns);
		socket->connect_ns = 0;
	} else {
		/* SYN-ACKs sent again were counted when it happened, for the listener. */
		socket->retransmits_counted = tp->total_retrans;
		/* They are in the child's total_retrans, but not in its segs_out. */
		if (tp->total_retrans && netns_of(sk) == settings->netns_inum)
			account(OutSegs, tp->total_retrans);
		/* With TCP Fast Open it may have been accepted before. */
		if (!sk->sk_socket)
			await_accept((__u64)sk, local_port(tp), bpf_ktime_get_ns());
	}
	struct tcp_connections_value extra = { .opened = 1 };
	count_totals(settings, active, &flow, sk, tp, socket, TCP_ESTABLISHED, &extra);
}

/*
 * The kernel skips a program that is running on the CPU already: a state change in an interrupt that fell into one is not seen (a
 * few of a million; counted as `recursion:on_inet_sock_set_state`). Whoever meets the connection next counts its opening.
 */
static __always_inline int missed_opening(struct tcp_socket *socket, int state)
{
	if ((socket->flags & SOCKET_ESTABLISHED) || state == TCP_SYN_SENT || state == TCP_SYN_RECV)
		return 0;
	socket->flags |= SOCKET_ESTABLISHED;
	return 1;
}

static __always_inline struct tcp_listen_queue_value *count_drops(const struct control *settings, __u32 active, const struct sock *sk, __u16 port,
								  struct tcp_socket *socket, int is_needed)
{
	/* Not `drops`: that is the map which the macros below mean. */
	__u32 dropped = claim32(&socket->drops, sk->sk_drops.counter);
	if (!dropped && !is_needed)
		return 0;
	struct tcp_listen_queue_key key = { .process_id = socket->owner, .port = port };
	struct tcp_listen_queue_value empty = {};
	struct tcp_listen_queue_value *slot = window_slot(tcp_listen_queue, active, &key, &empty, 0);
	if (!slot)
		return 0;
	if (dropped) {
		add(&slot->drops, dropped);
		if (netns_of(sk) == settings->netns_inum)
			account(ListenDrops, dropped);
	}
	return slot;
}

/* What the kernel counts when a connection ends otherwise than by both sides closing it (RFC 4022; tcp_set_state(), tcp_done()). */
static __always_inline void account_end(const struct control *settings, const struct sock *sk, int old_state)
{
	if (netns_of(sk) != settings->netns_inum)
		return;
	if (old_state == TCP_ESTABLISHED || old_state == TCP_CLOSE_WAIT)
		account(EstabResets, 1);
	/* A connect that its caller gives up has no error, and is no failure to the kernel. */
	else if ((old_state == TCP_SYN_SENT || old_state == TCP_SYN_RECV) && sk->sk_err)
		account(AttemptFails, 1);
}

static __always_inline void on_close(const struct control *settings, __u32 active, const struct sock *sk, struct tcp_sock *tp, int old_state)
{
	if (old_state == TCP_CLOSE)
		return;
	struct tcp_flow flow;
	struct tcp_connections_value extra = {};
	struct tcp_socket *socket = bpf_sk_storage_get(&tcp_sockets, (void *)sk, 0, 0);
	if (old_state == TCP_LISTEN) {
		if (socket)
			count_drops(settings, active, sk, local_port(tp), socket, 0);
		return;
	}
	account_end(settings, sk, old_state);
	if (!socket || socket->role == ROLE_SERVER) {
		__u64 address = (__u64)sk;
		bpf_map_delete_elem(&tcp_waiting, &address);
	}
	if (!socket) {
		/* Older than the agent and held by nobody: that it ended is all we know. */
		if (old_state == TCP_SYN_SENT || old_state == TCP_SYN_RECV)
			return;
		socket = create_tcp_socket(sk);
		if (!socket)
			return;
		socket->role = guess_role(sk, tp, settings);
		socket->flags = SOCKET_ESTABLISHED;
		take_baseline(socket, sk, tp, old_state);
	}
	fill_flow(&flow, sk, tp, socket);
	if (old_state == TCP_SYN_SENT) {
		/* connect() enters SYN_SENT before it looks for a free port; without a segment there was no attempt.
		 * (tcp_disconnect() sets the total back to 0, so it speaks of this attempt.) */
		if (tp->segs_out)
			count_connect_failure(active, &flow, sk->sk_err);
		else if (netns_of(sk) == settings->netns_inum)
			account(ActiveOpens, -1);
	}
	extra.opened = missed_opening(socket, old_state);
	if (socket->flags & SOCKET_ESTABLISHED)
		extra.closed = 1;
	socket->flags &= ~SOCKET_ESTABLISHED;
	count_totals(settings, active, &flow, sk, tp, socket, old_state, &extra);
	settle_retransmits(settings, sk, tp, socket, old_state);
	if (extra.closed && socket->rtt_window != settings->window)
		count_rtt(active, &flow, tp, socket, settings->window);
}

static __always_inline void handle_state(const struct sock *sk, int old_state, int new_state)
{
	if (!sk)
		return;
	struct control *settings = get_control();
	/* NULL for DCCP, SCTP and MPTCP sockets, which fire the same tracepoint. */
	struct tcp_sock *tp = bpf_skc_to_tcp_sock((void *)sk);
	if (!settings || !tp)
		return;
	__u32 active = *(volatile __u32 *)&settings->active;

	if (new_state == TCP_SYN_SENT)
		on_connect(settings, sk, tp);
	else if (new_state == TCP_LISTEN)
		on_listen(settings, sk);
	else if (new_state == TCP_SYN_RECV && old_state == TCP_LISTEN)
		on_child(settings, sk);
	else if (new_state == TCP_ESTABLISHED)
		on_established(settings, active, sk, tp, old_state);
	else if (new_state == TCP_CLOSE)
		on_close(settings, active, sk, tp, old_state);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_inet_sock_set_state, const struct sock *sk, int old_state, int new_state)
{
	cost_start(cost, on_inet_sock_set_state, COST_RARE);
	handle_state(sk, old_state, new_state);
	cost_end(cost);
	return 0;
}

/* Who holds the socket has the last word on whose it is. Called for each holder; `first` for the first one of an inventory. */
static __always_inline void settle_owner(struct tcp_socket *socket, __u64 holder, int first)
{
	if (first) {
		if (socket->window && !(socket->flags & SOCKET_OWNER_SEEN) && socket->candidate)
			socket->owner = socket->candidate;
		socket->candidate = 0;
		socket->flags &= ~SOCKET_OWNER_SEEN;
	}
	if (socket->flags & SOCKET_OWNER_GUESSED) {
		socket->owner = holder;
		socket->flags &= ~SOCKET_OWNER_GUESSED;
	}
	if (holder == socket->owner)
		socket->flags |= SOCKET_OWNER_SEEN;
	else
		socket->candidate = holder;
}

/* A listener's queue. */
struct listening {
	__u32 backlog;
	__u32 backlog_limit;
	__u16 port;
};

/*
 * A listener may outlive the one who made it, too: handed on (socket activation), or kept by a process that renamed itself. The
 * connections that it accepts start with its owner, so short ones depend on it. Process 1 never takes over: it holds the listeners
 * of its services all the time.
 */
static __always_inline void take_listener(const struct sock *sk, const struct listening *listening, __u64 holder, __u32 tgid,
					  const struct control *settings)
{
	struct tcp_socket *socket = bpf_sk_storage_get(&tcp_sockets, (void *)sk, 0, 0);
	if (!socket) {
		socket = create_tcp_socket(sk);
		if (!socket)
			return;
		socket->owner = holder;
		socket->role = ROLE_SERVER;
		socket->drops = sk->sk_drops.counter;
		socket->flags = tgid == 1 ? SOCKET_OWNER_GUESSED : 0;
	} else if (tgid != 1 && !settings->priming) {
		settle_owner(socket, holder, socket->window != settings->window);
		socket->window = settings->window;
	} else if ((socket->flags & SOCKET_OWNER_GUESSED) && tgid != 1) {
		socket->owner = holder;
		socket->flags &= ~SOCKET_OWNER_GUESSED;
	}
	if (settings->priming == PRIME_LISTENERS) {
		struct listener key = { .netns_inum = netns_of(sk), .port = listening->port };
		__u32 one = 1;
		bpf_map_update_elem(&listeners, &key, &one, BPF_ANY);
	}
	if (settings->priming || socket->queue_window == settings->window)
		return;
	socket->queue_window = settings->window;
	__u32 active = *(volatile __u32 *)&settings->active;
	struct tcp_listen_queue_value *slot = count_drops(settings, active, sk, listening->port, socket, 1);
	if (!slot)
		return;
	/* Only the inventory writes these, one socket at a time. */
	slot->listeners += 1;
	slot->backlog += listening->backlog;
	slot->backlog_limit += listening->backlog_limit;
}

/*
 * A listener of multipath TCP (Go opens no other unless told to) has its queue, and its drops, in a TCP socket that no descriptor holds. That one's drops are
 * counted when it closes.
 */
static __always_inline void take_multipath_listener(struct task_struct *task, const struct sock *sk, const struct control *settings)
{
	__u64 first = first_subflow((__u64)sk);
	struct task_state *task_state = first ? get_task_state(task) : 0;
	if (!task_state)
		return;
	struct listening listening = {
		.port = kernel_field(struct sock, first, __sk_common.skc_num),
		.backlog = kernel_field(struct sock, first, sk_ack_backlog),
		.backlog_limit = kernel_field(struct sock, first, sk_max_ack_backlog),
	};
	take_listener(sk, &listening, identify(task, task_state, settings), task->tgid, settings);
}

/*
 * A descriptor exists before the accept() that made it returns, so only a connection that a second inventory meets with its waiting noted still
 * was accepted in a way that nobody saw.
 */
static __always_inline void settle_accept(const struct sock *sk, struct tcp_socket *socket)
{
	if (socket->role != ROLE_SERVER || (socket->flags & SOCKET_ACCEPT_SETTLED))
		return;
	if (!(socket->flags & SOCKET_ACCEPT_MET)) {
		socket->flags |= SOCKET_ACCEPT_MET;
		return;
	}
	socket->flags |= SOCKET_ACCEPT_SETTLED;
	__u64 address = (__u64)sk;
	if (!(int)bpf_map_delete_elem(&tcp_waiting, &address))
		count_drop(tcp_accept_unseen);
}

/* Only the inventory writes these fields, one socket at a time, so nothing here is atomic. */
static __always_inline void count_congestion(__u32 active, struct tcp_sock *tp, const struct tcp_socket *socket)
{
	struct inet_connection_sock *icsk = &tp->inet_conn;
	struct tcp_congestion_value *slot = congestion_slot(active, tp, socket, BPF_CORE_READ_BITFIELD(icsk, icsk_ca_state));
	if (!slot)
		return;
	__u32 threshold = tp->snd_ssthresh;
	slot->connections += 1;
	slot->cwnd_segments += tp->snd_cwnd;
	if (threshold < TCP_INFINITE_SSTHRESH) {
		slot->ssthresh_segments += threshold;
		slot->ssthresh_connections += 1;
	}
}

static __always_inline void count_stream_buffers(__u32 active, const struct sock *sk, struct tcp_sock *tp, const struct tcp_socket *socket)
{
	struct socket_buffers_value *slot = buffers_slot(active, socket->owner, IPPROTO_TCP, stream_port(tp, socket));
	if (slot)
		count_buffers(slot, sk, sk->sk_wmem_queued, tp->rcv_wnd == 0);
}

static __always_inline void take_datagram_socket(struct task_struct *task, struct sock *sk)
{
	struct control *settings = get_control();
	__u16 family = sk->__sk_common.skc_family;
	if (!settings || (family != AF_INET && family != AF_INET6) || sk->sk_protocol != IPPROTO_UDP)
		return;
	struct udp_socket *socket = bpf_sk_storage_get(&udp_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket) {
		count_drop(sk_storage);
		return;
	}
	if (socket->owner == PROCESS_UNKNOWN) {
		struct task_state *task_state = get_task_state(task);
		if (task_state)
			socket->owner = identify(task, task_state, settings);
	}
	if (settings->priming || socket->window == settings->window)
		return;
	socket->window = settings->window;
	__u32 active = *(volatile __u32 *)&settings->active;
	if (mode_of(settings, active)->off_socket_buffers)
		return;
	struct socket_buffers_value *slot = buffers_slot(active, socket->owner, IPPROTO_UDP, datagram_port(sk));
	int is_full = sk->sk_backlog.rmem_alloc.counter + DATAGRAM_MEMORY_MIN > sk->sk_rcvbuf;
	/* sk_wmem_alloc holds one for the socket itself. */
	if (slot)
		count_buffers(slot, sk, sk->sk_wmem_alloc.refs.counter - 1, is_full);
}

static __always_inline void take_stock(struct task_struct *task, struct file *file)
{
	struct socket *socket_of_file = bpf_sock_from_file(file);
	if (!socket_of_file)
		return;
	struct sock *sk = socket_of_file->sk;
	if (!sk)
		return;
	__u16 type = sk->sk_type;
	if (type == SOCK_DGRAM)
		take_datagram_socket(task, sk);
	/* A raw socket may have protocol TCP too, and is no tcp_sock, which older kernels' cast does not check. */
	if (type != SOCK_STREAM)
		return;
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct control *settings = get_control();
	if (!settings)
		return;
	int state = sk->__sk_common.skc_state;
	if (!tp) {
		if (state == TCP_LISTEN)
			take_multipath_listener(task, sk, settings);
		return;
	}
	if (state == TCP_CLOSE)
		return;
	struct task_state *task_state = get_task_state(task);
	if (!task_state)
		return;
	__u64 holder = identify(task, task_state, settings);
	if (state == TCP_LISTEN) {
		struct listening listening = { .port = local_port(tp), .backlog = sk->sk_ack_backlog, .backlog_limit = sk->sk_max_ack_backlog };
		take_listener(sk, &listening, holder, task->tgid, settings);
		return;
	}
	if (settings->priming == PRIME_LISTENERS)
		return;

	__u32 active = *(volatile __u32 *)&settings->active;
	__u32 window = settings->window;
	struct tcp_socket *socket = bpf_sk_storage_get(&tcp_sockets, sk, 0, 0);
	if (!socket) {
		socket = create_tcp_socket(sk);
		if (!socket)
			return;
		take_baseline(socket, sk, tp, state);
		socket->owner = holder;
		socket->role = guess_role(sk, tp, settings);
		socket->flags = state == TCP_SYN_SENT || state == TCP_SYN_RECV ? 0 : SOCKET_ESTABLISHED;
	}
	/* Several descriptors, in several processes, may hold one socket: it counts at the first one. */
	int first = socket->window != window;
	settle_owner(socket, holder, first);
	if (!first || settings->priming)
		return;
	socket->window = window;

	struct tcp_flow flow;
	fill_flow(&flow, sk, tp, socket);
	int is_open = state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2;
	struct tcp_connections_value extra = { .active = is_open, .zero_window = is_open && state != TCP_FIN_WAIT2 && tp->snd_wnd == 0 };
	extra.opened = missed_opening(socket, state);
	count_totals(settings, active, &flow, sk, tp, socket, state, &extra);
	settle_retransmits(settings, sk, tp, socket, state);
	settle_accept(sk, socket);
	const struct window_mode *mode = mode_of(settings, active);
	if (!mode->off_socket_buffers)
		count_stream_buffers(active, sk, tp, socket);
	if (!is_open)
		return;
	if (!mode->off_tcp_rtt)
		count_rtt(active, &flow, tp, socket, window);
	if (!mode->off_tcp_congestion)
		count_congestion(active, tp, socket);
}

SEC("iter/task_file")
int on_tcp_inventory(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	if (!task || !file)
		return 0;
	cost_start(cost, on_tcp_inventory, COST_OFTEN);
	take_stock(task, file);
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
