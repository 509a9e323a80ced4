// SPDX-License-Identifier: Apache-2.0
/*
 * Known work on files for the kernel tests: file-workload <comm> <verb> [arguments]. It takes the name <comm> first and then does exactly what
 * the verb says; descriptors are opened with openat by libc's open.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/openat2.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char buffer[1 << 20];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int open_or_fail(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);
	if (fd < 0)
		fail(path);
	return fd;
}

static void expect(const char *what, long result, long wanted)
{
	if (result != wanted) {
		fprintf(stderr, "%s gave %ld and not %ld: %s\n", what, result, wanted, strerror(errno));
		exit(1);
	}
}

/* <path> <bytes> <calls>: writes with each of the five calls that write one file, `calls` times. */
static void write_file(char **arg)
{
	int fd = open_or_fail(arg[0], O_WRONLY | O_CREAT | O_TRUNC);
	long bytes = atol(arg[1]);
	struct iovec parts[2] = { { buffer, bytes / 2 }, { buffer, bytes - bytes / 2 } };
	for (long i = 0; i < atol(arg[2]); i++) {
		expect("write", write(fd, buffer, bytes), bytes);
		expect("pwrite", pwrite(fd, buffer, bytes, 0), bytes);
		expect("writev", writev(fd, parts, 2), bytes);
		expect("pwritev", pwritev(fd, parts, 2, 0), bytes);
		expect("pwritev2", pwritev2(fd, parts, 2, 0, 0), bytes);
	}
}

/* <path> <bytes> <calls>: the same for reading; the file has that many bytes at least. One more read each meets its end. */
static void read_file(char **arg)
{
	int fd = open_or_fail(arg[0], O_RDONLY);
	long bytes = atol(arg[1]);
	struct iovec parts[2] = { { buffer, bytes / 2 }, { buffer, bytes - bytes / 2 } };
	for (long i = 0; i < atol(arg[2]); i++) {
		lseek(fd, 0, SEEK_SET);
		expect("read", read(fd, buffer, bytes), bytes);
		lseek(fd, 0, SEEK_SET);
		expect("readv", readv(fd, parts, 2), bytes);
		expect("pread", pread(fd, buffer, bytes, 0), bytes);
		expect("preadv", preadv(fd, parts, 2, 0), bytes);
		expect("preadv2", preadv2(fd, parts, 2, 0, 0), bytes);
		expect("read at the end", pread(fd, buffer, bytes, 1 << 30), 0);
	}
}

/* <from> <to> <bytes> <calls>: copies so many bytes with sendfile, copy_file_range, and splice through a pipe. */
static void copy_file(char **arg)
{
	int from = open_or_fail(arg[0], O_RDONLY), to = open_or_fail(arg[1], O_WRONLY | O_CREAT | O_TRUNC), pipe_fds[2];
	long bytes = atol(arg[2]);
	if (pipe(pipe_fds))
		fail("pipe");
	for (long i = 0; i < atol(arg[3]); i++) {
		off_t zero = 0;
		loff_t at = 0;
		expect("sendfile", sendfile(to, from, &zero, bytes), bytes);
		expect("copy_file_range", copy_file_range(from, &at, to, 0, bytes, 0), bytes);
		at = 0;
		expect("splice", splice(from, &at, pipe_fds[1], 0, bytes, 0), bytes);
		expect("splice", splice(pipe_fds[0], 0, to, 0, bytes, 0), bytes);
	}
}

