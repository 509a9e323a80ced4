/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The shared path of everything that hangs on system calls. on_sys_exit counts each call; of the few kinds that something else wants to know
 * of, it hands what it has learnt to handle_call() (calls.bpf.h). What a call is follows from its number by one table, so that a call nobody
 * wants costs one look into it.
 */
#ifndef WAGGLE_CALL_BPF_H
#define WAGGLE_CALL_BPF_H

#include "core_compat.bpf.h"
#include "maps.bpf.h"
#include "process.bpf.h"

/* Classes of calls: by where the arguments are and what the result means. */
#define CALL_ORDINARY 0
/* (fd, …) → bytes: read, readv, pread64, preadv, preadv2. */
#define CALL_READ 1
/* (fd, …) → bytes: write, writev, pwrite64, pwritev, pwritev2. */
#define CALL_WRITE 2
/* (to, from, …) → bytes: sendfile. */
#define CALL_SENDFILE 3
/* (from, _, to, …) → bytes: splice, copy_file_range. */
#define CALL_SPLICE 4
/* (path, …) → fd: open, creat. */
#define CALL_OPEN 5
/* (_, path, …) → fd: openat, openat2. */
#define CALL_OPENAT 6
/* fsync, fdatasync, sync_file_range, syncfs (fd, …); msync and sync, which have none. */
#define CALL_SYNC 7
/* (fd, …): sendto, sendmsg, sendmmsg. */
#define CALL_SEND 8
/* (fd, …): recvfrom, recvmsg, recvmmsg. */
#define CALL_RECEIVE 9
/* (listener, …) → fd: accept, accept4. */
#define CALL_ACCEPT 10
/* (fd, …): bind. */
#define CALL_BIND 11
/* (context, count, requests) → how many were taken: io_submit. */
#define CALL_SUBMIT 12

/* Numbers of calls (the kernel's syscall tables; arm64 has those of include/uapi/asm-generic/unistd.h). */
#if defined(__TARGET_ARCH_x86)
#define NR_READ 0
#define NR_WRITE 1
#define NR_OPEN 2
#define NR_PREAD64 17
#define NR_PWRITE64 18
#define NR_READV 19
#define NR_WRITEV 20
#define NR_MSYNC 26
#define NR_SENDFILE 40
#define NR_ACCEPT 43
#define NR_SENDTO 44
#define NR_RECVFROM 45
#define NR_SENDMSG 46
#define NR_RECVMSG 47
#define NR_BIND 49
#define NR_FSYNC 74
#define NR_FDATASYNC 75
#define NR_CREAT 85
#define NR_SYNC 162
#define NR_IO_SUBMIT 209
#define NR_OPENAT 257
#define NR_SPLICE 275
#define NR_SYNC_FILE_RANGE 277
#define NR_ACCEPT4 288
#define NR_PREADV 295
#define NR_PWRITEV 296
#define NR_RECVMMSG 299
#define NR_SYNCFS 306
#define NR_SENDMMSG 307
#define NR_COPY_FILE_RANGE 326
#define NR_PREADV2 327
#define NR_PWRITEV2 328
#elif defined(__TARGET_ARCH_arm64)
/* arm64 has neither open nor creat. */
#define NR_IO_SUBMIT 2
#define NR_OPENAT 56
#define NR_READ 63
#define NR_WRITE 64
#define NR_READV 65
#define NR_WRITEV 66
#define NR_PREAD64 67
#define NR_PWRITE64 68
#define NR_PREADV 69
#define NR_PWRITEV 70
#define NR_SENDFILE 71
#define NR_SPLICE 76
#define NR_SYNC 81
#define NR_FSYNC 82
#define NR_FDATASYNC 83
#define NR_SYNC_FILE_RANGE 84
#define NR_BIND 200
#define NR_ACCEPT 202
#define NR_SENDTO 206
#define NR_RECVFROM 207
#define NR_SENDMSG 211
#define NR_RECVMSG 212
#define NR_MSYNC 227
#define NR_ACCEPT4 242
#define NR_RECVMMSG 243
#define NR_SYNCFS 267
#define NR_SENDMMSG 269
#define NR_COPY_FILE_RANGE 285
#define NR_PREADV2 286
#define NR_PWRITEV2 287
#endif
#define NR_OPENAT2 437

