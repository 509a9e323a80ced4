// SPDX-License-Identifier: Apache-2.0
/*
 * Known work for the kernel tests of CPU and disk: workload <comm> <verb> [arguments]. It takes the name <comm> first. Verbs that wait for lines
 * say `ready`, do their work once per line on stdin, and say `ready` again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

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

/* Waits for the next line; 0 at the end of stdin. */
static int read_line(void)
{
	char c;
	while (read(0, &c, 1) == 1)
		if (c == '\n')
			return 1;
	return 0;
}

/* Says ready and waits for the next line; 0 at the end of stdin. */
static int next_line(void)
{
	ready();
	return read_line();
}

/* What it says was used, in microseconds. */
static long used_us(const struct rusage *usage)
{
	return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000l + usage->ru_utime.tv_usec + usage->ru_stime.tv_usec;
}

/* How often the process has given up its CPU to wait for something. */
static long slept(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_nvcsw;
}

static void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fail("sched_setaffinity");
}

/* Uses the CPU for <ms> of the calling thread's own time. */
static void burn(long ms)
{
	struct timespec now;
	volatile unsigned long sink = 0;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	uint64_t end = now.tv_sec * 1000000000ull + now.tv_nsec + ms * 1000000ull;
	do {
		for (int i = 0; i < 100000; i++)
			sink += i;
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	} while (now.tv_sec * 1000000000ull + now.tv_nsec < end);
}

static void *burn_in_thread(void *ms)
{
	burn((long)ms);
	return 0;
}

struct execution {
	const char *path;
	long ms;
};

static void *execute_in_thread(void *argument)
{
	const struct execution *execution = argument;
	burn(execution->ms);
	execl(execution->path, execution->path, "-", "end", "0", (char *)0);
	_exit(99);
}

static void *end_in_thread(void *status)
{
	usleep(1000);
	syscall(SYS_exit_group, (int)(long)status);
	return 0;
}

static void *leave_in_thread(void *status)
{
	usleep(10000);
	syscall(SYS_exit, (int)(long)status);
	return 0;
}

static void *sleep_in_thread(void *unused)
{
	usleep(10000);
	return unused;
}

static void run_threads(long count, void *(*body)(void *), void *argument)
{
	pthread_t threads[64];
	for (long i = 0; i < count && i < 64; i++)
		if (pthread_create(&threads[i], 0, body, argument))
			fail("pthread_create");
	for (long i = 0; i < count && i < 64; i++)
		pthread_join(threads[i], 0);
}

/* Waits for <count> children that end as told, and fails if one ended otherwise. */
static void wait_for(long count, int status)
{
	for (long i = 0; i < count; i++) {
		int is;
		if (wait(&is) < 0)
			fail("wait");
		if ((is & ~0x80) != status) {
			fprintf(stderr, "a child ended with status %#x\n", is);
			exit(1);
		}
	}
}

