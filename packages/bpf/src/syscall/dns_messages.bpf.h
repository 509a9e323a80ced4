/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* DNS messages (RFC 1035) in the buffers of calls: what is asked, and what is answered. */
#ifndef WAGGLE_DNS_MESSAGES_BPF_H
#define WAGGLE_DNS_MESSAGES_BPF_H

#include "dns_queries.bpf.h"
#include "message.bpf.h"

const volatile __u8 wants_dns_queries = 1;

#define DNS_PORT 53
#define DNS_HEADER_BYTES 12
/* On the wire, with the length of each label and the root's. */
#define DNS_NAME_BYTES_MAX 255
/* Of a name's text; what is beyond is cut off. The longest character takes 4. */
#define DNS_TEXT_BYTES_MAX 240
_Static_assert(DNS_TEXT_BYTES_MAX + 4 + 4 <= TEXT_BYTES, "a last character and the mark of a cut fit");

/*
 * Whom a socket that is not connected asked under an id: what it receives without wanting to know from whom (recv, read, recvfrom without an address)
 * names no resolver. Each place holds the last query that fell to it: one that another displaced meanwhile is found no more, and times out. 32 bytes an entry.
 */
#define DNS_ASKED_PLACES 512
struct dns_asked {
	__u64 socket;
	__u8 resolver[16];
	__u16 id;
	__u16 pad;
	__u32 pad2;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DNS_ASKED_PLACES);
	__type(key, __u32);
	__type(value, struct dns_asked);
} dns_asked SEC(".maps");

static __always_inline struct dns_asked *dns_asked_place(__u64 socket, __u16 id)
{
	__u32 place = mix(socket, id) & (DNS_ASKED_PLACES - 1);
	return bpf_map_lookup_elem(&dns_asked, &place);
}

static __always_inline void put_character(char *text, __u32 at, __u8 byte, struct message *message)
{
	if (byte > ' ' && byte < 0x7f && byte != '.' && byte != '\\') {
		text[at] = byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
		message->name_bytes = at + 1;
	} else if (byte == '.' || byte == '\\') {
		text[at] = '\\';
		text[at + 1] = byte;
		message->name_bytes = at + 2;
	} else {
		/* RFC 1035, 5.1: \DDD */
		text[at] = '\\';
		text[at + 1] = '0' + byte / 100;
		text[at + 2] = '0' + byte / 10 % 10;
		text[at + 3] = '0' + byte % 10;
		message->name_bytes = at + 4;
	}
}

/*
 * Writes the question's name into message->query.name. Returns where it ends in the packet, 0 if it is none. The state lies in memory, where the
 * verifier does not follow it: on the stack it would walk through each possible name.
 */
__noinline int read_name(void)
{
	struct message *message = get_message();
	if (!message)
		return 0;
	char *text = message->query.name.text;
	__builtin_memset(text, 0, TEXT_BYTES);
	message->name_bytes = 0;
	message->label_left = 0;
	for (__u32 i = 0; i < DNS_NAME_BYTES_MAX; i++) {
		__u8 byte = message->packet[DNS_HEADER_BYTES + i];
		__u32 at = *(volatile __u32 *)&message->name_bytes;
		__u32 left = *(volatile __u32 *)&message->label_left;
		if (left) {
			message->label_left = left - 1;
			if (at < DNS_TEXT_BYTES_MAX)
				put_character(text, at, byte, message);
			continue;
		}
		if (!byte) {
			if (at >= DNS_TEXT_BYTES_MAX) {
				/* Whatever the cut has split goes with it. */
				text[DNS_TEXT_BYTES_MAX] = '\xe2';
				text[DNS_TEXT_BYTES_MAX + 1] = '\x80';
				text[DNS_TEXT_BYTES_MAX + 2] = '\xa6';
				text[DNS_TEXT_BYTES_MAX + 3] = 0;
			} else if (!at) {
				text[0] = '.';
			}
			return DNS_HEADER_BYTES + i + 1;
		}
		/* A pointer to another name: no question has one. */
		if (byte & 0xc0)
			return 0;
		message->label_left = byte;
		if (at < DNS_TEXT_BYTES_MAX) {
			/* clang would make one comparison of both, of which the verifier up to 6.12 learns nothing about `at`. */
			barrier_var(at);
			if (at) {
				text[at] = '.';
				message->name_bytes = at + 1;
			}
		}
	}
	return 0;
}

static __always_inline __u64 id_of_name(const struct text *name, const struct control *settings)
{
	const __u64 *words = (const __u64 *)name->text;
	__u64 id = settings->seed;
	for (int i = 0; i < TEXT_BYTES / 8; i++)
		id = mix(id, words[i]);
	return id < TEXT_ID_MIN ? id + TEXT_ID_MIN : id;
}

/* Reads the question of the packet, of which there are that many bytes, into message->query: name, its id, type. Returns whether there is one. */
static __always_inline _Bool read_question(struct message *message, const struct control *settings, __u32 bytes)
{
	int end = read_name();
	if (end <= 0 || (__u32)end + 4 > bytes)
		return 0;
	struct dns_query *query = &message->query;
	query->name_id = id_of_name(&query->name, settings);
	query->type = message->packet[end & (DNS_PACKET_BYTES - 1)] << 8 | message->packet[(end + 1) & (DNS_PACKET_BYTES - 1)];
	return 1;
}

