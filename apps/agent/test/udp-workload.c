// SPDX-License-Identifier: Apache-2.0
/*
 * Known work with datagrams and DNS for the kernel tests: udp-workload <comm> <verb> [arguments]. It takes the name <comm> first, prints `ready`
 * when it stands, and does exactly what the verb says.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define BATCH_MAX 16
#define PACKET_MAX 2048
#define DNS_HEADER_BYTES 12

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void ready(void)
{
	if (write(1, "ready\n", 6) != 6)
		fail("write");
}

static void wait_for_end(void)
{
	char c;
	while (read(0, &c, 1) == 1)
		;
}

static struct sockaddr_storage address;
static socklen_t address_size;

static void set_address(const char *host, int port)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	memset(&address, 0, sizeof(address));
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		address_size = sizeof(*v4);
	} else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		address_size = sizeof(*v6);
	} else {
		fail("address");
	}
}

static int open_socket(int type)
{
	int fd = socket(address.ss_family, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fail("socket");
	return fd;
}

static int bind_socket(int type)
{
	int one = 1, fd = open_socket(type);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, address_size) < 0)
		fail("bind");
	return fd;
}

/* The calls that need a connected socket. */
static int wants_connection(const char *call)
{
	return !strcmp(call, "write") || !strcmp(call, "writev") || !strcmp(call, "send");
}

static int open_sender(const char *call)
{
	int fd = open_socket(SOCK_DGRAM);
	if (wants_connection(call) && connect(fd, (struct sockaddr *)&address, address_size) < 0)
		fail("connect");
	return fd;
}

/* Sends `count` messages of the same bytes by the call of that name. */
static void send_messages(int fd, const char *call, const void *data, size_t bytes, int count)
{
	struct iovec vectors[2] = { { (void *)data, bytes / 2 }, { (char *)data + bytes / 2, bytes - bytes / 2 } };
	struct iovec whole = { (void *)data, bytes };
	struct msghdr header = { .msg_name = &address, .msg_namelen = address_size, .msg_iov = &whole, .msg_iovlen = 1 };
	if (!strcmp(call, "sendmmsg")) {
		struct mmsghdr headers[BATCH_MAX];
		for (int i = 0; i < count; i++)
			headers[i] = (struct mmsghdr){ .msg_hdr = header };
		if (sendmmsg(fd, headers, count, 0) != count)
			fail("sendmmsg");
		return;
	}
	for (int i = 0; i < count; i++) {
		ssize_t sent;
		if (!strcmp(call, "sendto"))
			sent = sendto(fd, data, bytes, 0, (struct sockaddr *)&address, address_size);
		else if (!strcmp(call, "send"))
			sent = send(fd, data, bytes, 0);
		else if (!strcmp(call, "sendmsg"))
			sent = sendmsg(fd, &header, 0);
		else if (!strcmp(call, "write"))
			sent = write(fd, data, bytes);
		else if (!strcmp(call, "writev"))
			sent = writev(fd, vectors, 2);
		else
			exit(2);
		if (sent != (ssize_t)bytes)
			fail(call);
	}
}

/* Receives `count` messages by the call of that name, each into `data`. */
static ssize_t receive_messages(int fd, const char *call, void *data, size_t bytes, int count)
{
	struct sockaddr_storage from;
	struct iovec whole = { data, bytes };
	struct msghdr header = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &whole, .msg_iovlen = 1 };
	ssize_t received = -1;
	if (!strcmp(call, "recvmmsg")) {
		struct mmsghdr headers[BATCH_MAX];
		for (int i = 0; i < count; i++)
			headers[i] = (struct mmsghdr){ .msg_hdr = header };
		if (recvmmsg(fd, headers, count, 0, 0) != count)
			fail("recvmmsg");
		return headers[count - 1].msg_len;
	}
	for (int i = 0; i < count; i++) {
		socklen_t from_size = sizeof(from);
		header.msg_namelen = sizeof(from);
		if (!strcmp(call, "recvfrom"))
			received = recvfrom(fd, data, bytes, 0, (struct sockaddr *)&from, &from_size);
		else if (!strcmp(call, "recv"))
			received = recv(fd, data, bytes, 0);
		else if (!strcmp(call, "recvmsg"))
			received = recvmsg(fd, &header, 0);
		else if (!strcmp(call, "read"))
			received = read(fd, data, bytes);
		else if (!strcmp(call, "readv"))
			received = readv(fd, &whole, 1);
		else
			exit(2);
		if (received < 0)
			fail(call);
	}
	return received;
}

