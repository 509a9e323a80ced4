// SPDX-License-Identifier: Apache-2.0
/*
 * Known work for the kernel tests: workload <comm> <verb> [arguments]. It takes the name <comm> first, prints `ready` when it
 * stands, and does exactly what the verb says.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

static void wait_for_line(void)
{
	char c;
	while (read(0, &c, 1) == 1)
		if (c == '\n')
			return;
}

static socklen_t address_of(struct sockaddr_storage *address, const char *host, int port)
{
	memset(address, 0, sizeof(*address));
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
		fail("address");
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	return sizeof(*v6);
}

static int dial(const char *host, int port)
{
	struct sockaddr_storage address;
	socklen_t size = address_of(&address, host, port);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fail("socket");
	if (connect(fd, (struct sockaddr *)&address, size) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int listen_on(const char *host, int port)
{
	struct sockaddr_storage address;
	socklen_t size = address_of(&address, host, port);
	int one = 1, fd = socket(address.ss_family, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 1024) < 0)
		fail("listen");
	return fd;
}

/* Serves several connections at once: reads until the other end is done, then closes. */
static void serve(int listener)
{
	struct pollfd fds[512] = { { .fd = listener, .events = POLLIN } };
	int count = 1;
	static char buffer[1 << 16];
	for (;;) {
		if (poll(fds, count, -1) < 0)
			continue;
		if (fds[0].revents && count < 512) {
			int fd = accept(listener, 0, 0);
			if (fd >= 0)
				fds[count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		}
		for (int i = 1; i < count; i++) {
			if (!fds[i].revents)
				continue;
			if (read(fds[i].fd, buffer, sizeof(buffer)) <= 0) {
				close(fds[i].fd);
				fds[i--] = fds[--count];
			}
		}
	}
}

/* Sends, says that this was all, and waits until the other end has read it all and closed. */
static void send_all(int fd, long bytes)
{
	static char buffer[1 << 16];
	while (bytes > 0) {
		long part = bytes < (long)sizeof(buffer) ? bytes : (long)sizeof(buffer);
		long sent = write(fd, buffer, part);
		if (sent <= 0)
			fail("send");
		bytes -= sent;
	}
	shutdown(fd, SHUT_WR);
	while (read(fd, buffer, sizeof(buffer)) > 0)
		;
	close(fd);
}

static void do_nothing(int signal)
{
	(void)signal;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	prctl(PR_SET_NAME, argv[1]);
	signal(SIGPIPE, SIG_IGN);
	const char *verb = argv[2];
	char **arg = argv + 3;

	if (!strcmp(verb, "getppid")) {
		for (long i = 0; i < atol(arg[0]); i++)
			syscall(SYS_getppid);
	} else if (!strcmp(verb, "rename")) {
		/* Takes <n> names one after another and makes the same <calls> calls of getppid and getuid under each. */
		for (long i = 0; i < atol(arg[0]); i++) {
			/* The kernel keeps 15 characters. */
			char name[32];
			snprintf(name, sizeof(name), "%.9s%ld", argv[1], i);
			prctl(PR_SET_NAME, name);
			for (long call = 0; call < atol(arg[1]); call++) {
				syscall(SYS_getppid);
				syscall(SYS_getuid);
			}
		}
	} else if (!strcmp(verb, "fork")) {
		for (long i = 0; i < atol(arg[0]); i++) {
			if (fork() == 0)
				_exit(0);
			wait(0);
		}
	} else if (!strcmp(verb, "compat")) {
#ifdef __x86_64__
		/* Call 64 of the 32-bit table is getppid; of the 64-bit one it is semget. */
		for (long i = 0; i < atol(arg[0]); i++) {
			long result;
			asm volatile("int $0x80" : "=a"(result) : "a"(64) : "memory");
		}
#endif
	} else if (!strcmp(verb, "enoent")) {
		for (long i = 0; i < atol(arg[0]); i++)
			if (open("/nonexistent/waggle", O_RDONLY) >= 0)
				return 1;
	} else if (!strcmp(verb, "sleep")) {
		struct timespec time = { .tv_nsec = atol(arg[1]) * 1000000 };
		for (long i = 0; i < atol(arg[0]); i++)
			syscall(SYS_nanosleep, &time, 0);
	} else if (!strcmp(verb, "interrupted")) {
		/* Sleeps that a signal with a handler, and without SA_RESTART, ends. */
		struct sigaction action = { .sa_handler = do_nothing };
		sigaction(SIGALRM, &action, 0);
		for (long i = 0; i < atol(arg[0]); i++) {
			struct itimerval soon = { .it_value.tv_usec = 20000 };
			setitimer(ITIMER_REAL, &soon, 0);
			struct timespec time = { .tv_sec = 10 };
			if (syscall(SYS_nanosleep, &time, 0) == 0 || errno != EINTR)
				fail("expected EINTR");
		}
	} else if (!strcmp(verb, "rename-listener")) {
		/* Listens, then takes another name, as programs do that set their title late. */
		int listener = listen_on(arg[0], atoi(arg[1]));
		prctl(PR_SET_NAME, arg[2]);
		ready();
		serve(listener);
	} else if (!strcmp(verb, "serve")) {
		int listener = listen_on(arg[0], atoi(arg[1]));
		ready();
		serve(listener);
	} else if (!strcmp(verb, "connect")) {
		for (long i = 0; i < atol(arg[2]); i++) {
			int fd = dial(arg[0], atoi(arg[1]));
			if (fd < 0)
				fail("connect");
			send_all(fd, 1);
		}
	} else if (!strcmp(verb, "refused")) {
		for (long i = 0; i < atol(arg[2]); i++)
			if (dial(arg[0], atoi(arg[1])) >= 0 || errno != ECONNREFUSED)
				fail("expected ECONNREFUSED");
	} else if (!strcmp(verb, "send")) {
		/* One connection; each line on stdin sends another `bytes`; the end of stdin closes it. */
		int fd = dial(arg[0], atoi(arg[1]));
		char c;
		if (fd < 0)
			fail("connect");
		ready();
		static char buffer[1 << 16];
		while (read(0, &c, 1) == 1) {
			for (long left = atol(arg[2]); left > 0;) {
				long sent = write(fd, buffer, left < (long)sizeof(buffer) ? left : (long)sizeof(buffer));
				if (sent <= 0)
					fail("send");
				left -= sent;
			}
			ready();
		}
		send_all(fd, 0);
	} else if (!strcmp(verb, "share")) {
		/* One connection that <n> more processes hold as well; sends <bytes> and keeps it open until a line on stdin. */
		int fd = dial(arg[0], atoi(arg[1]));
		if (fd < 0)
			fail("connect");
		for (long i = 0; i < atol(arg[3]); i++) {
			if (fork() == 0) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				prctl(PR_SET_NAME, "wgl-sharer");
				pause();
				_exit(0);
			}
		}
		if (write(fd, calloc(1, atol(arg[2])), atol(arg[2])) != atol(arg[2]))
			fail("send");
		ready();
		wait_for_line();
	} else if (!strcmp(verb, "activate")) {
		/* As systemd's socket activation: listens, then another process, of another name, inherits the socket and serves. */
		int listener = listen_on(arg[0], atoi(arg[1]));
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prctl(PR_SET_NAME, arg[2]);
			ready();
			serve(listener);
		}
		wait_for_line();
		return 0;
	} else {
		return 2;
	}
	return 0;
}
