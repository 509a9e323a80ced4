// SPDX-License-Identifier: Apache-2.0
/*
 * footprint-load <names> <files> <directory>: keys for the agent's maps, the same number in every 10 s: takes so many names one after another and makes some calls
 * under each, and writes and reads so many files. Spread over the time, until it is killed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long now_ms(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	long names = atol(argv[1]), files = atol(argv[2]), started = now_ms();
	char text[256], block[64] = "";
	for (long step = 0;; step++) {
		snprintf(text, sizeof(text), "wgl-load-%ld", step % names);
		prctl(PR_SET_NAME, text);
		for (int call = 0; call < 5; call++) {
			syscall(SYS_getppid);
			syscall(SYS_getuid);
			syscall(SYS_getgid);
		}
		prctl(PR_SET_NAME, "wgl-load-files");
		for (long file = step * files / names; file < (step + 1) * files / names; file++) {
			snprintf(text, sizeof(text), "%s/some-file-of-the-load-%ld", argv[3], file % files);
			int fd = open(text, O_RDWR | O_CREAT, 0600);
			if (fd < 0 || write(fd, block, sizeof(block)) != sizeof(block) || read(fd, block, 1) < 0)
				return 1;
			close(fd);
		}
		long due = started + (step + 1) * 10000 / names - now_ms();
		if (due > 0)
			usleep(due * 1000);
	}
}
