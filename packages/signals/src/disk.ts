// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

const caveats = [
  "Devices that pass on what they get and queue nothing themselves (LVM and other device mapper, md, zram) have no requests: what goes through them shows at the disks below.",
  "Commands that bypass the block layer's statistics (SG_IO, SMART) are not counted.",
];

export const blockIo: Signal = {
  name: "block_io",
  family: "disk",
  kind: "counter",
  question: "What does each disk do, how often, how many bytes?",
  help: "Requests that a disk completed, by operation. Neighbouring reads or writes that the kernel merged are one request; a flush is what asked for it, not each step.",
  dimensions: ["device", "operation"],
  measures: [
    { name: "count", kind: "sum", unit: "operations", help: "Requests completed, failed ones included." },
    { name: "bytes", kind: "sum", unit: "bytes", help: "Bytes of them, as /proc/diskstats counts them: those of failed requests included." },
  ],
  distribution: null,
  hooks: ["tp_btf/block_rq_complete"],
  bpf: { map: "block_io", bucketed: false, programs: ["on_block_rq_complete"] },
  caveats,
};

export const blockLatency: Signal = {
  name: "block_latency",
  family: "disk",
  kind: "histogram",
  question: "How long do disks take?",
  help: "Time between the making of a request and its completion, by disk and operation: in the I/O scheduler, in the driver and in the device.",
  dimensions: ["device", "operation"],
  measures: [],
  distribution: { name: "latency", unit: "ns", countUnit: "operations", help: "Made until completed." },
  hooks: ["tp_btf/block_rq_complete"],
  bpf: { map: "block_latency", bucketed: true, programs: ["on_block_rq_complete"] },
  caveats: [
    ...caveats,
    "Requests of a disk whose statistics are switched off (queue/iostats = 0) have no start time: block_io has them, this has not.",
  ],
};

export const blockErrors: Signal = {
  name: "block_errors",
  family: "disk",
  kind: "counter",
  question: "Which disks fail, at what?",
  help: "Requests, or parts of them, that ended with an error, by disk and operation.",
  dimensions: ["device", "operation", "errno"],
  measures: [{ name: "count", kind: "sum", unit: "errors", help: "Completions with an error." }],
  distribution: null,
  hooks: ["tp_btf/block_rq_complete"],
  bpf: { map: "block_errors", bucketed: false, programs: ["on_block_rq_complete"] },
  caveats,
};

/** What block devices take and how long. */
export const diskSignals: readonly Signal[] = [blockIo, blockLatency, blockErrors];
