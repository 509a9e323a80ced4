/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What crosses to user space; field names are those of the catalogue (packages/signals). */
#ifndef WAGGLE_OOM_H
#define WAGGLE_OOM_H

struct oom_kills_key {
	__u64 process_id;
};

struct oom_kills_value {
	__u64 count;
};

#endif
