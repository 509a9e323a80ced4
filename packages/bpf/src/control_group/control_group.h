/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Shared with the agent, which checks this layout against the object's BTF. */
#ifndef WAGGLE_CONTROL_GROUP_H
#define WAGGLE_CONTROL_GROUP_H

/* A control group that was made. Ids are told apart within a hierarchy only. */
struct made_group {
	/* Inode number of its directory. */
	__u64 id;
	/* 0: version 2; n: the n-th of control.unit_hierarchies. */
	__u32 hierarchy;
	__u32 pad;
};

#endif
