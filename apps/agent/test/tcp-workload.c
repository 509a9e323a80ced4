// SPDX-License-Identifier: Apache-2.0
/*
 * Known work on sockets for the kernel tests: tcp-workload <comm> <verb> <address> <port> [arguments]. It takes the name <comm> first, prints
 * `ready` when it stands, and does exactly what the verb says. Verbs that hold something go on at each line on stdin. `queue` and `hold` take a
 * protocol as their last argument.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SOCKETS_MAX 1024

static struct sockaddr_in address;
/* Of dialling and listening; 0: TCP. */
static int protocol;

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

/* Says so, and returns at the next line; 0 when stdin has ended. */
static int ready_and_wait(void)
{
	char c;
	ready();
	while (read(0, &c, 1) == 1)
		if (c == '\n')
			return 1;
	return 0;
}

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, protocol);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	return fd;
}

static int listen_on(int backlog)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, protocol);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, backlog) < 0)
		fail("listen");
	return fd;
}

static void abort_connection(int fd)
{
	struct linger linger = { .l_onoff = 1 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

/* Accepts one connection through io_uring, whose operations are no system calls. Returns the descriptor. */
static int accept_by_ring(int listener)
{
	struct io_uring_params params = {};
	int ring = syscall(SYS_io_uring_setup, 4, &params);
	if (ring < 0)
		fail("io_uring_setup");
	size_t submitted = params.sq_off.array + params.sq_entries * sizeof(unsigned), completed = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	char *sq = mmap(0, submitted, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	char *cq = mmap(0, completed, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	struct io_uring_sqe *entry = mmap(0, params.sq_entries * sizeof(*entry), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || entry == MAP_FAILED)
		fail("mmap");
	memset(entry, 0, sizeof(*entry));
	entry->opcode = IORING_OP_ACCEPT;
	entry->fd = listener;
	((unsigned *)(sq + params.sq_off.array))[0] = 0;
	__atomic_store_n((unsigned *)(sq + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) != 1)
		fail("io_uring_enter");
	int fd = ((struct io_uring_cqe *)(cq + params.cq_off.cqes))->res;
	close(ring);
	if (fd < 0) {
		errno = -fd;
		fail("accept through io_uring");
	}
	return fd;
}

int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	prctl(PR_SET_NAME, argv[1]);
	signal(SIGPIPE, SIG_IGN);
	const char *verb = argv[2];
	address.sin_family = AF_INET;
	address.sin_port = htons(atoi(argv[4]));
	if (inet_pton(AF_INET, argv[3], &address.sin_addr) != 1)
		fail("address");
	long n = argc > 5 ? atol(argv[5]) : 0;
	protocol = argc > 6 ? atoi(argv[6]) : 0;
	static int fds[SOCKETS_MAX];
	static char buffer[1 << 16];
	if (n > SOCKETS_MAX && (!strcmp(verb, "hold") || !strcmp(verb, "try")))
		return 2;

	if (!strcmp(verb, "queue")) {
		/* Listens with a queue of <n>; at each line accepts what waits. */
		int listener = listen_on(n), count = 0;
		fcntl(listener, F_SETFL, O_NONBLOCK);
		while (ready_and_wait()) {
			int fd;
			while (count < SOCKETS_MAX && (fd = accept(listener, 0, 0)) >= 0)
				fds[count++] = fd;
			if (errno != EAGAIN)
				fail("accept");
		}
	} else if (!strcmp(verb, "ring")) {
		/* Listens, accepts one connection through io_uring at the first line, and holds it. */
		int listener = listen_on(16);
		ready_and_wait();
		accept_by_ring(listener);
		while (ready_and_wait())
			;
	} else if (!strcmp(verb, "hold")) {
		/* <n> connections, held until the end of stdin. */
		for (int i = 0; i < n; i++)
			fds[i] = dial();
		while (ready_and_wait())
			;
	} else if (!strcmp(verb, "try")) {
		/* Starts <n> connects and waits for none; holds them. */
		for (int i = 0; i < n; i++) {
			fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
			if (connect(fds[i], (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS)
				fail("connect");
		}
		while (ready_and_wait())
			;
	} else if (!strcmp(verb, "linger")) {
		/* <n> connections one after the other, each ended by a reset. */
		for (int i = 0; i < n; i++)
			abort_connection(dial());
	} else if (!strcmp(verb, "unread")) {
		/*
		 * Listens, and closes each of <n> connections with a byte of it unread, once the peer's end has come: an end that crosses the reset finds the connection
		 * gone, and is answered by the listener with a reset of its own.
		 */
		int listener = listen_on(128);
		ready();
		for (int i = 0; i < n; i++) {
			struct pollfd ended = { .fd = accept(listener, 0, 0), .events = POLLRDHUP };
			if (poll(&ended, 1, -1) != 1 || recv(ended.fd, buffer, 1, MSG_PEEK) != 1)
				fail("peek");
			close(ended.fd);
		}
		while (ready_and_wait())
			;
	} else if (!strcmp(verb, "stuff")) {
		/* Sends on one connection until its queue is full, and holds it. */
		fds[0] = dial();
		for (int idle = 0; idle < 20;) {
			if (send(fds[0], buffer, sizeof(buffer), MSG_DONTWAIT) > 0) {
				idle = 0;
			} else {
				idle++;
				usleep(20000);
			}
		}
		while (ready_and_wait())
			;
	} else if (!strcmp(verb, "deaf")) {
		/* A datagram socket with a receive buffer of <n> bytes that nobody reads. */
		int fd = socket(AF_INET, SOCK_DGRAM, 0), size = n;
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
			fail("bind");
		while (ready_and_wait())
			;
	} else if (!strcmp(verb, "flood")) {
		/* <n> datagrams of 1,000 bytes. */
		int fd = socket(AF_INET, SOCK_DGRAM, 0);
		for (long i = 0; i < n; i++)
			if (sendto(fd, buffer, 1000, 0, (struct sockaddr *)&address, sizeof(address)) != 1000)
				fail("sendto");
	} else {
		return 2;
	}
	return 0;
}
