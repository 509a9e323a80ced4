// SPDX-License-Identifier: Apache-2.0
/*
 * Writes of the engine that must not fail.
 *
 * libchdb (26.7.3) goes on after a write that failed as if it had succeeded, where ClickHouse's own server throws: with a full disk strace shows ENOSPC for
 * the data, the marks, columns.txt and checksums.txt of a part, one after the other, and the part becomes active. The insert is acknowledged, or the parts that were
 * merged go, and nobody can read the rows. So the engine is not told: a program's symbols come before those of its libraries, and the
 * engine calls the functions here instead of the C library's.
 *
 * Waiting costs nothing that was promised: who inserts has no answer yet, reads go on, and a kill leaves a part that was never finished, which the next start removes.
 */
#define _GNU_SOURCE
#include "guarded-writes.h"

#ifdef __linux__
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define INTERPOSED __attribute__((visibility("default")))

enum {
	EXIT_DISK = 7,
	RETRY_NANOSECONDS = 50 * 1000 * 1000,
};

static char guarded[PATH_MAX];
static size_t guarded_length;
/* Calls that wait now. */
static atomic_int waiting;

int guard_writes(const char *directory)
{
	int length = snprintf(guarded, sizeof(guarded), "%s/", directory);

	if (length < 0 || (size_t)length >= sizeof(guarded))
		return -1;
	guarded_length = (size_t)length;
	return 0;
}

/*
 * What lies in the directory itself is written at a start, such as the file `status`, and nothing follows from it: a start must be possible on a full disk.
 * Where a file cannot be told, it counts as guarded.
 */
static int is_guarded(int fd)
{
	char link[32], path[PATH_MAX];
	ssize_t length;

	if (guarded_length == 0)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return 1;
	path[length] = '\0';
	if (strncmp(path, guarded, guarded_length) != 0)
		return 0;
	return strchr(path + guarded_length, '/') != NULL && strncmp(path + guarded_length, "preprocessed_configs/", 21) != 0;
}

/* Whether the call that just failed is to be made again. Leaves errno as it is if not. */
static int is_to_wait(int fd, int *is_waiting)
{
	const struct timespec pause = { .tv_nsec = RETRY_NANOSECONDS };
	int error = errno;

	switch (error) {
	case ENOSPC:
	case EDQUOT:
		if (!is_guarded(fd))
			break;
		if (!*is_waiting && atomic_fetch_add(&waiting, 1) == 0)
			fprintf(stderr, "clickhouse-host: no space in %s, writes wait for some\n", guarded);
		*is_waiting = 1;
		nanosleep(&pause, NULL);
		return 1;
	case EIO:
	case EFBIG:
	case EROFS:
	case ENODEV:
	case ENXIO:
	case ESTALE:
		if (!is_guarded(fd))
			break;
		fprintf(stderr, "clickhouse-host: a write to %s failed, and the engine would not notice: %s\n", guarded, strerror(error));
		_exit(EXIT_DISK);
	}
	errno = error;
	return 0;
}

static void end_wait(int is_waiting)
{
	if (is_waiting && atomic_fetch_sub(&waiting, 1) == 1)
		fprintf(stderr, "clickhouse-host: there is space in %s again\n", guarded);
}

/* Returns what `call` returns, as soon as it succeeds or may fail. */
#define GUARDED(fd, call)                                       \
	do {                                                    \
		int is_waiting = 0;                             \
		ssize_t done;                                   \
		do                                              \
			done = (ssize_t)(call);                 \
		while (done < 0 && is_to_wait(fd, &is_waiting)); \
		end_wait(is_waiting);                           \
		return done;                                    \
	} while (0)

INTERPOSED ssize_t write(int fd, const void *bytes, size_t size)
{
	GUARDED(fd, syscall(SYS_write, fd, bytes, size));
}

INTERPOSED ssize_t writev(int fd, const struct iovec *vectors, int count)
{
	GUARDED(fd, syscall(SYS_writev, fd, vectors, count));
}

INTERPOSED ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	GUARDED(fd, syscall(SYS_pwrite64, fd, bytes, size, offset));
}

INTERPOSED ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
	GUARDED(fd, syscall(SYS_pwrite64, fd, bytes, size, offset));
}

/* Files are copied with it. */
INTERPOSED ssize_t sendfile(int to, int from, off_t *offset, size_t size)
{
	GUARDED(to, syscall(SYS_sendfile, to, from, offset, size));
}

#else

/* The engine of other systems was not looked at. */
int guard_writes(const char *directory)
{
	(void)directory;
	return 0;
}

#endif
