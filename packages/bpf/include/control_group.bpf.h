/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Groups of a task in hierarchies of version 1, where a css_set leads to the one of version 2 only. */
#ifndef WAGGLE_CONTROL_GROUP_BPF_H
#define WAGGLE_CONTROL_GROUP_BPF_H

#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Each of the 14 controllers alone, some named ones and version 2. */
#define HIERARCHIES_MAX 24

/*
 * Id of the group in the hierarchy of that number; 0 if the css_set is in none. A walk, as a controller's state (css_set.subsys) would lead to the
 * groups of controllers, but not to systemd's, which is a hierarchy without one. A global function: it is verified once, not at each of its calls.
 */
__noinline __u64 find_v1_group(__u64 css_set, __u32 hierarchy)
{
	struct css_set *set = (struct css_set *)css_set;
	struct list_head *head = &set->cgrp_links;
	struct list_head *node = BPF_CORE_READ(head, next);
	for (int i = 0; i < HIERARCHIES_MAX && node && node != head; i++) {
		struct cgrp_cset_link *link = (void *)node - bpf_core_field_offset(struct cgrp_cset_link, cgrp_link);
		struct cgroup *group = BPF_CORE_READ(link, cgrp);
		if ((__u32)BPF_CORE_READ(group, root, hierarchy_id) == hierarchy)
			return BPF_CORE_READ(group, kn, id);
		node = BPF_CORE_READ(node, next);
	}
	return 0;
}

#endif
