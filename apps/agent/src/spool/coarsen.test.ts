// SPDX-License-Identifier: Apache-2.0
import type { Snapshot } from "@waggle/proto";
import { checkBlock, decodeBlock, getSignalOrThrow, hostSignals, type Signal, type WireRow } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { madeUpRows, madeUpSnapshot, randomFrom } from "../../test/support/windows.ts";
import { mergeSnapshots } from "./coarsen.ts";

const minute = 1_700_000_040_000;
const connections = getSignalOrThrow("tcp_connections");

function rowsOf(snapshot: Snapshot, signal: Signal): Record<string, WireRow[string]>[] {
  const block = snapshot.blocks.find((candidate) => candidate.signal === signal.name);
  return block === undefined ? [] : decodeBlock(signal, block);
}

async function merge(snapshots: readonly Snapshot[], rowsMax = 2_000): Promise<Snapshot> {
  const merged = await mergeSnapshots(snapshots, { rowsMax });
  if ("reason" in merged) throw new Error(merged.reason);
  return merged;
}

/** Everything about rows that adding them up must not change: sums of sums, of histograms' counts, sums and buckets. */
function totals(signal: Signal, rows: readonly Record<string, WireRow[string]>[]): Record<string, bigint> {
  const out: Record<string, bigint> = {};
  const add = (name: string, value: bigint): void => {
    out[name] = (out[name] ?? 0n) + value;
  };
  for (const row of rows) {
    if (signal.kind === "histogram") {
      add("count", row["count"] as bigint);
      add("sum", row["sum"] as bigint);
      (row["k"] as number[]).forEach((bucket, index) => {
        add(`bucket ${bucket}`, (row["c"] as bigint[])[index] as bigint);
      });
    } else for (const measure of signal.measures) if (measure.kind === "sum") add(measure.name, row[measure.name] as bigint);
  }
  return Object.fromEntries(Object.entries(out).filter(([, value]) => value !== 0n));
}

function connection(process: string, bytes: bigint, active: bigint): WireRow {
  const names = Object.fromEntries(connections.dimensions.map((name) => [name, name]));
  return { ...names, ...Object.fromEntries(connections.measures.map(({ name }) => [name, 0n])), process, bytes_sent: bytes, active };
}

