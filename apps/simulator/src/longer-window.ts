// SPDX-License-Identifier: Apache-2.0
import { decodeBlock, encodeBlock, OTHER, type Signal, type WireRow } from "@waggle/signals";
import type { WindowBlocks } from "./workload.ts";

type Row = Record<string, WireRow[string]>;

/**
 * Makes one window of windows that follow each other, as an agent does that is asked for longer windows or fewer rows: what is counted adds up, a gauge
 * keeps its last value, and of the signals that kernels count rows beyond `rowsMax` go to `~other`.
 * @param windows oldest first; each is read before the next is asked for
 * @param rowsMax of one signal; 0: no limit
 */
export function joinWindows(windows: Iterable<WindowBlocks>, rowsMax: number): WindowBlocks {
  const rowsOf = new Map<Signal, Map<string, Row>>();
  for (const blocks of windows) {
    for (const [signal, rows] of rowsOf) for (const gauge of gaugesOf(signal)) for (const row of rows.values()) row[gauge] = 0n;
    for (const { signal, block } of blocks) {
      let rows = rowsOf.get(signal);
      if (rows === undefined) {
        rows = new Map();
        rowsOf.set(signal, rows);
      }
      for (const row of decodeBlock(signal, block) as Row[]) {
        const key = JSON.stringify(signal.dimensions.map((name) => row[name]));
        const seen = rows.get(key);
        if (seen === undefined) rows.set(key, row);
        else addRow(signal, seen, row);
      }
    }
  }
  return [...rowsOf].map(([signal, rows]) => {
    const all = [...rows.values()];
    return { signal, block: encodeBlock(signal, signal.bpf === null || rowsMax === 0 ? all : fold(signal, all, rowsMax)) };
  });
}

function gaugesOf(signal: Signal): string[] {
  return signal.measures.flatMap(({ name, kind }) => (kind === "gauge" ? [name] : []));
}

function addRow(signal: Signal, into: Row, row: Row): void {
  const number = (of: Row, name: string): bigint => of[name] as bigint;
  if (signal.kind !== "histogram") {
    for (const { name } of signal.measures) into[name] = number(into, name) + number(row, name);
    return;
  }
  if (number(row, "min") < number(into, "min")) into["min"] = number(row, "min");
  if (number(row, "max") > number(into, "max")) into["max"] = number(row, "max");
  for (const name of ["count", "sum"]) into[name] = number(into, name) + number(row, name);
  const buckets = new Map<number, bigint>();
  for (const { k, c } of [into, row]) {
    for (const [index, bucket] of (k as readonly number[]).entries())
      buckets.set(bucket, (buckets.get(bucket) ?? 0n) + ((c as readonly bigint[])[index] as bigint));
  }
  into["k"] = [...buckets.keys()].sort((a, b) => a - b);
  into["c"] = (into["k"] as number[]).map((bucket) => buckets.get(bucket) as bigint);
}

/** Keeps the rows whose largest measure is largest. */
function fold(signal: Signal, rows: Row[], rowsMax: number): Row[] {
  if (rows.length <= rowsMax) return rows;
  const measures = signal.kind === "histogram" ? ["count"] : signal.measures.map(({ name }) => name);
  const rank = (row: Row): bigint => measures.reduce((most, name) => ((row[name] as bigint) > most ? (row[name] as bigint) : most), 0n);
  const ranked = rows.map((row) => ({ row, rank: rank(row) })).sort((a, b) => (a.rank > b.rank ? -1 : a.rank < b.rank ? 1 : 0));
  const [other, ...folded] = ranked.splice(Math.max(0, rowsMax - 1)).map(({ row }) => row) as [Row, ...Row[]];
  for (const name of signal.dimensions) other[name] = OTHER;
  for (const row of folded) addRow(signal, other, row);
  return [...ranked.map(({ row }) => row), other];
}
