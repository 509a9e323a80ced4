// SPDX-License-Identifier: Apache-2.0
/*
 * Runs the ClickHouse engine inside libchdb.so as the whole of this process.
 *
 *   clickhouse-host LIBRARY DIRECTORY HOLD_FIFO GRACE_SECONDS PARENT_PID ENGINE_ARGUMENT...
 *
 * LIBRARY        absolute path of libchdb.so
 * DIRECTORY      the engine's own; writes to the files of its store are guarded (guarded-writes.c)
 * HOLD_FIFO      path of a FIFO that the engine's last query reads from: the server runs until that query sees end of file.
 *                Made if missing, and locked, so that one data directory has one server
 * GRACE_SECONDS  how long an orderly stop may take before the kernel ends the process (1..3600)
 * PARENT_PID     process to stop with, or 0 to outlive the parent
 *
 * Exit status: 0 after an orderly stop that was asked for, 1 if the engine had to cut connections to stop (its own doing), 2 for a bad command line, 3 if the library can't be used,
 * 4 if the engine returned by itself (its message is on stderr), 5 for a failed system call, 6 if another process has the lock,
 * 7 if a file of the store could not be written for another reason than a lack of space.
 * Killed by SIGALRM: GRACE_SECONDS exceeded.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "guarded-writes.h"

enum {
	EXIT_USAGE = 2,
	EXIT_LIBRARY = 3,
	EXIT_ENGINE = 4,
	EXIT_SYSTEM = 5,
	EXIT_LOCKED = 6,
	GRACE_SECONDS_MAX = 3600,
	FIRST_ENGINE_ARGUMENT = 6,
};

static volatile sig_atomic_t hold_fd = -1;
static volatile sig_atomic_t stop_requested;
static unsigned grace_seconds;

/*
 * The engine keeps the default action for SIGTERM, which would skip its shutdown. Closing our end of the FIFO ends the query that
 * holds the server up instead, so that the engine leaves its main function in the ordinary way. Everything here is async-signal-safe.
 */
static void on_stop_signal(int signal_number)
{
	int saved_errno = errno;

	(void)signal_number;
	if (!stop_requested) {
		stop_requested = 1;
		alarm(grace_seconds);
		close(hold_fd);
	}
	errno = saved_errno;
}

static int fail(int status, const char *what, const char *why)
{
	fprintf(stderr, "clickhouse-host: %s: %s\n", what, why);
	return status;
}

/* What the engine writes to its terminal is of no use, but a full terminal would block the writer. */
static void *drain(void *master)
{
	char buffer[256];

	while (read((int)(intptr_t)master, buffer, sizeof(buffer)) > 0 || errno == EINTR)
		;
	return NULL;
}

/*
 * Makes standard input a terminal of our own, with nobody typing.
 *
 * The engine started with a terminal and --interactive differs in one thing that matters: without, it takes itself for a script, and an
 * error in *any* thread ends the process. A client of the HTTP or native port that resets its connection is such an error, so that every
 * cancelled request could abort the server.
 */
static int take_terminal(void)
{
	int master, slave;
	pthread_t thread;
	sigset_t all, before;
	int error;

	master = posix_openpt(O_RDWR | O_NOCTTY);
	if (master < 0 || grantpt(master) || unlockpt(master))
		return -1;
	if (fcntl(master, F_SETFD, FD_CLOEXEC))
		return -1;
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	if (slave < 0 || dup2(slave, STDIN_FILENO) < 0)
		return -1;
	if (slave != STDIN_FILENO)
		close(slave);

	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, drain, (void *)(intptr_t)master);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		errno = error;
		return -1;
	}
	pthread_detach(thread);
	return 0;
}

