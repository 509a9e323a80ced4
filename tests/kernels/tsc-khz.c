// SPDX-License-Identifier: Apache-2.0
/* Prints how many thousand ticks a second this processor's time stamp counter makes. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct moment {
	uint64_t ticks;
	int64_t ns;
};

static int64_t now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC_RAW, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* Of many pairs of readings the one that was least interrupted. */
static struct moment read_both(void)
{
	struct moment best = {0};
	uint64_t least = UINT64_MAX;
	for (int try = 0; try < 1000; try++) {
		uint64_t before = __rdtsc();
		int64_t ns = now_ns();
		uint64_t took = __rdtsc() - before;
		if (took >= least)
			continue;
		least = took;
		best = (struct moment){.ticks = before + took / 2, .ns = ns};
	}
	return best;
}

int main(void)
{
	struct timespec apart = {.tv_nsec = 300000000};
	struct moment first = read_both();
	nanosleep(&apart, NULL);
	struct moment last = read_both();
	printf("%.0f\n", (double)(last.ticks - first.ticks) * 1e6 / (double)(last.ns - first.ns));
	return 0;
}
