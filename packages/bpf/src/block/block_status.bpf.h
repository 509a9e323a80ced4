/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a request ended with, as an error number: the kernel's own translation (blk_errors in block/blk-core.c). */
#ifndef WAGGLE_BLOCK_STATUS_BPF_H
#define WAGGLE_BLOCK_STATUS_BPF_H

#include <linux/errno.h>
#include "kernel_types.h"

/* A status that is not known here; the agent writes it as `blk_status_<n>`. */
#define ERRNO_BLOCK_STATUS 0x8000

/* The tracepoint gives a negative error number (until 5.15) and no blk_status_t. Set by the agent from the kernel's BTF. */
const volatile __u32 status_is_errno = 0;
/* From this status on (BLK_STS_ZONE_OPEN_RESOURCE) numbers are one lower since 6.10. Set by the agent from the kernel's BTF. */
const volatile __u32 zone_open_status = 15;

/* include/linux/blk_types.h; the first ones have never changed. */
static __always_inline __u16 errno_of_status(__s64 status)
{
	if (status_is_errno)
		return -(__s32)status;
	__u8 number = status;
	switch (number) {
	case 1:
		return EOPNOTSUPP;
	case 2:
		return ETIMEDOUT;
	case 3:
		return ENOSPC;
	case 4:
		return ENOLINK;
	case 5:
		return EREMOTEIO;
	case 6:
		return EBADE;
	case 7:
		return ENODATA;
	case 8:
		return EILSEQ;
	case 9:
		return ENOMEM;
	case 10:
		return EIO;
	case 11:
		return EREMCHG;
	case 12:
		return EAGAIN;
	case 13:
		return EBUSY;
	}
	__u32 behind = number - zone_open_status;
	switch (behind) {
	case 0:
		return ETOOMANYREFS;
	case 1:
		return EOVERFLOW;
	case 2:
		return ENODEV;
	case 3:
		return ETIME;
	}
	return ERRNO_BLOCK_STATUS | number;
}

#endif
