/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who sends datagrams to whom, and who receives them from whom. */
#ifndef WAGGLE_UDP_TRAFFIC_BPF_H
#define WAGGLE_UDP_TRAFFIC_BPF_H

#include "message.bpf.h"
#include "sampling.bpf.h"
#include "udp.h"

const volatile __u8 wants_udp_traffic = 1;

/* Peers × services: 4,096 combinations in one window; 128 bytes an entry, two copies. */
WINDOW_MAP(udp_traffic, 4096, 1);

/*
 * A port that belongs to one socket only is 0, so that it cannot blow up the number of keys: one that the kernel picked, and one in its range at
 * the other end of a port that this program chose.
 */
static __always_inline void count_datagram(const struct message *message)
{
	struct control *settings = get_control();
	if (!settings)
		return;
	struct udp_traffic_key key = { .process_id = message->process_id, .peer_port = message->peer_port, .port = message->port };
	__u32 active = *(volatile __u32 *)&settings->active;
	const struct window_mode *mode = mode_of(settings, active);
	if (mode->off_udp_traffic)
		return;
	if (mode->coarse_peer)
		__builtin_memset(key.peer, PEER_OTHER, sizeof(key.peer));
	else
		__builtin_memcpy(key.peer, message->peer, sizeof(key.peer));
	if (key.port && key.peer_port >= settings->ephemeral_port_min && key.peer_port <= settings->ephemeral_port_max)
		key.peer_port = 0;
	if (message->netns_inum == settings->netns_inum) {
		if (message->is_sent)
			account(UdpOutDatagrams, 1ull << (message->shift & SHIFT_MASK));
		else
			account(UdpInDatagrams, 1ull << (message->shift & SHIFT_MASK));
	}
	struct udp_traffic_value empty = {};
	struct udp_traffic_value *slot = window_slot(udp_traffic, active, &key, &empty, 0);
	if (!slot)
		return;
	__sync_fetch_and_add(message->is_sent ? &slot->datagrams_sent : &slot->datagrams_received, 1ull << (message->shift & SHIFT_MASK));
	__sync_fetch_and_add(message->is_sent ? &slot->bytes_sent : &slot->bytes_received, message->bytes << (message->shift & SHIFT_MASK));
}

#endif