static __always_inline _Bool is_same_question(const struct dns_query *one, const struct dns_query *other)
{
	return one->name_id == other->name_id && one->type == other->type;
}

static __always_inline __u32 hash_of_question(const struct dns_query *query)
{
	return (__u32)mix(query->name_id, query->type) | 1;
}

/*
 * A query waits for its answer. One that is sent again under the same id is still one query, from the first time on: that is how long whoever
 * asked waits for it. Another question under the id of one that waits is a query of its own.
 */
static __always_inline void begin_query(struct message *message, struct dns_in_flight_key *key, __u32 packet_bytes)
{
	struct control *settings = get_control();
	if (!settings || !read_question(message, settings, packet_bytes))
		return;
	struct dns_query *query = &message->query;
	query->sent_ns = bpf_ktime_get_ns();
	query->process_id = message->process_id;
	query->has_siblings = 0;
	query->pad = 0;

	struct dns_query *earlier = bpf_map_lookup_elem(&dns_in_flight, key);
	if (earlier && !is_same_question(earlier, query) && *(volatile __u64 *)&earlier->sent_ns) {
		earlier->has_siblings = 1;
		key->question = hash_of_question(query);
		earlier = bpf_map_lookup_elem(&dns_in_flight, key);
	}
	if (earlier) {
		__u64 sent_ns = *(volatile __u64 *)&earlier->sent_ns;
		__u64 waited_ns = query->sent_ns - sent_ns;
		if (sent_ns && waited_ns < DNS_TIMEOUT_NS)
			return;
		/* Its time is over: nobody waits for it any more. */
		if (claim_query(earlier, sent_ns))
			count_query(key, earlier, DNS_TIMEOUT, waited_ns);
		query->has_siblings = earlier->has_siblings;
	}
	if ((int)bpf_map_update_elem(&dns_in_flight, key, query, BPF_ANY)) {
		count_drop(dns_in_flight_full);
		return;
	}
	struct dns_asked *asked = message->connected_port ? (void *)0 : dns_asked_place(key->socket, key->id);
	if (asked) {
		asked->socket = key->socket;
		asked->id = key->id;
		__builtin_memcpy(asked->resolver, key->resolver, sizeof(asked->resolver));
	}
}

/* An answer: of which of several questions under one id only its own question says. */
static __always_inline void end_query(struct message *message, struct dns_in_flight_key *key, __u8 rcode)
{
	struct dns_query *query = bpf_map_lookup_elem(&dns_in_flight, key);
	_Bool is_kept = 0;
	if (!query || query->has_siblings) {
		struct control *settings = get_control();
		if (!settings || !read_question(message, settings, gather(message->dns_at, DNS_PACKET_BYTES)))
			return;
		if (query && is_same_question(query, &message->query)) {
			/* It stays, ended, until the walk: that it had siblings has to be known as long as they wait. */
			is_kept = 1;
		} else {
			key->question = hash_of_question(&message->query);
			query = bpf_map_lookup_elem(&dns_in_flight, key);
		}
	}
	if (!query)
		return;
	__u64 sent_ns = *(volatile __u64 *)&query->sent_ns;
	if (claim_query(query, sent_ns))
		count_query(key, query, rcode, bpf_ktime_get_ns() - sent_ns);
	if (!is_kept)
		bpf_map_delete_elem(&dns_in_flight, key);
}

/* Looks at the selected message's bytes from `from` on as a message of DNS. */
__noinline int handle_dns_message(__u32 from)
{
	struct message *message = get_message();
	if (!message)
		return 0;
	/* Of an answer the header says all that is wanted. */
	int bytes = gather(from, message->is_sent ? DNS_PACKET_BYTES : DNS_HEADER_BYTES);
	if (bytes < DNS_HEADER_BYTES)
		return 0;
	__u8 *packet = message->packet;
	int is_answer = packet[2] >> 7;
	int opcode = packet[2] >> 3 & 0xf;
	int questions = packet[4] << 8 | packet[5];
	if (is_answer == (int)message->is_sent || opcode != 0)
		return 0;
	struct dns_in_flight_key key = { .socket = message->socket, .id = *(__u16 *)packet };
	__builtin_memcpy(key.resolver, message->peer, sizeof(key.resolver));
	if (!message->peer_port) {
		/* From whom it came was not asked for: from whom it can be. */
		struct dns_asked *asked = dns_asked_place(key.socket, key.id);
		if (!asked || asked->socket != key.socket || asked->id != key.id)
			return 0;
		__builtin_memcpy(key.resolver, asked->resolver, sizeof(key.resolver));
	}
	message->dns_at = from;
	if (is_answer)
		end_query(message, &key, packet[3] & 0xf);
	else if (questions == 1)
		begin_query(message, &key, bytes);
	return 0;
}

#endif
