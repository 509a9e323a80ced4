/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef WAGGLE_INIT_SIGHT_H
#define WAGGLE_INIT_SIGHT_H

#define INIT_TGID 1

struct init_sight {
	__u64 switches_to;
	__u64 switches_from;
};

#endif
