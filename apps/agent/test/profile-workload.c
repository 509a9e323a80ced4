// SPDX-License-Identifier: Apache-2.0
/*
 * Known code for the tests of profiles: profile-workload <comm> <verb> [arguments]. Built with frame pointers; functions are not inlined, so that
 * each has a frame of its own.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long elapsed_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* About a millisecond of nothing but this. */
__attribute__((noinline)) static unsigned spin_in_here(unsigned seed)
{
	/* A function that calls none gets no frame, unless it asks for its address; its caller would be missed. */
	asm volatile("" ::"r"(__builtin_frame_address(0)));
	for (int i = 0; i < 1000000; i++)
		seed = seed * 1664525 + 1013904223;
	return seed;
}

__attribute__((noinline)) static unsigned calls_the_spinner(long ms)
{
	unsigned seed = 1;
	for (long end = elapsed_ms() + ms; elapsed_ms() < end;)
		seed ^= spin_in_here(seed);
	return seed;
}

/* Not by the C library, whose functions keep no frame: walking the stack would miss who called them. */
static long raw_call(long number, const void *first, long second)
{
#if defined(__x86_64__)
	long result;
	asm volatile("syscall" : "=a"(result) : "a"(number), "D"(first), "S"(second) : "rcx", "r11", "memory");
	return result;
#else
	register long x8 asm("x8") = number;
	register long x0 asm("x0") = (long)first;
	register long x1 asm("x1") = second;
	asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
	return x0;
#endif
}

__attribute__((noinline)) static long sleeps_in_here(long count, long ms)
{
	struct timespec time = { .tv_nsec = ms * 1000000 };
	long slept = 0;
	for (long i = 0; i < count; i++)
		slept += raw_call(SYS_nanosleep, &time, 0) == 0;
	return slept;
}

static long waits(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_nvcsw;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	prctl(PR_SET_NAME, argv[1]);
	if (!strcmp(argv[2], "spin"))
		return calls_the_spinner(atol(argv[3])) == 0;
	if (!strcmp(argv[2], "sleep")) {
		/* A sleeper that is pushed off the CPU just before it sleeps may find its time over: it has not waited then. The kernel counts the waits. */
		long before = waits();
		long slept = sleeps_in_here(atol(argv[3]), atol(argv[4]));
		long waited = waits() - before;
		FILE *file = argc > 5 ? fopen(argv[5], "w") : 0;
		if (file) {
			fprintf(file, "%ld", waited);
			fclose(file);
		}
		return slept != atol(argv[3]);
	}
	return 2;
}