/* <calls>: writes to and reads from what is no regular file, and calls that fail. */
static void other_descriptors(char **arg)
{
	int pipe_fds[2], pair[2], null = open_or_fail("/dev/null", O_RDWR), zero = open_or_fail("/dev/zero", O_RDWR), counter = eventfd(1, 0);
	if (pipe(pipe_fds) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		fail("pipe");
	for (long i = 0; i < atol(arg[0]); i++) {
		expect("write to a pipe", write(pipe_fds[1], buffer, 64), 64);
		expect("read of a pipe", read(pipe_fds[0], buffer, 64), 64);
		expect("write to a socket", write(pair[0], buffer, 64), 64);
		expect("read of a socket", read(pair[1], buffer, 64), 64);
		expect("write to null", write(null, buffer, 64), 64);
		expect("read of zero", read(zero, buffer, 64), 64);
		expect("read of an eventfd", read(counter, buffer, 8), 8);
		expect("write to an eventfd", write(counter, "\1\0\0\0\0\0\0", 8), 8);
		expect("read of nothing", read(-1, buffer, 64), -1);
		expect("read of a high descriptor", read(1 << 30, buffer, 64), -1);
		expect("fsync of a pipe", fsync(pipe_fds[1]), -1);
		expect("fsync of nothing", fsync(-1), -1);
	}
}

struct blocked {
	int fault_fd;
	int file;
	int other;
};

/* Waits until the other thread's read stands at a page that is not there, takes the descriptor away, and lets the read go on. */
static void *take_away(void *argument)
{
	struct blocked *blocked = argument;
	struct uffd_msg message;
	if (read(blocked->fault_fd, &message, sizeof(message)) != sizeof(message))
		fail("userfaultfd");
	if (blocked->other < 0)
		close(blocked->file);
	else if (dup2(blocked->other, blocked->file) < 0)
		fail("dup2");
	struct uffdio_zeropage zero = { .range = { message.arg.pagefault.address & ~4095ull, 4096 } };
	if (ioctl(blocked->fault_fd, UFFDIO_ZEROPAGE, &zero))
		fail("UFFDIO_ZEROPAGE");
	return 0;
}

/* <path> <calls>: reads 64 bytes of a file whose descriptor another thread closes before the read returns. */
static void read_closed(char **arg)
{
	for (long i = 0; i < atol(arg[1]); i++) {
		char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		struct blocked blocked = { .file = open_or_fail(arg[0], O_RDONLY), .other = -1 };
		blocked.fault_fd = syscall(SYS_userfaultfd, O_CLOEXEC);
		struct uffdio_api api = { .api = UFFD_API };
		struct uffdio_register range = { .range = { (unsigned long)page, 4096 }, .mode = UFFDIO_REGISTER_MODE_MISSING };
		if (blocked.fault_fd < 0 || ioctl(blocked.fault_fd, UFFDIO_API, &api) || ioctl(blocked.fault_fd, UFFDIO_REGISTER, &range))
			fail("userfaultfd");
		pthread_t thread;
		if (pthread_create(&thread, 0, take_away, &blocked))
			fail("pthread_create");
		expect("read", syscall(SYS_read, blocked.file, page, 64), 64);
		pthread_join(thread, 0);
		close(blocked.fault_fd);
		munmap(page, 4096);
	}
}

static void expect_open(const char *path, int fd, int error)
{
	if (error ? fd >= 0 || errno != error : fd < 0)
		fail(path);
	if (fd >= 0)
		close(fd);
}

/* <path> <times> <errno, 0 for none>: opens for reading with open (where there is such a call), openat and openat2. */
static void open_file(char **arg)
{
	long wanted = atol(arg[2]);
	struct open_how how = { .flags = O_RDONLY };
	for (long i = 0; i < atol(arg[1]); i++) {
#ifdef SYS_open
		expect_open(arg[0], syscall(SYS_open, arg[0], O_RDONLY), wanted);
#endif
		expect_open(arg[0], syscall(SYS_openat, AT_FDCWD, arg[0], O_RDONLY), wanted);
		expect_open(arg[0], syscall(SYS_openat2, AT_FDCWD, arg[0], &how, sizeof(how)), wanted);
	}
}

/* <directory> <files>: opens, writes a byte to, and removes <directory>/<n>, each once. */
static void many_files(char **arg)
{
	char path[4096];
	for (long i = 0; i < atol(arg[1]); i++) {
		snprintf(path, sizeof(path), "%s/%ld", arg[0], i);
		int fd = open_or_fail(path, O_WRONLY | O_CREAT);
		expect("write", write(fd, buffer, 1), 1);
		close(fd);
		unlink(path);
	}
}

/* <directory> <files>: tries to open <directory>/<n>, each once, none of which there is. */
static void many_missing(char **arg)
{
	char path[4096];
	for (long i = 0; i < atol(arg[1]); i++) {
		snprintf(path, sizeof(path), "%s/%ld", arg[0], i);
		expect(path, open(path, O_RDONLY), -1);
	}
}

/* <path> <times>: writes a page and syncs, with each call that syncs so many times. */
static void sync_file(char **arg)
{
	int fd = open_or_fail(arg[0], O_RDWR | O_CREAT);
	if (ftruncate(fd, 4096))
		fail("ftruncate");
	char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (long i = 0; i < atol(arg[1]); i++) {
		expect("pwrite", pwrite(fd, buffer, 4096, 0), 4096);
		expect("fsync", fsync(fd), 0);
		expect("pwrite", pwrite(fd, buffer, 4096, 0), 4096);
		expect("fdatasync", fdatasync(fd), 0);
		expect("sync_file_range", sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WRITE), 0);
		expect("syncfs", syncfs(fd), 0);
		page[0]++;
		expect("msync", msync(page, 4096, MS_SYNC), 0);
	}
}

/* <times>: syncs everything. */
static void sync_all(char **arg)
{
	for (long i = 0; i < atol(arg[0]); i++)
		sync();
}