/* Calls with a higher number, and all 32-bit ones (SYSCALL_COMPAT), are ordinary. */
#define CLASSIFIED_CALLS 438

const volatile __u8 call_classes[CLASSIFIED_CALLS] = {
	[NR_READ] = CALL_READ,
	[NR_READV] = CALL_READ,
	[NR_PREAD64] = CALL_READ,
	[NR_PREADV] = CALL_READ,
	[NR_PREADV2] = CALL_READ,
	[NR_WRITE] = CALL_WRITE,
	[NR_WRITEV] = CALL_WRITE,
	[NR_PWRITE64] = CALL_WRITE,
	[NR_PWRITEV] = CALL_WRITE,
	[NR_PWRITEV2] = CALL_WRITE,
	[NR_SENDFILE] = CALL_SENDFILE,
	[NR_SPLICE] = CALL_SPLICE,
	[NR_COPY_FILE_RANGE] = CALL_SPLICE,
#ifdef NR_OPEN
	[NR_OPEN] = CALL_OPEN,
	[NR_CREAT] = CALL_OPEN,
#endif
	[NR_OPENAT] = CALL_OPENAT,
	[NR_OPENAT2] = CALL_OPENAT,
	[NR_FSYNC] = CALL_SYNC,
	[NR_FDATASYNC] = CALL_SYNC,
	[NR_SYNC_FILE_RANGE] = CALL_SYNC,
	[NR_MSYNC] = CALL_SYNC,
	[NR_SYNCFS] = CALL_SYNC,
	[NR_SYNC] = CALL_SYNC,
	[NR_SENDTO] = CALL_SEND,
	[NR_SENDMSG] = CALL_SEND,
	[NR_SENDMMSG] = CALL_SEND,
	[NR_RECVFROM] = CALL_RECEIVE,
	[NR_RECVMSG] = CALL_RECEIVE,
	[NR_RECVMMSG] = CALL_RECEIVE,
	[NR_BIND] = CALL_BIND,
	[NR_IO_SUBMIT] = CALL_SUBMIT,
	[NR_ACCEPT] = CALL_ACCEPT,
	[NR_ACCEPT4] = CALL_ACCEPT,
};

static __always_inline __u8 class_of_call(__u32 syscall)
{
	return syscall < CLASSIFIED_CALLS ? call_classes[syscall] : CALL_ORDINARY;
}

/* What is known of a call that returns; lies on the stack of on_sys_exit. `current` made it, so `current` is who did it. */
struct call {
	struct task_struct *task;
	/* NULL if there was no memory for it. */
	struct task_state *state;
	const struct control *settings;
	/* Its arguments: call_argument_1(call->regs) … (core_compat.bpf.h). */
	struct pt_regs *regs;
	/* As the kernel has it: negative for an error, which may be one that no program ever sees (visible_error). */
	long ret;
	/* Entry until return; 0 if the entry was not seen. */
	__u64 elapsed_ns;
	__u64 process_id;
	/* Number by the 64-bit table of the architecture. */
	__u32 syscall;
	/* Copy of the maps that is being written. */
	__u32 active;
	/* CALL_… */
	__u32 class;
	/* It stands for 2^shift calls (sampling.bpf.h). */
	__u32 shift;
};

/* How the window that the call is counted in is measured. */
static __always_inline const struct window_mode *mode_of_call(const struct call *call)
{
	return mode_of(call->settings, call->active);
}

/*
 * What a call that a signal interrupted returns inside the kernel (include/linux/errno.h), and no program ever sees: on the way
 * out it becomes EINTR, or the call is made again. ERESTARTNOINTR is always made again.
 */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516
#define EINTR 4

/* Errors are -1 to -4095 (MAX_ERRNO, include/linux/err.h); anything else negative is a value, such as an address. */
#define MAX_ERRNO 4095

/* The error a program sees of a result; 0: none. */
static __always_inline __u16 visible_error(long ret)
{
	if (ret >= 0 || ret < -MAX_ERRNO || ret == -ERESTARTNOINTR)
		return 0;
	if (ret == -ERESTARTSYS || ret == -ERESTARTNOHAND || ret == -ERESTART_RESTARTBLOCK)
		return EINTR;
	return -ret;
}

#endif