describe("mergeSnapshots", () => {
  it.each([1, 2, 3, 4, 5, 6])("conserves what was counted, in blocks that the API's checks accept (seed %i)", async (seed) => {
    const random = randomFrom(seed);
    const snapshots = Array.from({ length: 6 }, (_, index) => {
      const rows = Object.fromEntries(
        hostSignals.filter((signal) => signal.bpf !== null).map((signal) => [signal.name, madeUpRows(signal, random, 30)]),
      );
      return madeUpSnapshot({ startMs: minute + index * 10_000, sequence: 7 + index, rows });
    });
    for (const rowsMax of [2_000, 10, 1]) {
      const merged = await merge(snapshots, rowsMax);
      expect(merged).toMatchObject({ sequence: 7n, windowStartMs: BigInt(minute), windowMs: 60_000, windows: 6, bootId: "boot" });
      for (const block of merged.blocks) expect(checkBlock(getSignalOrThrow(block.signal), block)).toBeUndefined();
      for (const signal of hostSignals.filter((candidate) => candidate.bpf !== null)) {
        const before = snapshots.flatMap((snapshot) => rowsOf(snapshot, signal));
        const after = rowsOf(merged, signal);
        expect(totals(signal, after), signal.name).toEqual(totals(signal, before));
        expect(after.length, signal.name).toBeLessThanOrEqual(rowsMax);
        const names = after.map((row) => signal.dimensions.map((name) => row[name]).join("\n"));
        expect(new Set(names).size, signal.name).toBe(names.length);
        if (signal.kind === "histogram") {
          const extreme = (rows: typeof after, name: string, most: 1 | -1) =>
            rows.map((row) => row[name] as bigint).sort((a, b) => (a < b ? most : -most))[0];
          expect(extreme(after, "min", -1)).toBe(extreme(before, "min", -1));
          expect(extreme(after, "max", 1)).toBe(extreme(before, "max", 1));
        }
      }
    }
  });

  it("comes to the same in one step and in several", async () => {
    const random = randomFrom(42);
    const snapshots = Array.from({ length: 6 }, (_, index) => {
      const rows = { tcp_connections: madeUpRows(connections, random, 12), tcp_rtt: madeUpRows(getSignalOrThrow("tcp_rtt"), random, 12) };
      return madeUpSnapshot({ startMs: minute + index * 10_000, rows });
    });
    const atOnce = await merge(snapshots);
    const inSteps = await merge([await merge(snapshots.slice(0, 2)), await merge(snapshots.slice(2, 5)), ...snapshots.slice(5)]);
    for (const name of ["tcp_connections", "tcp_rtt", "agent_coverage"]) {
      const signal = getSignalOrThrow(name);
      const sorted = (snapshot: Snapshot) =>
        rowsOf(snapshot, signal).sort((a, b) =>
          signal.dimensions.map((name) => a[name]).join() < signal.dimensions.map((name) => b[name]).join() ? -1 : 1,
        );
      expect(sorted(inSteps)).toEqual(sorted(atOnce));
    }
    expect(inSteps).toMatchObject({ windows: 6, windowMs: 60_000 });
  });

  it("lets a gauge be what it was in the last window: 0 where its key is gone, and no row where nothing else is left of it", async () => {
    const merged = await merge([
      madeUpSnapshot({
        startMs: minute,
        rows: { tcp_connections: [connection("stays", 5n, 3n), connection("closed", 7n, 1n), connection("idle", 0n, 4n)] },
      }),
      madeUpSnapshot({ startMs: minute + 10_000, rows: { tcp_connections: [connection("stays", 1n, 2n), connection("new", 0n, 9n)] } }),
    ]);
    const seen = rowsOf(merged, connections).map(({ process, bytes_sent, active }) => [process, bytes_sent, active]);
    expect(seen).toEqual([
      ["stays", 6n, 2n],
      ["closed", 7n, 0n],
      ["new", 0n, 9n],
    ]);
  });

  it("says of each signal in how many windows it was in its state", async () => {
    const coverage = getSignalOrThrow("agent_coverage");
    const snapshots = [0, 1, 2].map((index) => madeUpSnapshot({ startMs: minute + index * 10_000, state: "shed", reason: `${index} bytes` }));
    const merged = rowsOf(await merge(snapshots), coverage);
    expect(merged).toEqual(rowsOf(snapshots[2] as Snapshot, coverage).map((row) => ({ ...row, windows: 3n })));
    expect(merged.find(({ signal }) => signal === "tcp_rtt")).toMatchObject({ state: "shed", reason: "2 bytes" });
  });

  it("keeps apart what was measured differently, and says from where on", async () => {
    const exact = madeUpSnapshot({ startMs: minute });
    const options = { rowsMax: 100 };
    const other = { startMs: minute + 10_000 };
    expect(await mergeSnapshots([exact, exact, madeUpSnapshot({ ...other, state: "failed" })], options)).toMatchObject({
      index: 2,
      reason: "signals are not in the same states",
    });
    expect(await mergeSnapshots([exact, madeUpSnapshot({ ...other, bootId: "another" })], options)).toMatchObject({ index: 1 });
    const older = { ...exact, blocks: exact.blocks.map((block) => ({ ...block, schemaHash: "0".repeat(16) })) };
    expect(await mergeSnapshots([older, exact], options)).toMatchObject({ index: 0, reason: expect.stringContaining("another version") });
    const newer = { ...exact, blocks: [{ signal: "of_tomorrow", schemaHash: "", rows: 0, columns: [] }, ...exact.blocks] };
    expect(await mergeSnapshots([exact, newer], options)).toMatchObject({ index: 1, reason: expect.stringContaining("of_tomorrow") });
  });
});
