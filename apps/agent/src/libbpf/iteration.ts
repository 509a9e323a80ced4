// SPDX-License-Identifier: Apache-2.0
import { closeSync, read } from "node:fs";
import { BpfError } from "./error.ts";
import { addressOf, getLibbpf, getLibc, NativeBuffer } from "./symbols.ts";

/** enum bpf_attach_type */
const BPF_TRACE_ITER = 28;
/** struct bpf_link_create_opts of libbpf 1.x: size, flags, iter_info at byte 16, its length at byte 24. */
const OPTIONS_BYTES = 32;
const ITER_INFO_AT = 16;
const ITER_INFO_BYTES_AT = 24;
/** union bpf_iter_link_info: { tid, pid, pid_fd }. */
const INFO_BYTES = 12;
const CHUNK_BYTES = 64 * 1024;

/** What an iterator walks over: what one thread has, or everything. */
export type IterationTarget = { readonly tid: number } | "all";

/**
 * Walks once with an iterator program over a target, on a worker thread, and returns what the program wrote: a thread that keeps its mappings locked holds the
 * walk up, and must not hold up more than that.
 * Throws a BpfError{op: "iter_attach" | "iter_create" | "iter_read"}; ESRCH at `iter_attach` for a thread that is gone.
 * @param bytesMax bytes after which the walk is given up; what was written so far is returned
 */
export async function iterate(programFd: number, program: string, target: IterationTarget, bytesMax: number): Promise<Buffer> {
  const linkFd = attach(programFd, program, target);
  try {
    const fd = getLibbpf().bpf_iter_create(linkFd);
    if (fd < 0) throw new BpfError("iter_create", -fd, program);
    try {
      return await readAll(fd, program, bytesMax);
    } finally {
      closeSync(fd);
    }
  } finally {
    getLibc().close(linkFd);
  }
}

function attach(programFd: number, program: string, target: IterationTarget): number {
  using info = new NativeBuffer(INFO_BYTES);
  const options = Buffer.alloc(OPTIONS_BYTES);
  options.writeBigUInt64LE(BigInt(OPTIONS_BYTES), 0);
  if (target !== "all") {
    const bytes = Buffer.alloc(INFO_BYTES);
    bytes.writeUInt32LE(target.tid, 0);
    info.bytes().set(bytes);
    options.writeBigUInt64LE(addressOf(info.pointer), ITER_INFO_AT);
    options.writeUInt32LE(INFO_BYTES, ITER_INFO_BYTES_AT);
  }
  const fd = getLibbpf().bpf_link_create(programFd, 0, BPF_TRACE_ITER, options);
  if (fd < 0) throw new BpfError("iter_attach", -fd, program);
  return fd;
}

/** Reused by all walks, which take turns: a buffer for each would be most of what the agent allocates. */
const chunk = Buffer.alloc(CHUNK_BYTES);
let turn: Promise<unknown> = Promise.resolve();

function readAll(fd: number, program: string, bytesMax: number): Promise<Buffer> {
  const result = turn.then(() => readInTurn(fd, program, bytesMax));
  turn = result.catch(() => {});
  return result;
}

async function readInTurn(fd: number, program: string, bytesMax: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let total = 0; total < bytesMax; ) {
    const bytes = await new Promise<number>((resolve, reject) => {
      read(fd, chunk, 0, chunk.length, null, (error, count) => {
        if (error === null) resolve(count);
        // The kernel pauses after a million objects without output; reading on goes on.
        else if (error.code === "EAGAIN") resolve(-1);
        else reject(new BpfError("iter_read", -(error.errno ?? -5), program));
      });
    });
    if (bytes === 0) break;
    if (bytes > 0) parts.push(Buffer.from(chunk.subarray(0, bytes)));
    total += Math.max(0, bytes);
  }
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}
