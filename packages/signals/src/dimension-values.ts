// SPDX-License-Identifier: Apache-2.0

/** States a signal can be in for one window on one host, best first. */
export const coverageStates = ["exact", "fallback", "sampled", "shed", "disabled", "unsupported", "failed"] as const;
export type CoverageState = (typeof coverageStates)[number];

/** States in which rows are real measurements, so that an absent row means zero. */
export const reportingStates: readonly CoverageState[] = ["exact", "fallback", "sampled"];

/**
 * How full the store is, worst last. warn: said; coarsen: agents are asked for longer windows; drop: the oldest raw rows go, so that
 * new ones can come.
 */
export const storageStates = ["ok", "warn", "coarsen", "drop"] as const;
export type StorageState = (typeof storageStates)[number];

/**
 * All that dimensions with few values can be, besides empty (unknown) and `~other`; in the order of the numbers in BPF keys, where they have some. A filter on another value
 * is a mistake. Rows may still have one, from an agent of another version: ingest takes any text, and a filter in quotes finds it.
 */
export const dimensionValues = {
  role: ["client", "server"],
  class: ["other", "fast", "timeout", "tlp", "syn", "synack"],
  direction: ["sent", "received"],
  operation: ["other", "read", "write", "flush", "discard", "fsync", "fdatasync", "sync_file_range", "msync", "syncfs", "sync"],
  /** enum tcp_ca_state (include/uapi/linux/tcp.h), which programs outside the kernel read too, so it does not change. */
  congestion_state: ["open", "disorder", "cwr", "recovery", "loss"],
  resource: ["cpu", "memory", "io", "irq"],
  state: [...coverageStates, ...storageStates],
} as const;
