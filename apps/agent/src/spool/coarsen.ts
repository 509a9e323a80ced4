// SPDX-License-Identifier: Apache-2.0
import type { SignalBlock, Snapshot } from "@waggle/proto";
import { decodeBlock, encodeBlock, foldRows, getSignal, type Signal, schemaHash, type WireRow } from "@waggle/signals";

export interface CoarsenOptions {
  /** Rows of one signal in the merged window; those with the smallest largest measure give up dimensions, as in any window. */
  readonly rowsMax: number;
  /** Awaited often, so that merging large windows does not hold up whatever else the process has to do. */
  readonly pause?: () => Promise<void>;
}

/** Why windows cannot be told as one, and the first that does not go with those before it. */
export interface MergeProblem {
  readonly reason: string;
  readonly index: number;
}

type Row = Record<string, WireRow[string]>;

const COVERAGE = "agent_coverage";
const UINT64_BITS = 64;

/**
 * Merges windows that follow each other into one, under the first one's sequence: counters and histograms add up, a gauge keeps the
 * value it had in the last window (0 where its key had no row there). Returns the snapshot, or in words why these windows cannot be told as one: signals in
 * different states, another version's columns, another boot.
 * @param snapshots one or more
 */
export async function mergeSnapshots(snapshots: readonly Snapshot[], options: CoarsenOptions): Promise<Snapshot | MergeProblem> {
  const first = snapshots[0] as Snapshot;
  const problem = mergeProblem(first, snapshots);
  if (problem !== undefined) return problem;
  const blocks: SignalBlock[] = [];
  for (const name of new Set(snapshots.flatMap((snapshot) => snapshot.blocks.map((block) => block.signal)))) {
    const signal = getSignal(name) as Signal;
    const merger = new RowMerger(signal);
    // One window's rows at a time: as objects they are many times as large as in the block.
    for (const snapshot of snapshots) {
      merger.add(rowsOf(signal, snapshot));
      await options.pause?.();
    }
    const rows = merger.rows(options.rowsMax);
    if (rows.length > 0)
      blocks.push({ signal: name, schemaHash: schemaHash(signal), rows: rows.length, columns: [...encodeBlock(signal, rows).columns] });
    await options.pause?.();
  }
  return {
    sequence: first.sequence,
    windowStartMs: first.windowStartMs,
    windowMs: snapshots.reduce((sum, snapshot) => sum + snapshot.windowMs, 0),
    clockOffsetMs: 0n,
    bootId: first.bootId,
    windows: snapshots.reduce((sum, snapshot) => sum + Math.max(1, snapshot.windows), 0),
    blocks,
  };
}

function mergeProblem(first: Snapshot, snapshots: readonly Snapshot[]): MergeProblem | undefined {
  let states: string | undefined;
  for (const [index, snapshot] of snapshots.entries()) {
    if (snapshot.bootId !== first.bootId) return { index, reason: "they were measured in different boots" };
    for (const block of snapshot.blocks) {
      const signal = getSignal(block.signal);
      if (signal === undefined) return { index, reason: `this agent does not know the signal ${block.signal}` };
      if (block.schemaHash !== schemaHash(signal)) return { index, reason: `${signal.name} has another version's columns` };
    }
    const mine = rowsOf(getSignal(COVERAGE) as Signal, snapshot)
      .map((row) => `${row["signal"]} ${row["state"]}`)
      .sort()
      .join("\n");
    states ??= mine;
    if (mine !== states) return { index, reason: "signals are not in the same states" };
  }
  return undefined;
}

function rowsOf(signal: Signal, { blocks }: Snapshot): Row[] {
  const block = blocks.find((candidate) => candidate.signal === signal.name);
  return block === undefined ? [] : decodeBlock(signal, block);
}

/** Merges the rows of one signal, window by window in the order of time. The rows it is given are changed. */
class RowMerger {
  readonly #signal: Signal;
  readonly #named: readonly string[];
  readonly #gauges: readonly string[];
  readonly #merged = new Map<string, Row>();
  /** Names of the rows of the newest window. */
  #newest = new Set<string>();

  constructor(signal: Signal) {
    this.#signal = signal;
    // A signal is in one state per window, and the states are equal; of reasons in other words the newest stands.
    this.#named = signal.name === COVERAGE ? signal.dimensions.slice(0, 1) : signal.dimensions;
    this.#gauges = signal.measures.filter((measure) => measure.kind === "gauge").map((measure) => measure.name);
  }

  /** Adds the next window. */
  add(rows: readonly Row[]): void {
    if (this.#gauges.length > 0) for (const row of this.#merged.values()) for (const gauge of this.#gauges) row[gauge] = 0n;
    this.#newest = new Set();
    for (const row of rows) {
      const key = this.#named.map((name) => `${(row[name] as string).length}:${row[name]}`).join("");
      this.#newest.add(key);
      const seen = this.#merged.get(key);
      if (seen === undefined) this.#merged.set(key, row);
      else addRow(this.#signal, seen, row);
    }
  }

  /** The merged rows, at most `rowsMax` of what kernels count. */
  rows(rowsMax: number): Row[] {
    const { measures, bpf } = this.#signal;
    const kept = [...this.#merged]
      // What was there before the last window, counted nothing and is gone has nothing left to say.
      .filter(([key, row]) => this.#gauges.length === 0 || this.#newest.has(key) || measures.some(({ name }) => row[name] !== 0n))
      .map(([, row]) => row);
    if (bpf === null) return kept;
    return foldRows(this.#signal, kept, rowsMax, {
      rankOf: (row) => rankOf(this.#signal, row),
      add: (into, row) => {
        addRow(this.#signal, into, row);
      },
    }).rows;
  }
}

/** Adds `row` to `into`, whose gauges are 0 where they are not to be added up. */
function addRow(signal: Signal, into: Row, row: Row): void {
  if (signal.name === COVERAGE) into["reason"] = row["reason"] as string;
  if (signal.kind !== "histogram") {
    for (const { name } of signal.measures) into[name] = sum(into[name], row[name]);
    return;
  }
  if (row["count"] === 0n) return;
  if (into["count"] === 0n || (row["min"] as bigint) < (into["min"] as bigint)) into["min"] = row["min"] as bigint;
  if (into["count"] === 0n || (row["max"] as bigint) > (into["max"] as bigint)) into["max"] = row["max"] as bigint;
  into["count"] = sum(into["count"], row["count"]);
  into["sum"] = sum(into["sum"], row["sum"]);
  const buckets = new Map<number, bigint>();
  for (const { k, c } of [into, row]) {
    (k as readonly number[]).forEach((bucket, index) => {
      buckets.set(bucket, sum(buckets.get(bucket) ?? 0n, (c as readonly bigint[])[index]));
    });
  }
  const ascending = [...buckets].sort(([a], [b]) => a - b);
  into["k"] = ascending.map(([bucket]) => bucket);
  into["c"] = ascending.map(([, count]) => count);
}

function sum(a: unknown, b: unknown): bigint {
  return BigInt.asUintN(UINT64_BITS, (a as bigint) + (b as bigint));
}

/** How large a row is: its largest measure, of a histogram its count; beyond 2^53 the last digits do not count. */
function rankOf(signal: Signal, row: Row): number {
  if (signal.kind === "histogram") return Number(row["count"]);
  return signal.measures.reduce((most, { name }) => Math.max(most, Number(row[name])), 0);
}
