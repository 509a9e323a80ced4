/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Call stacks that keys name by an id. As with texts (texts.bpf.h), a stack is registered before anything is counted under its id, each time:
 * so whoever reads a copy of a map knows its stacks, and the registry holds what one window used.
 *
 * Not a BPF_MAP_TYPE_STACK_TRACE: that takes 1 KB for each stack however short it is, and gives up a stack whose hash meets another's. Here a
 * stack takes as many pieces of 16 frames as it needs.
 */
#ifndef WAGGLE_STACKS_BPF_H
#define WAGGLE_STACKS_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "drops.bpf.h"
#include "maps.bpf.h"
#include "process.bpf.h"

/* The kernel's own limit (kernel.perf_event_max_stack). */
#define STACK_FRAMES_MAX 127
#define STACK_CHUNK_FRAMES 16

/* There is none: a kernel thread's user stack, the kernel's stack of a task that was in user space. */
#define STACK_NONE 0
/* It could not be taken or had no room. */
#define STACK_LOST 1
/* It was not taken, because the task waited outside of a system call, or ended. */
#define STACK_NOT_TAKEN 2
#define STACK_ID_MIN 16

struct stack_chunk_key {
	__u64 stack_id;
	/* Number of the piece, from the innermost frame. */
	__u32 chunk;
	/* Frames of the whole stack: a reader sees whether it has all pieces. */
	__u32 frames;
};

struct stack_chunk {
	/* Return addresses, the innermost first; zeros behind the last. */
	__u64 frames[STACK_CHUNK_FRAMES];
};
_Static_assert(sizeof(struct stack_chunk) == 8 * STACK_CHUNK_FRAMES, "the agent decodes this struct");

/* Drained by the agent in every window. 208 bytes an entry: 3,500 stacks of up to 32 frames. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 7168);
	__type(key, struct stack_chunk_key);
	__type(value, struct stack_chunk);
} stack_chunks SEC(".maps");

/* An address space, so that addresses of two processes of one name are not mixed up: its thread group and a hash of its mm_struct. */
struct stack_space {
	__u32 tgid;
	__u32 space;
};

/* Spaces that user stacks were taken of; drained by the agent several times in a window, so that it sees what is mapped where before they end. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct stack_space);
	__type(value, __u32);
} stack_spaces SEC(".maps");

struct stack_scratch {
	__u64 frames[STACK_FRAMES_MAX + 1];
};

/* Shared by all programs: they run with interrupts off on their CPU, or cannot meet on one. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack_scratch);
} stack_scratch SEC(".maps");

static __always_inline struct stack_scratch *get_stack_scratch(void)
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&stack_scratch, &key);
}

#define STACK_BYTES_MAX (STACK_FRAMES_MAX * sizeof(__u64))

#define HASH_LANES 4

/*
 * The id of the first `count` frames in the scratch space, of which those behind are 0 up to the end of their piece (the helpers that take stacks see to that). Four
 * hashes, each of every fourth frame, as a multiplication takes longer than beginning the next one. This and what follows are not static, so that the verifier walks
 * through their loops once for a program, and not once for each call and for each length that a loop before may have ended with.
 */
__noinline __u64 hash_stack(__u32 count)
{
	const struct control *settings = get_control();
	struct stack_scratch *scratch = get_stack_scratch();
	if (!settings || !scratch)
		return STACK_LOST;
	__u64 a = settings->seed, b = a + 1, c = a + 2, d = a + 3;
	for (__u32 i = 0; i < STACK_FRAMES_MAX + 1; i += HASH_LANES) {
		if (i >= count)
			break;
		a = (a ^ scratch->frames[i]) * 0x9e3779b97f4a7c15ull;
		b = (b ^ scratch->frames[i + 1]) * 0x9e3779b97f4a7c15ull;
		c = (c ^ scratch->frames[i + 2]) * 0x9e3779b97f4a7c15ull;
		d = (d ^ scratch->frames[i + 3]) * 0x9e3779b97f4a7c15ull;
		a ^= a >> 32;
		b ^= b >> 32;
		c ^= c >> 32;
		d ^= d >> 32;
	}
	__u64 id = mix(mix(mix(a, b), c), d);
	return id < STACK_ID_MIN ? id + STACK_ID_MIN : id;
}

/* Registers the `bytes` (what a helper returned: negative for an error) of frames that lie in the scratch space. Returns the stack's id. */
__noinline __u64 register_stack(int bytes)
{
	struct stack_scratch *scratch = get_stack_scratch();
	if (!scratch || bytes < 0 || bytes > (int)STACK_BYTES_MAX)
		return STACK_LOST;
	__u32 count = (__u32)bytes / sizeof(__u64);
	if (count == 0)
		return STACK_NONE;
	struct stack_chunk_key key = { .stack_id = hash_stack(count), .frames = count };
	for (__u32 chunk = 0; chunk < (STACK_FRAMES_MAX + 1) / STACK_CHUNK_FRAMES; chunk++) {
		if (chunk * STACK_CHUNK_FRAMES >= count)
			break;
		key.chunk = chunk;
		/* Mostly it is there, and looking is half the price of finding out by trying. */
		if (bpf_map_lookup_elem(&stack_chunks, &key))
			continue;
		int error = (int)bpf_map_update_elem(&stack_chunks, &key, &scratch->frames[chunk * STACK_CHUNK_FRAMES], BPF_NOEXIST);
		if (error && error != -17) {
			count_drop(stack_chunks_full);
			return STACK_LOST;
		}
	}
	return key.stack_id;
}

/* Hash of the address of the task's memory descriptor; read as a number, because pointers cannot be calculated with. */
static __always_inline __u32 space_of(const struct control *settings, struct task_struct *task)
{
	__u64 address = 0;
	bpf_core_read(&address, sizeof(address), &task->mm);
	return (__u32)mix(settings->seed, address);
}

/* Takes the user stack of `current`, which has a memory of its own. */
static __always_inline __u64 register_user_stack(void *ctx, const struct control *settings, struct stack_scratch *scratch, __u32 tgid, __u32 space)
{
	int bytes = (int)bpf_get_stack(ctx, scratch->frames, STACK_BYTES_MAX, BPF_F_USER_STACK);
	if (bytes <= 0)
		return STACK_LOST;
	struct stack_space key = { .tgid = tgid, .space = space };
	__u32 one = 1;
	if (bpf_map_lookup_elem(&stack_spaces, &key))
		return register_stack(bytes);
	/* If there is no room, the agent asks for the mappings at the end of the window, while the process lives. */
	bpf_map_update_elem(&stack_spaces, &key, &one, BPF_NOEXIST);
	return register_stack(bytes);
}

#endif
