/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Reads the kernel's memory at an address that the verifier knows nothing of: 0 where it cannot be read. Since Linux 6.2 a load may do that on its own,
 * if the address is declared to be that of some struct (bpf_rdonly_cast, which is no call once it is compiled); before, it takes a helper, 15 to 30 ns
 * each time. An object that is used on hot paths is built for both (WAGGLE_DIRECT_LOADS), and the agent takes the one that the kernel can run.
 */
#ifndef WAGGLE_KERNEL_WORD_BPF_H
#define WAGGLE_KERNEL_WORD_BPF_H

#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#ifdef WAGGLE_DIRECT_LOADS

extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym;

/* The eight bytes at the address, as a number: a struct timespec64 starts with one in every kernel, and of a pointer the verifier would forbid to make a key. */
static __always_inline __u64 kernel_word(__u64 address)
{
	struct timespec64 *words = bpf_rdonly_cast((void *)address, bpf_core_type_id_kernel(struct timespec64));
	return words->tv_sec;
}

#else

static __always_inline __u64 kernel_word(__u64 address)
{
	__u64 word = 0;
	bpf_probe_read_kernel(&word, sizeof(word), (void *)address);
	return word;
}

#endif

/* The eight bytes from a field of the struct at that address on; a shorter field is in the lowest of them (little-endian). */
#define kernel_field(type, address, field) kernel_word((address) + bpf_core_field_offset(type, field))

/* A bit field of the struct at that address. The shifts put it at the top and then down again, so what else was read goes away. */
#define kernel_bits(type, address, field)                                                                             \
	({                                                                                                            \
		type *type_ = 0;                                                                                      \
		__u64 bits_ = kernel_word((address) + __CORE_RELO(type_, field, BYTE_OFFSET));                        \
		bits_ << __CORE_RELO(type_, field, LSHIFT_U64) >> __CORE_RELO(type_, field, RSHIFT_U64);              \
	})

#endif