static int parse_number(const char *text, long minimum, long maximum, long *value)
{
	char *end;

	errno = 0;
	*value = strtol(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *value >= minimum && *value <= maximum;
}

int main(int argc, char **argv)
{
	char directory[PATH_MAX];
	long grace, parent;
	char *(*result_error)(void *);
	void *(*query_cmdline)(int, char **);
	void *library, *result;
	struct sigaction stop_action = { .sa_handler = on_stop_signal, .sa_flags = SA_RESTART };
	struct sigaction default_action = { .sa_handler = SIG_DFL };
	char *message;
	int fd;

	if (argc <= FIRST_ENGINE_ARGUMENT)
		return fail(EXIT_USAGE, "usage", "clickhouse-host LIBRARY DIRECTORY HOLD_FIFO GRACE_SECONDS PARENT_PID ENGINE_ARGUMENT...");
	if (!parse_number(argv[4], 1, GRACE_SECONDS_MAX, &grace))
		return fail(EXIT_USAGE, "GRACE_SECONDS must be 1..3600", argv[4]);
	if (!parse_number(argv[5], 0, 0x7fffffff, &parent))
		return fail(EXIT_USAGE, "PARENT_PID must be a process id or 0", argv[5]);
	grace_seconds = (unsigned)grace;

	/* Logs and data files of the engine are nobody else's to read. */
	umask(0077);
	if (mkfifo(argv[3], 0600) && errno != EEXIST)
		return fail(EXIT_SYSTEM, argv[3], strerror(errno));
	/* Read and write, because a FIFO opened for writing only would wait for its reader, which is started below. */
	fd = open(argv[3], O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fail(EXIT_SYSTEM, argv[3], strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			return fail(EXIT_LOCKED, argv[3], "another server holds this directory");
		return fail(EXIT_SYSTEM, argv[3], strerror(errno));
	}
	hold_fd = fd;

	sigemptyset(&stop_action.sa_mask);
	sigemptyset(&default_action.sa_mask);
	if (sigaction(SIGTERM, &stop_action, NULL) || sigaction(SIGINT, &stop_action, NULL) ||
	    sigaction(SIGALRM, &default_action, NULL))
		return fail(EXIT_SYSTEM, "sigaction", strerror(errno));

	if (parent != 0) {
#ifdef __linux__
		/* The kernel tells us even when the parent was killed with SIGKILL and could tell nobody. */
		if (prctl(PR_SET_PDEATHSIG, SIGTERM))
			return fail(EXIT_SYSTEM, "prctl(PR_SET_PDEATHSIG)", strerror(errno));
#endif
		/* It may have gone before prctl took effect, and then no signal would ever come. */
		if (getppid() != (pid_t)parent)
			return fail(EXIT_SYSTEM, "parent", "has already gone");
	}

	if (take_terminal())
		return fail(EXIT_SYSTEM, "cannot make a terminal", strerror(errno));

	if (!realpath(argv[2], directory) || guard_writes(directory))
		return fail(EXIT_SYSTEM, argv[2], strerror(errno));

	library = dlopen(argv[1], RTLD_NOW);
	if (!library)
		return fail(EXIT_LIBRARY, "cannot load the engine", dlerror());
	/* ISO C has no conversion from void * to a function pointer; POSIX requires this one to work. */
	*(void **)&query_cmdline = dlsym(library, "chdb_query_cmdline");
	*(void **)&result_error = dlsym(library, "chdb_result_error");
	if (!query_cmdline || !result_error)
		return fail(EXIT_LIBRARY, argv[1], "has no chdb_query_cmdline or chdb_result_error");

	/* The engine takes argv[0] as a program name; the slot of the last argument of ours becomes that. */
	argv[FIRST_ENGINE_ARGUMENT - 1] = "clickhouse-local";
	result = query_cmdline(argc - FIRST_ENGINE_ARGUMENT + 1, argv + FIRST_ENGINE_ARGUMENT - 1);

	/* The engine has shut down by now. _exit, because destructors of its static objects still race with its idle threads. */
	if (stop_requested)
		_exit(EXIT_SUCCESS);
	message = result ? result_error(result) : NULL;
	fail(EXIT_ENGINE, "the engine stopped by itself", message ? message : "see its message above");
	fflush(NULL);
	_exit(EXIT_ENGINE);
}
