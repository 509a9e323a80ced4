// SPDX-License-Identifier: Apache-2.0
import { decodeBlock, encodeBlock, foldRows, getSignalOrThrow, OTHER, type Signal, sumsOf, type WireRow } from "@waggle/signals";
import type { WindowBlocks } from "./workload.ts";

type Row = Record<string, WireRow[string]>;

const attribution = getSignalOrThrow("agent_attribution");
const drops = getSignalOrThrow("agent_drops");
const coverage = getSignalOrThrow("agent_coverage");

/**
 * Makes one window of windows that follow each other, as an agent does that is asked for longer windows or fewer rows: what is counted adds up, a gauge
 * keeps its last value, and of the signals that kernels count small rows give up dimensions where there are more than `rowsMax`, which its agent says.
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
  const joined = new Map([...rowsOf].map(([signal, rows]) => [signal, [...rows.values()]]));
  if (rowsMax > 0) foldAll(joined, rowsMax);
  return [...joined].map(([signal, rows]) => ({ signal, block: encodeBlock(signal, rows) }));
}

/** Folds every signal that has too many rows, and lets the agent tell of it: what was merged, and how much has an owner still. */
function foldAll(joined: Map<Signal, Row[]>, rowsMax: number): void {
  const merged: Row[] = [];
  for (const [signal, rows] of joined) {
    if (signal.bpf === null || rows.length <= rowsMax) continue;
    const { rows: kept, cut } = fold(signal, rows, rowsMax);
    joined.set(signal, kept);
    merged.push({ place: signal.name, cause: "row_cap", lost: 0n, merged: BigInt(cut) });
    const owned = joined.get(attribution)?.find((row) => row["signal"] === signal.name);
    const counted = signal.kind === "histogram" ? "count" : sumsOf(signal)[0]?.name;
    if (owned === undefined || counted === undefined) continue;
    for (const [share, name] of [
      ["with_process", "process"],
      ["with_unit", "unit"],
    ] as const)
      owned[share] = kept.reduce((sum, row) => (row[name] === "" || row[name] === OTHER ? sum : sum + (row[counted] as bigint)), 0n);
  }
  const isTold = joined.get(coverage)?.some((row) => row["signal"] === drops.name && row["state"] === "exact") === true;
  if (merged.length === 0 || !isTold) return;
  const all = joined.get(drops) ?? [];
  for (const row of merged) {
    const seen = all.find(({ place, cause }) => place === row["place"] && cause === row["cause"]);
    if (seen === undefined) all.push(row);
    else addRow(drops, seen, row);
  }
  joined.set(drops, all);
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

/** Makes them at most `rowsMax`, as an agent does. */
function fold(signal: Signal, rows: Row[], rowsMax: number): { readonly rows: Row[]; readonly cut: number } {
  const measures = signal.kind === "histogram" ? ["count"] : signal.measures.map(({ name }) => name);
  return foldRows(signal, rows, rowsMax, {
    rankOf: (row) => measures.reduce((most, name) => Math.max(most, Number(row[name])), 0),
    add: (into, row) => {
      addRow(signal, into, row);
    },
  });
}
