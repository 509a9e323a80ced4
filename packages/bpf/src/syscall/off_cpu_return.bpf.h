/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The end of a call in which its task waited for long (off_cpu_waits.bpf.h): its user stack is taken now. */
#ifndef WAGGLE_OFF_CPU_RETURN_BPF_H
#define WAGGLE_OFF_CPU_RETURN_BPF_H

#include "off_cpu_waits.bpf.h"

/* A function of its own: one call in thousands comes here. `task` is `current` and has been identified. */
static __noinline int off_cpu_return(void *ctx, const struct control *settings, struct task_struct *task, struct task_state *state)
{
	struct stack_scratch *scratch = get_stack_scratch();
	if (!settings || !state || !scratch)
		return 0;
	state->has_noted_waits = 0;
	struct off_cpu_key key = { .process_id = state->process_id, .tgid = task->tgid, .space = space_of(settings, task) };
	key.user_stack = register_user_stack(ctx, settings, scratch, key.tgid, key.space);
	count_noted_waits(settings, task->pid, &key);
	return 0;
}

#endif