/* A question for `name` (labels apart by '.', \DDD for a byte) under an id. Returns its length. */
static size_t put_question(uint8_t *packet, uint16_t id, const char *name, int type)
{
	memset(packet, 0, DNS_HEADER_BYTES);
	packet[0] = id >> 8;
	packet[1] = id;
	packet[2] = 1;
	packet[5] = 1;
	uint8_t *length = packet + DNS_HEADER_BYTES, *at = length + 1;
	for (; *name; name++) {
		if (*name == '.') {
			*length = at - length - 1;
			length = at++;
		} else if (*name == '\\') {
			*at++ = (name[1] - '0') * 100 + (name[2] - '0') * 10 + (name[3] - '0');
			name += 3;
		} else {
			*at++ = *name;
		}
	}
	*length = at - length - 1;
	if (*length)
		*at++ = 0;
	*at++ = type >> 8;
	*at++ = type;
	*at++ = 0;
	*at++ = 1;
	return at - packet;
}

/* Turns a question into the answer that its first label asks for: the code, or none at all. False: it shall not be answered. */
static int answer(uint8_t *packet)
{
	char label[64] = { 0 };
	memcpy(label, packet + DNS_HEADER_BYTES + 1, packet[DNS_HEADER_BYTES] & 63);
	for (char *c = label; *c; c++)
		*c = tolower(*c);
	packet[2] |= 0x80;
	packet[3] = !strcmp(label, "servfail") ? 2 : !strcmp(label, "nxdomain") ? 3 : 0;
	return strcmp(label, "never") != 0;
}