/* Touches fresh pages, each by itself. */
static void touch_pages(long pages)
{
	char *memory = mmap(0, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		fail("mmap");
	madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
	for (long i = 0; i < pages; i++)
		memory[i * PAGE] = 1;
	munmap(memory, pages * PAGE);
}

/* Reads each page of a file through a mapping, after the page cache has let it go. */
static void map_file(const char *path, long pages)
{
	int fd = open(path, O_RDONLY);
	if (fd < 0 || fsync(fd) < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		fail(path);
	volatile char *memory = mmap(0, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		fail("mmap");
	madvise((void *)memory, pages * PAGE, MADV_RANDOM);
	char sink = 0;
	for (long i = 0; i < pages; i++)
		sink += memory[i * PAGE];
	(void)sink;
	munmap((void *)memory, pages * PAGE);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	/* Else it keeps the name that it was executed under. */
	if (strcmp(argv[1], "-"))
		prctl(PR_SET_NAME, argv[1]);
	const char *verb = argv[2];
	char **arg = argv + 3;

	if (!strcmp(verb, "sleep")) {
		/* Where the machine is slow the time may be over before the process sleeps, and then it does not. */
		while (next_line())
			for (long until = slept() + atol(arg[0]); slept() < until;)
				usleep(100);
	} else if (!strcmp(verb, "burn")) {
		while (next_line())
			burn(atol(arg[0]));
	} else if (!strcmp(verb, "burn-until-line")) {
		struct pollfd line = {.fd = 0, .events = POLLIN};
		while (next_line()) {
			do
				burn(1);
			while (poll(&line, 1, 0) == 0);
			read_line();
		}
	} else if (!strcmp(verb, "compete")) {
		/* Two processes on one CPU that both want it all the time. */
		pin(0);
		while (next_line()) {
			pid_t child = fork();
			burn(atol(arg[0]));
			if (child == 0)
				_exit(0);
			wait_for(1, 0);
		}
	} else if (!strcmp(verb, "burn-threads")) {
		while (next_line())
			run_threads(atol(arg[0]), burn_in_thread, (void *)atol(arg[1]));
	} else if (!strcmp(verb, "burn-children")) {
		/*
		 * Writes into <file> what the children and what this process used, in microseconds, as wait4(2) and getrusage(2) say. Given a <path>, a second
		 * thread of each child uses as much, and then executes that while the first one waits.
		 */
		long us = 0;
		struct rusage usage;
		for (long i = 0; i < atol(arg[0]); i++) {
			if (fork() == 0) {
				pthread_t thread;
				struct execution execution = { argc > 6 ? arg[3] : 0, atol(arg[1]) };
				if (execution.path && pthread_create(&thread, 0, execute_in_thread, &execution))
					fail("pthread_create");
				burn(atol(arg[1]));
				if (execution.path)
					pthread_join(thread, 0);
				_exit(0);
			}
			if (wait4(-1, 0, 0, &usage) < 0)
				fail("wait4");
			us += used_us(&usage);
		}
		getrusage(RUSAGE_SELF, &usage);
		FILE *file = fopen(arg[2], "w");
		if (!file || fprintf(file, "%ld %ld", us, used_us(&usage)) < 0 || fclose(file))
			fail(arg[2]);
	} else if (!strcmp(verb, "touch")) {
		while (next_line())
			touch_pages(atol(arg[0]));
	} else if (!strcmp(verb, "map-file")) {
		while (next_line())
			map_file(arg[0], atol(arg[1]));
	} else if (!strcmp(verb, "execute")) {
		/* Runs <path> <n> times; it gets <exit status> as the status to end with. */
		for (long i = 0; i < atol(arg[1]); i++) {
			if (vfork() == 0) {
				execl(arg[0], arg[0], "-", "end", arg[2], (char *)0);
				_exit(99);
			}
			wait_for(1, atoi(arg[2]) << 8);
		}
	} else if (!strcmp(verb, "end")) {
		_exit(atoi(arg[0]));
	} else if (!strcmp(verb, "execute-missing")) {
		for (long i = 0; i < atol(arg[0]); i++)
			if (execl("/nonexistent/waggle", "waggle", (char *)0) == 0 || errno != ENOENT)
				return 1;
	} else if (!strcmp(verb, "threads")) {
		run_threads(atol(arg[0]), sleep_in_thread, 0);
	} else if (!strcmp(verb, "children")) {
		/* <n> children, one after another, that end in the way told: exit <status>, kill <signal>, group <status>, leader. */
		for (long i = 0; i < atol(arg[0]); i++) {
			if (fork() == 0) {
				if (!strcmp(arg[1], "kill")) {
					kill(getpid(), atoi(arg[2]));
					pause();
				} else if (!strcmp(arg[1], "group")) {
					/* Another thread ends the process while this one and a few more sleep. */
					pthread_t thread;
					pthread_create(&thread, 0, end_in_thread, (void *)atol(arg[2]));
					run_threads(7, sleep_in_thread, 0);
					pause();
				} else if (!strcmp(arg[1], "leader")) {
					/* The first thread ends; the process lives on in others, which end at about the same time. Which
					 * one's status counts depends on the kernel, so all have the same. */
					pthread_t thread;
					for (int t = 0; t < 7; t++)
						pthread_create(&thread, 0, leave_in_thread, (void *)atol(arg[2]));
					syscall(SYS_exit, atoi(arg[2]));
				}
				_exit(atoi(arg[2]));
			}
			wait_for(1, strcmp(arg[1], "kill") ? atoi(arg[2]) << 8 : atoi(arg[2]));
		}
	} else if (!strcmp(verb, "exhaust")) {
		/* <n> children that enter the control group of <file> and take more memory than it has; the kernel kills them. */
		for (long i = 0; i < atol(arg[0]); i++) {
			if (fork() == 0) {
				int fd = open(arg[1], O_WRONLY);
				if (fd < 0 || write(fd, "0", 1) != 1)
					fail(arg[1]);
				long bytes = atol(arg[2]);
				char *memory = malloc(bytes);
				for (long at = 0; memory && at < bytes; at += PAGE)
					memory[at] = 1;
				_exit(0);
			}
			wait_for(1, SIGKILL);
		}
	} else if (!strcmp(verb, "disk")) {
		/* <n> reads or writes of <bytes> each, one after another, past the page cache; `flush` writes nothing and flushes. */
		long bytes = atol(arg[3]);
		void *buffer;
		int fd = open(arg[0], O_RDWR | O_DIRECT);
		if (fd < 0 || posix_memalign(&buffer, PAGE, bytes + PAGE))
			fail(arg[0]);
		memset(buffer, 1, bytes + PAGE);
		for (long i = 0; i < atol(arg[2]); i++) {
			long done = !strcmp(arg[1], "read")  ? pread(fd, buffer, bytes, i * bytes)
				    : !strcmp(arg[1], "write") ? pwrite(fd, buffer, bytes, i * bytes)
							       : fsync(fd);
			if (!strcmp(arg[1], "flush") ? done : done != bytes)
				fail(arg[1]);
		}
	} else if (!strcmp(verb, "disk-fail")) {
		/* <n> reads from <offset> on, each of which has to fail with EIO. */
		void *buffer;
		int fd = open(arg[0], O_RDONLY | O_DIRECT);
		if (fd < 0 || posix_memalign(&buffer, PAGE, PAGE))
			fail(arg[0]);
		for (long i = 0; i < atol(arg[1]); i++)
			if (pread(fd, buffer, PAGE, atol(arg[2]) + i * PAGE) != -1 || errno != EIO) {
				fprintf(stderr, "expected EIO\n");
				return 1;
			}
	} else if (!strcmp(verb, "ping-pong")) {
		/* <n> times to and fro between two processes on one CPU: two switches each. */
		int to[2], fro[2];
		char c = 0;
		pin(0);
		if (pipe(to) < 0 || pipe(fro) < 0)
			fail("pipe");
		pid_t child = fork();
		if (child == 0) {
			close(to[1]);
			while (read(to[0], &c, 1) == 1)
				if (write(fro[1], &c, 1) != 1)
					fail("write");
			_exit(0);
		}
		for (long i = 0; i < atol(arg[0]); i++)
			if (write(to[1], &c, 1) != 1 || read(fro[0], &c, 1) != 1)
				fail("ping-pong");
		close(to[1]);
		wait_for(1, 0);
	} else {
		return 2;
	}
	return 0;
}
