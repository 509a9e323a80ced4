// SPDX-License-Identifier: Apache-2.0
/* Prints bucket_index() of each decimal number on stdin, so that it can be held against the reference in TypeScript. */
#include <stdio.h>

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))

#include "../include/histogram.bpf.h"

int main(void)
{
	__u64 value;
	while (scanf("%llu", &value) == 1)
		printf("%u\n", bucket_index(value));
	return 0;
}
