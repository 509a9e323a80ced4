// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

const unseen = "What is submitted through io_uring, and calls of 32-bit programs, are not seen.";
const crowded = "In a window with more files than there is room for, the further files of a process are one row with file `~other`.";

export const fileIo: Signal = {
  name: "file_io",
  family: "file",
  kind: "counter",
  question: "Which process reads and writes which files, how much?",
  help: "Bytes and calls that read or wrote regular files, by process and file: read and write with all their variants, and sendfile, splice and copy_file_range, and requests of Linux AIO.",
  dimensions: ["process", "unit", "file"],
  measures: [
    { name: "read_bytes", kind: "sum", unit: "bytes", help: "Bytes that calls read, out of memory or from the device." },
    { name: "written_bytes", kind: "sum", unit: "bytes", help: "Bytes that calls wrote; the kernel brings them to the device later." },
    { name: "reads", kind: "sum", unit: "calls", help: "Calls that read, without those that failed." },
    { name: "writes", kind: "sum", unit: "calls", help: "Calls that wrote, without those that failed." },
  ],
  distribution: null,
  hooks: ["tp_btf/sys_exit"],
  bpf: { map: "file_io", bucketed: false, programs: ["on_sys_exit"] },
  caveats: [
    "Bytes that move through mapped memory (mmap) make no call and are not seen.",
    unseen,
    "Requests of Linux AIO (io_submit) count when they are submitted, with the bytes that were asked for; of one submission the first 16.",
    "A call counts for what its descriptor stands for when it returns; if another thread has closed the descriptor by then, it does not count.",
    crowded,
  ],
};

export const fileOpens: Signal = {
  name: "file_opens",
  family: "file",
  kind: "counter",
  question: "Which process opens which files, and what can it not open?",
  help: "Calls of open, openat, openat2 and creat by process, file and result. What failed is named as the program wrote it, which may be relative to its directory; what was opened is named by its path.",
  dimensions: ["process", "unit", "file", "result"],
  measures: [{ name: "count", kind: "sum", unit: "calls", help: "Calls that returned." }],
  distribution: null,
  hooks: ["tp_btf/sys_exit"],
  bpf: { map: "file_opens", bucketed: false, programs: ["on_sys_exit"] },
  caveats: [
    unseen,
    "What the kernel opens to execute it, and what is opened by a handle (open_by_handle_at), is not here.",
    `${crowded} Files that were opened have half the room, so that a walk through a file system does not hide what fails; errors stay exact by process and result.`,
  ],
};

export const fsyncLatency: Signal = {
  name: "fsync_latency",
  family: "file",
  kind: "histogram",
  question: "How long do processes wait until what they wrote is on its device?",
  help: "Duration of fsync, fdatasync, sync_file_range, syncfs, msync and sync, by process, operation and file. Calls that failed count as well, but for those on descriptors that cannot be synced (EBADF, EINVAL).",
  dimensions: ["process", "unit", "operation", "file"],
  measures: [],
  distribution: { name: "latency", unit: "ns", countUnit: "calls", help: "Entry until return." },
  hooks: ["tp_btf/sys_enter", "tp_btf/sys_exit"],
  bpf: { map: "fsync_latency", bucketed: true, programs: ["on_sys_enter", "on_sys_exit"] },
  caveats: [
    "msync and sync have no file.",
    "Writes to files opened with O_SYNC or O_DSYNC wait as well, in the write itself, and a sync that Linux AIO submits is not seen.",
    unseen,
    crowded,
  ],
};

/** What is read, written, opened and synced, by file. */
export const fileSignals: readonly Signal[] = [fileIo, fileOpens, fsyncLatency];