/* A resolver for both protocols, until stdin ends. */
static void serve_dns(void)
{
	int udp = bind_socket(SOCK_DGRAM), listener = bind_socket(SOCK_STREAM);
	if (listen(listener, 128) < 0)
		fail("listen");
	ready();
	struct pollfd fds[3] = { { .fd = 0, .events = POLLIN }, { .fd = udp, .events = POLLIN }, { .fd = listener, .events = POLLIN } };
	while (poll(fds, 3, -1) > 0 && !fds[0].revents) {
		uint8_t packet[PACKET_MAX];
		if (fds[1].revents) {
			struct sockaddr_storage from;
			socklen_t size = sizeof(from);
			ssize_t bytes = recvfrom(udp, packet, sizeof(packet), 0, (struct sockaddr *)&from, &size);
			if (bytes > DNS_HEADER_BYTES && answer(packet))
				sendto(udp, packet, bytes, 0, (struct sockaddr *)&from, size);
		}
		if (fds[2].revents) {
			int fd = accept(listener, 0, 0);
			ssize_t bytes;
			while ((bytes = read(fd, packet, sizeof(packet))) > 2) {
				int is_answered = 1;
				for (ssize_t at = 0; at + 2 < bytes; at += 2 + (packet[at] << 8 | packet[at + 1]))
					is_answered &= answer(packet + at + 2);
				if (is_answered && write(fd, packet, bytes) != bytes)
					fail("write");
			}
			close(fd);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	prctl(PR_SET_NAME, argv[1]);
	signal(SIGPIPE, SIG_IGN);
	const char *verb = argv[2];
	char **arg = argv + 5;
	set_address(argv[3], atoi(argv[4]));
	static uint8_t data[PACKET_MAX], received[PACKET_MAX];

	if (!strcmp(verb, "exchange")) {
		/* <send call> <receive call> <n> <bytes>: sends n datagrams to a socket of its own and receives them. */
		int receiver = bind_socket(SOCK_DGRAM), sender = open_sender(arg[0]);
		for (int left = atoi(arg[2]); left > 0; left -= BATCH_MAX) {
			int count = left < BATCH_MAX ? left : BATCH_MAX;
			send_messages(sender, arg[0], data, atoi(arg[3]), count);
			receive_messages(receiver, arg[1], received, sizeof(received), count);
		}
	} else if (!strcmp(verb, "peek")) {
		/* <n>: looks at one datagram n times, and finds n times that there is no second one. */
		int receiver = bind_socket(SOCK_DGRAM), sender = open_sender("sendto");
		send_messages(sender, "sendto", data, 7, 1);
		for (int i = 0; i < atoi(arg[0]); i++)
			if (recv(receiver, received, sizeof(received), MSG_PEEK) != 7)
				fail("peek");
		receive_messages(receiver, "recv", received, sizeof(received), 1);
		for (int i = 0; i < atoi(arg[0]); i++)
			if (recv(receiver, received, sizeof(received), MSG_DONTWAIT) >= 0 || errno != EAGAIN)
				fail("expected EAGAIN");
	} else if (!strcmp(verb, "send")) {
		/* <n> <bytes>: sends without caring who listens. */
		int fd = open_sender("sendto");
		for (int i = 0; i < atoi(arg[0]); i++)
			send_messages(fd, "sendto", data, atoi(arg[1]), 1);
	} else if (!strcmp(verb, "deaf")) {
		/* A socket with the least room that never reads. */
		int size = 1, fd = bind_socket(SOCK_DGRAM);
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		ready();
		wait_for_end();
	} else if (!strcmp(verb, "serve-dns")) {
		serve_dns();
	} else if (!strcmp(verb, "ask")) {
		/* <send call> <receive call> <name> <type> <n>: n queries under ids from 1, one after another; receive call `none`: no answer is waited for. */
		int fd = open_sender(arg[0]);
		for (int i = 1; i <= atoi(arg[4]); i++) {
			size_t bytes = put_question(data, i, arg[2], atoi(arg[3]));
			send_messages(fd, arg[0], data, bytes, 1);
			if (strcmp(arg[1], "none") && receive_messages(fd, arg[1], received, sizeof(received), 1) != (ssize_t)bytes)
				fail("answer");
		}
	} else if (!strcmp(verb, "ask-again")) {
		/* <name> <n>: one query, sent n times under one id, of which the first answer is taken. */
		int fd = open_sender("send");
		size_t bytes = put_question(data, 1, arg[0], 1);
		send_messages(fd, "send", data, bytes, atoi(arg[1]));
		receive_messages(fd, "recv", received, sizeof(received), 1);
	} else if (!strcmp(verb, "ask-tcp")) {
		/*
		 * <name> <n> <buffers>: over one connection; 1: length and query in one buffer, 2: in one each, and the answer's length read on its own, 3: in three,
		 * and the answer's length in a buffer of its own.
		 */
		int fd = open_socket(SOCK_STREAM), buffers = atoi(arg[2]);
		if (connect(fd, (struct sockaddr *)&address, address_size) < 0)
			fail("connect");
		for (int i = 1; i <= atoi(arg[1]); i++) {
			size_t bytes = put_question(data + 2, i, arg[0], 1);
			data[0] = bytes >> 8;
			data[1] = bytes;
			struct iovec vectors[3] = { { data, 2 }, { data + 2, bytes } };
			if (buffers == 3) {
				vectors[1].iov_len = 5;
				vectors[2] = (struct iovec){ data + 7, bytes - 5 };
			}
			if ((buffers == 1 ? write(fd, data, bytes + 2) : writev(fd, vectors, buffers)) != (ssize_t)bytes + 2)
				fail("send");
			struct iovec parts[2] = { { received, 2 }, { received + 2, sizeof(received) - 2 } };
			if (buffers == 2 && read(fd, received, 2) != 2)
				fail("length");
			if ((buffers == 3 ? readv(fd, parts, 2) : read(fd, received, sizeof(received))) <= 0)
				fail("answer");
		}
	} else if (!strcmp(verb, "ask-pipelined")) {
		/* <name> <n>: n queries by one call over one connection, and their answers by one. */
		int fd = open_socket(SOCK_STREAM);
		size_t bytes = 0;
		if (connect(fd, (struct sockaddr *)&address, address_size) < 0)
			fail("connect");
		for (int i = 1; i <= atoi(arg[1]); i++) {
			size_t length = put_question(data + bytes + 2, i, arg[0], 1);
			data[bytes] = length >> 8;
			data[bytes + 1] = length;
			bytes += length + 2;
		}
		if (write(fd, data, bytes) != (ssize_t)bytes || recv(fd, received, bytes, MSG_WAITALL) != (ssize_t)bytes)
			fail("pipeline");
	} else if (!strcmp(verb, "ask-siblings")) {
		/* <name> <other name> <n>: n times two questions under one id, before either is answered. */
		int fd = open_sender("send");
		for (int i = 0; i < atoi(arg[2]); i++) {
			for (int which = 0; which < 2; which++)
				send_messages(fd, "send", data, put_question(data, 7, arg[which], 1), 1);
			receive_messages(fd, "recv", received, sizeof(received), 2);
		}
	} else if (!strcmp(verb, "ask-vectors")) {
		/* <name> <n>: query and answer in two buffers each, of which the first holds less than a header. */
		int fd = open_sender("send");
		for (int i = 1; i <= atoi(arg[1]); i++) {
			size_t bytes = put_question(data, i, arg[0], 1);
			struct iovec out[2] = { { data, 3 }, { data + 3, bytes - 3 } }, in[2] = { { received, 5 }, { received + 5, sizeof(received) - 5 } };
			if (writev(fd, out, 2) != (ssize_t)bytes || readv(fd, in, 2) != (ssize_t)bytes)
				fail("vectors");
		}
	} else if (!strcmp(verb, "send-raw")) {
		/* <n> <bytes>: by a raw socket, which writes the header itself. */
		int fd = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);
		uint16_t header[4] = { htons(4000), ((struct sockaddr_in *)&address)->sin_port, htons(8 + atoi(arg[1])), 0 };
		memcpy(data, header, sizeof(header));
		for (int i = 0; i < atoi(arg[0]); i++)
			if (sendto(fd, data, 8 + atoi(arg[1]), 0, (struct sockaddr *)&address, address_size) < 0)
				fail("sendto");
	} else {
		return 2;
	}
	return 0;
}