/* <directory> <bytes>: writes so many bytes to a memfd, to a file without a name, to one that is deleted, and to one before and after a rename. */
static void nameless(char **arg)
{
	char path[4096], renamed[4096];
	long bytes = atol(arg[1]);
	expect("write", write(memfd_create("wgl-memory", 0), buffer, bytes), bytes);
	expect("write", write(open_or_fail(arg[0], O_TMPFILE | O_WRONLY), buffer, bytes), bytes);
	snprintf(path, sizeof(path), "%s/deleted", arg[0]);
	int fd = open_or_fail(path, O_WRONLY | O_CREAT);
	unlink(path);
	expect("write", write(fd, buffer, bytes), bytes);
	snprintf(path, sizeof(path), "%s/before", arg[0]);
	snprintf(renamed, sizeof(renamed), "%s/after", arg[0]);
	fd = open_or_fail(path, O_WRONLY | O_CREAT);
	expect("write", write(fd, buffer, bytes), bytes);
	expect("rename", rename(path, renamed), 0);
	expect("write", write(fd, buffer, 1), 1);
}

/*
 * <path> <bytes> <submissions>: each of four requests of Linux AIO, two writes and two reads, one of each in two buffers; and one request of a pipe. Waits for
 * each submission's completions.
 */
static void submit(char **arg)
{
	int fd = open_or_fail(arg[0], O_RDWR | O_CREAT), pipe_fds[2];
	long bytes = atol(arg[1]);
	aio_context_t context = 0;
	if (pipe(pipe_fds) || syscall(SYS_io_setup, 8, &context))
		fail("io_setup");
	struct iovec parts[2] = { { buffer, bytes / 2 }, { buffer, bytes - bytes / 2 } };
	struct iocb requests[5] = {
		{ .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = fd, .aio_buf = (unsigned long)buffer, .aio_nbytes = bytes },
		{ .aio_lio_opcode = IOCB_CMD_PWRITEV, .aio_fildes = fd, .aio_buf = (unsigned long)parts, .aio_nbytes = 2 },
		{ .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd, .aio_buf = (unsigned long)buffer, .aio_nbytes = bytes },
		{ .aio_lio_opcode = IOCB_CMD_PREADV, .aio_fildes = fd, .aio_buf = (unsigned long)parts, .aio_nbytes = 2 },
		{ .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = pipe_fds[1], .aio_buf = (unsigned long)buffer, .aio_nbytes = 1 },
	};
	struct iocb *list[5] = { &requests[0], &requests[1], &requests[2], &requests[3], &requests[4] };
	struct io_event events[5];
	for (long i = 0; i < atol(arg[2]); i++) {
		expect("io_submit", syscall(SYS_io_submit, context, 5, list), 5);
		expect("io_getevents", syscall(SYS_io_getevents, context, 5, 5, events, 0), 5);
		for (int j = 0; j < 5; j++)
			expect("completion", events[j].res, events[j].obj == (unsigned long)list[4] ? 1 : bytes);
	}
}

/* <kind> <path> <calls>: calls of one kind as fast as they go, for the benchmark; `open` closes what it opens. */
static void repeat(char **arg)
{
	long calls = atol(arg[2]);
	int fd = open_or_fail(arg[1], O_RDWR | O_CREAT), pipe_fds[2];
	char missing[4096];
	snprintf(missing, sizeof(missing), "%s.missing", arg[1]);
	if (pipe(pipe_fds))
		fail("pipe");
	if (!strcmp(arg[0], "ordinary"))
		for (long i = 0; i < calls; i++)
			syscall(SYS_getppid);
	else if (!strcmp(arg[0], "file"))
		for (long i = 0; i < calls; i++)
			expect("pwrite", pwrite(fd, buffer, 1, 0), 1);
	else if (!strcmp(arg[0], "pipe"))
		for (long i = 0; i < calls; i += 2) {
			expect("write", write(pipe_fds[1], buffer, 1), 1);
			expect("read", read(pipe_fds[0], buffer, 1), 1);
		}
	else if (!strcmp(arg[0], "open"))
		for (long i = 0; i < calls; i++)
			close(open_or_fail(arg[1], O_RDONLY));
	else if (!strcmp(arg[0], "missing"))
		for (long i = 0; i < calls; i++)
			expect("open", open(missing, O_RDONLY), -1);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	prctl(PR_SET_NAME, argv[1]);
	const struct {
		const char *name;
		void (*run)(char **);
	} verbs[] = {
		{ "write", write_file },	 { "read", read_file },		{ "copy", copy_file },	 { "other", other_descriptors },
		{ "read-closed", read_closed },	 { "open", open_file },		{ "many", many_files },	 { "many-missing", many_missing },
		{ "sync", sync_file },		 { "sync-all", sync_all },	{ "nameless", nameless },
		{ "repeat", repeat },		 { "submit", submit },
	};
	for (unsigned long i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (!strcmp(argv[2], verbs[i].name)) {
			verbs[i].run(argv + 3);
			return 0;
		}
	}
	return 2;
}
