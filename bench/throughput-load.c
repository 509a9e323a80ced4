// SPDX-License-Identifier: Apache-2.0
/*
 * Work as fast as it goes, for the benchmark of what tracing costs it: throughput-load <kind> <seconds>. Prints how many operations were done, the
 * wall time and the CPU time they took (all processes, user and system), in ns.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define FILE_BLOCKS 256
#define CHUNK (128 * 1024)

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static long now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000l + now.tv_nsec;
}

static long end_ns;

/* By vDSO, so that the clock is no system call itself. */
static int is_over(void)
{
	return now_ns() >= end_ns;
}

/* A call that does nothing: nearly all of its time is the way into the kernel and out. */
static long bare_calls(void)
{
	long count = 0;
	while (!is_over())
		for (int i = 0; i < 100; i++, count++)
			syscall(SYS_getppid);
	return count;
}

/* Blocks of 4 KiB read from and written to a file in the page cache, as a database or a log does. */
static long file_calls(void)
{
	static char block[BLOCK];
	char path[] = "/var/tmp/waggle-load-XXXXXX";
	int fd = mkstemp(path);
	long count = 0;
	if (fd < 0 || unlink(path) < 0)
		fail(path);
	for (int i = 0; i < FILE_BLOCKS; i++)
		if (write(fd, block, BLOCK) != BLOCK)
			fail("write");
	while (!is_over())
		for (int i = 0; i < 100; i++, count++) {
			long at = (count * 7 % FILE_BLOCKS) * BLOCK;
			if ((count % 4 ? pread(fd, block, BLOCK, at) : pwrite(fd, block, BLOCK, at)) != BLOCK)
				fail("file");
		}
	return count;
}

static int listen_on_loopback(struct sockaddr_in *address)
{
	socklen_t size = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, (struct sockaddr *)address, size) < 0 || listen(fd, 128) < 0 || getsockname(fd, (struct sockaddr *)address, &size) < 0)
		fail("listen");
	return fd;
}

static int dial(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		fail("connect");
	return fd;
}

/* Connections, one after the other: a request and an answer of a byte each, and closed. The server is another process. */
static long connections(void)
{
	struct sockaddr_in address;
	int listener = listen_on_loopback(&address);
	long count = 0;
	char c = 1;
	pid_t server = fork();
	if (server == 0) {
		for (;;) {
			int fd = accept(listener, 0, 0);
			if (fd < 0 || read(fd, &c, 1) != 1)
				fail("accept");
			if (!c)
				_exit(0);
			if (write(fd, &c, 1) != 1)
				fail("answer");
			close(fd);
		}
	}
	for (int is_last = 0; !is_last; count++) {
		is_last = is_over();
		/* A reset at the end, so that no port waits in TIME_WAIT and the next run finds free ones. */
		struct linger reset = { .l_onoff = 1 };
		int fd = dial(&address);
		c = !is_last;
		if (write(fd, &c, 1) != 1 || read(fd, &c, 1) != !is_last)
			fail("request");
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
	waitpid(server, 0, 0);
	return count;
}

/* One stream as fast as it goes. An operation is 128 KiB. */
static long bulk(void)
{
	static char chunk[CHUNK];
	struct sockaddr_in address;
	int listener = listen_on_loopback(&address);
	long count = 0;
	pid_t reader = fork();
	if (reader == 0) {
		int fd = accept(listener, 0, 0);
		while (read(fd, chunk, CHUNK) > 0)
			;
		_exit(0);
	}
	int fd = dial(&address);
	while (!is_over()) {
		if (write(fd, chunk, CHUNK) != CHUNK)
			fail("stream");
		count++;
	}
	close(fd);
	waitpid(reader, 0, 0);
	return count;
}

static long cpu_ns(int who)
{
	struct rusage usage;
	getrusage(who, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000l + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000l;
}

/* One process on each CPU. */
static long on_all_cpus(long (*work)(void))
{
	int cpus = sysconf(_SC_NPROCESSORS_ONLN);
	long *counts = mmap(0, sizeof(long) * cpus, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), sum = 0;
	for (int cpu = 0; cpu < cpus; cpu++) {
		if (fork() == 0) {
			cpu_set_t set;
			CPU_ZERO(&set);
			CPU_SET(cpu, &set);
			sched_setaffinity(0, sizeof(set), &set);
			counts[cpu] = work();
			_exit(0);
		}
	}
	for (int status; wait(&status) > 0;)
		if (status)
			exit(1);
	for (int cpu = 0; cpu < cpus; cpu++)
		sum += counts[cpu];
	return sum;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	long started = now_ns(), count;
	end_ns = started + (long)(atof(argv[2]) * 1e9);
	if (!strcmp(argv[1], "calls"))
		count = on_all_cpus(bare_calls);
	else if (!strcmp(argv[1], "file"))
		count = on_all_cpus(file_calls);
	else if (!strcmp(argv[1], "connect"))
		count = connections();
	else if (!strcmp(argv[1], "bulk"))
		count = bulk();
	else
		return 2;
	printf("%ld %ld %ld\n", count, now_ns() - started, cpu_ns(RUSAGE_SELF) + cpu_ns(RUSAGE_CHILDREN));
	return 0;
}
