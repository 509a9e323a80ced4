/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "core_compat.bpf.h"
#include "cost.bpf.h"
#include "drops.bpf.h"
#include "maps.bpf.h"
#include "process.bpf.h"
#include "stacks.bpf.h"
#include "kernel_vma.h"
#include "profile.h"

/* 104 bytes an entry, two copies. */
WINDOW_MAP(cpu_profile, 4096, 1);

static __always_inline void count_sample(void *ctx)
{
	struct control *settings = get_control();
	struct stack_scratch *scratch = get_stack_scratch();
	struct task_struct *task = bpf_get_current_task_btf();
	/* The idle task has pid 0: exclude_idle leaves it out, but not on every kernel. */
	if (!settings || !scratch || !task->pid)
		return;
	__u32 active = *(volatile __u32 *)&settings->active;

	struct cpu_profile_key key = { .process_id = identify_aside(task, settings) };
	key.kernel_stack = register_stack((int)bpf_get_stack(ctx, scratch->frames, STACK_BYTES_MAX, 0));
	if (task->mm && !(task->flags & PF_KTHREAD)) {
		key.tgid = task->tgid;
		key.space = space_of(settings, task);
		key.user_stack = register_user_stack(ctx, settings, scratch, key.tgid, key.space);
	}
	struct cpu_profile_value empty = {};
	struct cpu_profile_value *slot = window_slot(cpu_profile, active, &key, &empty, 0);
	if (slot)
		__sync_fetch_and_add(&slot->samples, 1);
}

/* A software clock on each CPU (perf_event_open, PERF_COUNT_SW_CPU_CLOCK): from a timer's interrupt, with interrupts off. */
SEC("perf_event")
int on_cpu_clock(void *ctx)
{
	cost_start(cost, on_cpu_clock, COST_RARE);
	count_sample(ctx);
	cost_end(cost);
	return 0;
}

/* Processes whose mappings are asked for, where the kernel cannot iterate over one process alone (before 6.1); all others are passed over. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} wanted_mappings SEC(".maps");

/* Set by the agent: from the kernel's BTF, and from the size of a page. */
const volatile __u32 walks_all_tasks = 0;
const volatile __u32 page_bits = 12;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mapping);
} mapping_scratch SEC(".maps");

static __always_inline void write_mapping(struct bpf_iter__task_vma *ctx)
{
	struct task_struct *task = ctx->task;
	struct vm_area_struct *vma = ctx->vma;
	__u32 zero = 0;
	struct mapping *mapping = bpf_map_lookup_elem(&mapping_scratch, &zero);
	struct control *settings = get_control();
	if (!task || !vma || !mapping || !settings || !(vma->vm_flags & VM_EXEC))
		return;
	__u32 tgid = task->tgid;
	if (walks_all_tasks && !bpf_map_lookup_elem(&wanted_mappings, &tgid))
		return;
	struct mm_struct *mm = task->mm;
	if (!mm)
		return;
	mapping->start = vma->vm_start;
	mapping->end = vma->vm_end;
	mapping->offset = vma->vm_pgoff << page_bits;
	mapping->tgid = tgid;
	mapping->space = space_of(settings, task);
	mapping->inode = 0;
	mapping->size = 0;
	mapping->is_vdso = 0;
	mapping->path[0] = 0;
	struct file *file = vma->vm_file;
	if (file) {
		struct inode___profile *inode = (void *)file->f_inode;
		mapping->inode = BPF_CORE_READ(inode, i_ino);
		mapping->size = BPF_CORE_READ(inode, i_size);
		if ((int)bpf_d_path(&file->f_path, mapping->path, MAPPING_PATH_BYTES) < 0)
			mapping->path[0] = 0;
	} else {
		struct mm_struct___profile *memory = (void *)mm;
		mapping->is_vdso = (__u64)BPF_CORE_READ(memory, context.vdso) == mapping->start;
	}
	bpf_seq_write(ctx->meta->seq, mapping, sizeof(*mapping));
}

/* What is mapped where in a process, of what can be executed. One reader at a time. */
SEC("iter/task_vma")
int on_task_vma(struct bpf_iter__task_vma *ctx)
{
	cost_start(cost, on_task_vma, COST_RARE);
	write_mapping(ctx);
	cost_end(cost);
	return 0;
}

/* Names asked for at a time: what the verifier unrolls. */
#define KERNEL_SYMBOLS_MAX 64

/* A kernel address that the agent wants the name of, and the name: KSYM_NAME_LEN is 512, and names that long are not met. */
struct kernel_symbol {
	__u64 address;
	char name[504];
};
_Static_assert(sizeof(struct kernel_symbol) == 512, "no hidden padding");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KERNEL_SYMBOLS_MAX);
	__type(key, __u32);
	__type(value, struct kernel_symbol);
} kernel_symbols SEC(".maps");

/*
 * Names of kernel functions without /proc/kallsyms, which shows zeros to whoever lacks CAP_SYSLOG: the kernel's own formatting knows them. %pB is
 * for return addresses: it looks up the byte before.
 */
SEC("raw_tp")
int on_kernel_symbols(void *ctx)
{
	cost_start(cost, on_kernel_symbols, COST_RARE);
	for (int index = 0; index < KERNEL_SYMBOLS_MAX; index++) {
		/* A copy: the verifier does not count a loop by a variable whose address is taken. */
		__u32 key = index;
		struct kernel_symbol *symbol = bpf_map_lookup_elem(&kernel_symbols, &key);
		if (!symbol || !symbol->address)
			break;
		BPF_SNPRINTF(symbol->name, sizeof(symbol->name), "%pB", (void *)symbol->address);
	}
	cost_end(cost);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
