/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Adding up what cumulative figures of the kernel's rose by, each increment once. */
#ifndef WAGGLE_CLAIM_BPF_H
#define WAGGLE_CLAIM_BPF_H

#include <bpf/bpf_helpers.h>

/*
 * How much a total rose since it was counted last, and marks that as counted. The inventory and the end of a socket or a
 * task may do this at once on two CPUs: compare-and-swap gives each increment to one of them, and a total never goes back.
 * Functions of their own that the verifier checks once: inlined, "nothing rose" is a zero that it knows, and it walks through what follows once for each
 * combination of figures that rose or did not.
 */
#define CLAIM_TRIES 4

__noinline __u64 claim64(__u64 *counted, __u64 total)
{
	if (!counted)
		return 0;
#pragma unroll
	for (int i = 0; i < CLAIM_TRIES; i++) {
		__u64 seen = *(volatile __u64 *)counted;
		if (total <= seen)
			return 0;
		if (__sync_val_compare_and_swap(counted, seen, total) == seen)
			return total - seen;
	}
	return 0;
}

/* 32-bit totals wrap, so "later" is decided by the sign of the difference. */
__noinline __u32 claim32(__u32 *counted, __u32 total)
{
	if (!counted)
		return 0;
#pragma unroll
	for (int i = 0; i < CLAIM_TRIES; i++) {
		__u32 seen = *(volatile __u32 *)counted;
		if ((__s32)(total - seen) <= 0)
			return 0;
		if (__sync_val_compare_and_swap(counted, seen, total) == seen)
			return total - seen;
	}
	return 0;
}

#endif
