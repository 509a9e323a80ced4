/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "control_group.h"
#include "cost.bpf.h"
#include "maps.bpf.h"
#include "texts.bpf.h"

/* Groups that are made in one window; drained by the agent in every window. 312 bytes an entry. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, struct made_group);
	__type(value, struct text);
} made_groups SEC(".maps");

/* Which of the hierarchies that name units; -1: none. */
static __always_inline int hierarchy_of(const struct control *settings, __u32 id)
{
	/* Version 2 is the kernel's first hierarchy. */
	if (!id)
		return 0;
#pragma unroll
	for (int i = 0; i < UNIT_HIERARCHIES; i++)
		if (settings->unit_hierarchies[i] == id)
			return i + 1;
	return -1;
}

static __always_inline void note_group(struct cgroup *group, const char *path)
{
	struct control *settings = get_control();
	struct text *text = get_text_scratch();
	if (!settings || !text)
		return;
	int hierarchy = hierarchy_of(settings, group->root->hierarchy_id);
	if (hierarchy < 0)
		return;
	/* A path that does not fit is found by looking at the directories, or not at all; so is one for which there is no room. */
	int length = (int)bpf_probe_read_kernel_str(text, TEXT_BYTES, path);
	if (length <= 1 || length >= TEXT_BYTES)
		return;
	struct made_group key = { .id = group->kn->id, .hierarchy = hierarchy };
	bpf_map_update_elem(&made_groups, &key, text, BPF_ANY);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *group, const char *path)
{
	cost_start(cost, on_cgroup_mkdir, COST_RARE);
	note_group(group, path);
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
