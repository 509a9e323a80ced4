// SPDX-License-Identifier: Apache-2.0
/*
 * footprint-load <directory>: keys for the agent's maps, the same number in every 10 s. Reads from its input how many names to take (a number a line, 0: none); takes
 * them one after another, makes some calls under each, and writes and reads twice as many files. Spread over the time, until its input ends.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How long the names take together. */
#define ROUND_US 10000000L

static long now_us(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* The number of the newest line, `names` if there is none within `timeout_ms` (-1: waits for one), -1 once the input has ended. */
static long newest(long names, int timeout_ms)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	while (poll(&input, 1, timeout_ms) > 0) {
		char line[32];
		ssize_t size = 0;
		while (size < (ssize_t)sizeof(line) - 1 && read(STDIN_FILENO, &line[size], 1) == 1 && line[size] != '\n')
			size++;
		if (size == 0)
			return -1;
		line[size] = 0;
		names = atol(line);
		timeout_ms = 0;
	}
	return names;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	char text[256], block[64] = "";
	for (long names = 0, step = 0, due = now_us();; step++) {
		long wait = due - now_us();
		names = newest(names, names == 0 ? -1 : wait > 0 ? wait / 1000 : 0);
		if (names < 0)
			return 0;
		if (names == 0)
			continue;
		/* What was missed in a rest is not made up for. */
		due = (now_us() - due > ROUND_US / 10 ? now_us() : due) + ROUND_US / names;
		snprintf(text, sizeof(text), "wgl-load-%ld", step % names);
		prctl(PR_SET_NAME, text);
		for (int call = 0; call < 5; call++) {
			syscall(SYS_getppid);
			syscall(SYS_getuid);
			syscall(SYS_getgid);
		}
		prctl(PR_SET_NAME, "wgl-load-files");
		for (long file = step * 2; file < (step + 1) * 2; file++) {
			snprintf(text, sizeof(text), "%s/some-file-of-the-load-%ld", argv[1], file % (2 * names));
			int fd = open(text, O_RDWR | O_CREAT, 0600);
			if (fd < 0 || write(fd, block, sizeof(block)) != sizeof(block) || read(fd, block, 1) < 0)
				return 1;
			close(fd);
		}
	}
}
