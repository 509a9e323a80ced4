// SPDX-License-Identifier: Apache-2.0
import type { Snapshot } from "@waggle/proto";
import { bucketIndex, type CoverageState, encodeBlock, getSignalOrThrow, hostSignals, type Signal, schemaHash, type WireRow } from "@waggle/signals";

/** Numbers from 0 to 1 that follow from the seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Rows of a signal with up to `keysMax` of ever the same names; counts of any size, also 0. */
export function madeUpRows(signal: Signal, random: () => number, keysMax: number): WireRow[] {
  const rows: WireRow[] = [];
  for (let key = 0; key < keysMax; key++) {
    if (random() < 0.4) continue;
    const names = Object.fromEntries(signal.dimensions.map((name) => [name, key === 0 ? "~other" : `${name}-${key}`]));
    if (signal.kind === "histogram") {
      const values = Array.from({ length: 1 + Math.floor(random() * 4) }, () => BigInt(Math.floor(random() * 1e9)));
      const buckets = new Map<number, bigint>();
      for (const value of values) buckets.set(bucketIndex(value), (buckets.get(bucketIndex(value)) ?? 0n) + 1n);
      const sorted = [...values].sort((a, b) => (a < b ? -1 : 1));
      const k = [...buckets.keys()].sort((a, b) => a - b);
      rows.push({
        ...names,
        count: BigInt(values.length),
        sum: values.reduce((sum, value) => sum + value, 0n),
        min: sorted[0] as bigint,
        max: sorted.at(-1) as bigint,
        k,
        c: k.map((bucket) => buckets.get(bucket) as bigint),
      });
    } else {
      const measures = signal.measures.map(({ name }) => [name, random() < 0.3 ? 0n : BigInt(Math.floor(random() * 2 ** 40))]);
      rows.push({ ...names, ...Object.fromEntries(measures) });
    }
  }
  return rows;
}

export interface MadeUpWindow {
  readonly startMs: number;
  readonly windowMs?: number;
  readonly sequence?: number;
  /** By signal; others have no rows. */
  readonly rows?: Readonly<Record<string, readonly WireRow[]>>;
  /** Of all kernel signals. */
  readonly state?: CoverageState;
  readonly reason?: string;
  readonly bootId?: string;
}

/** A snapshot as the agent makes it: the rows, and the coverage of each signal. */
export function madeUpSnapshot({
  startMs,
  windowMs = 10_000,
  sequence = 1,
  rows = {},
  state = "exact",
  reason = "",
  bootId = "boot",
}: MadeUpWindow): Snapshot {
  const coverage = hostSignals.map((signal) => ({ signal: signal.name, state: signal.bpf === null ? "exact" : state, reason, windows: 1n }));
  const blocks = Object.entries({ ...rows, agent_coverage: coverage }).map(([name, some]) => {
    const signal = getSignalOrThrow(name);
    return { signal: name, schemaHash: schemaHash(signal), rows: some.length, columns: [...encodeBlock(signal, some).columns] };
  });
  return { sequence: BigInt(sequence), windowStartMs: BigInt(startMs), windowMs, clockOffsetMs: 0n, bootId, windows: 1, blocks };
}
