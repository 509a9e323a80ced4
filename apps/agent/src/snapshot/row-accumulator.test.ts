// SPDX-License-Identifier: Apache-2.0

import type { Signal } from "@waggle/signals";
import { BUCKET_COUNT, BUCKET_NONE, checkBlock, decodeBlock, encodeBlock, getSignalOrThrow, type WireRow } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { readKernelNames } from "../kernel/kernel-names.ts";
import type { StructLayout } from "../libbpf/btf.ts";
import type { DimensionNames } from "./dimension-text.ts";
import { KeyRows } from "./key-rows.ts";
import { ProcessRegistry } from "./process-registry.ts";
import { RowAccumulator } from "./row-accumulator.ts";

const u64 = (name: string, offset: number) => ({ name, offset, size: 8, type: "__u64" });
const layouts = new Map<string, StructLayout>(
  [
    {
      name: "syscall_latency_key",
      size: 16,
      fields: [u64("process_id", 0), { name: "syscall", offset: 8, size: 4, type: "__u32" }, { name: "bucket", offset: 12, size: 2, type: "__u16" }],
    },
    { name: "syscall_latency_value", size: 32, fields: [u64("count", 0), u64("sum", 8), u64("min", 16), u64("max", 24)] },
  ].map((layout) => [layout.name, layout]),
);
const registryWith = (...names: string[]): ProcessRegistry => {
  const registry = new ProcessRegistry({ unitOf: () => "" });
  const layout: StructLayout = {
    name: "process",
    size: 48,
    fields: [
      { name: "comm", offset: 0, size: 16, type: "char[16]" },
      u64("cgroup_id", 16),
      { name: "v1_group_ids", offset: 24, size: 16, type: "__u64[2]" },
      { name: "tgid", offset: 40, size: 4, type: "__u32" },
    ],
  };
  names.forEach((name, index) => {
    const key = Buffer.alloc(8);
    key.writeBigUInt64LE(BigInt(index + 2));
    const value = Buffer.alloc(48);
    value.write(name);
    registry.add(key, value, 1, layout);
  });
  return registry;
};
type Entry = [processId: bigint, syscall: number, bucket: number, count: bigint, sum: bigint, min: bigint, max: bigint];
function pack(entries: Entry[]): [Buffer, Buffer, number] {
  const keys = Buffer.alloc(entries.length * 16);
  const values = Buffer.alloc(entries.length * 32);
  entries.forEach(([processId, syscall, bucket, ...numbers], index) => {
    keys.writeBigUInt64LE(processId, index * 16);
    keys.writeUInt32LE(syscall, index * 16 + 8);
    keys.writeUInt16LE(bucket, index * 16 + 12);
    for (const [at, number] of numbers.entries()) values.writeBigUInt64LE(number, index * 32 + at * 8);
  });
  return [keys, values, entries.length];
}
const latency = getSignalOrThrow("syscall_latency");
const syscalls = getSignalOrThrow("syscalls");
const read = process.arch === "arm64" ? 63 : 0;
const total = (rows: WireRow[]): bigint => rows.reduce((sum, row) => sum + (row.count as bigint), 0n);

const accumulate = (signal: Signal, registry: ProcessRegistry, structs: typeof layouts, names: DimensionNames): RowAccumulator =>
  new RowAccumulator(new KeyRows(signal, registry, structs, names), structs);

const dimensionNames = { text: () => "", device: String, kernel: readKernelNames(null) };

describe("RowAccumulator", () => {
  it("leaves nothing in the arrays that it gives back to the next window", () => {
    const keys = new KeyRows(latency, registryWith("nginx", "redis"), layouts, dimensionNames);
    const first = new RowAccumulator(keys, layouts);
    first.add(
      ...pack([
        [2n, read, 90, 3n, 9000n, 2500n, 3500n],
        [3n, read, 91, 2n, 8000n, 3600n, 4400n],
      ]),
    );
    expect(first.encoded(10).rows).toBe(2);
    first.release();
    const second = new RowAccumulator(keys, layouts);
    second.add(...pack([[3n, read, 70, 1n, 5000n, 5000n, 5000n]]));
    const { rows, columns } = second.encoded(10);
    expect(decodeBlock(latency, { rows, columns })).toEqual([
      { process: "redis", unit: "", syscall: "read", count: 1n, sum: 5000n, min: 5000n, max: 5000n, k: [70], c: [1n] },
    ]);
  });

  it("makes one histogram of the buckets of a key, over several batches, with ascending indexes", () => {
    const accumulator = accumulate(latency, registryWith("nginx"), layouts, dimensionNames);
    accumulator.add(...pack([[2n, read, 90, 3n, 9000n, 2500n, 3500n]]));
    accumulator.add(
      ...pack([
        [2n, read, 80, 1n, 1100n, 1100n, 1100n],
        [2n, read, 90, 1n, 2400n, 2400n, 2400n],
      ]),
    );
    const rows = accumulator.rows(10);
    expect(rows).toEqual([
      { process: "nginx", unit: "", syscall: "read", count: 5n, sum: 12_500n, min: 1100n, max: 3500n, k: [80, 90], c: [1n, 4n] },
    ]);
    expect(checkBlock(latency, encodeBlock(latency, rows))).toBeUndefined();
  });

  it("counts an event without a duration in the counter and not in the histogram", () => {
    const entries = pack([
      [2n, read, 80, 4n, 4400n, 1100n, 1100n],
      [2n, read, BUCKET_NONE, 3n, 0n, 0n, 0n],
    ]);
    const registry = registryWith("nginx");
    const [counter, histogram] = [accumulate(syscalls, registry, layouts, dimensionNames), accumulate(latency, registry, layouts, dimensionNames)];
    counter.add(...entries);
    histogram.add(...entries);
    expect(counter.rows(10)).toEqual([{ process: "nginx", unit: "", syscall: "read", count: 7n }]);
    expect(histogram.rows(10)).toMatchObject([{ count: 4n, min: 1100n }]);
  });

  it("shows process 0 and an id that never registered as unknown, and counts the latter", () => {
    const accumulator = accumulate(syscalls, registryWith("nginx"), layouts, dimensionNames);
    accumulator.add(
      ...pack([
        [0n, read, 80, 2n, 1n, 1n, 1n],
        [99n, read, 80, 5n, 1n, 1n, 1n],
      ]),
    );
    expect(accumulator.rows(10)).toEqual([{ process: "", unit: "", syscall: "read", count: 7n }]);
    expect(accumulator.unregistered).toBe(5n);
  });

  it("counts events under an id that never registered where the first measure is time or bytes", () => {
    const cpuTime = getSignalOrThrow("cpu_time");
    const structs = new Map<string, StructLayout>([
      ["cpu_time_key", { name: "cpu_time_key", size: 8, fields: [u64("process_id", 0)] }],
      ["cpu_time_value", { name: "cpu_time_value", size: 32, fields: cpuTime.measures.map(({ name }, index) => u64(name, index * 8)) }],
    ]);
    const accumulator = accumulate(cpuTime, registryWith("nginx"), structs, dimensionNames);
    const [key, value] = [Buffer.alloc(8), Buffer.alloc(32)];
    key.writeBigUInt64LE(99n);
    for (const [index, number] of [48_000_000n, 7_000_000n, 5n, 3n].entries()) value.writeBigUInt64LE(number, index * 8);
    accumulator.add(key, value, 1);
    expect(cpuTime.measures.map(({ name }) => name)).toEqual(["user", "system", "voluntary_switches", "involuntary_switches"]);
    expect(accumulator.unregistered).toBe(5n);
  });

  it("caps rows by the largest measure and conserves every sum in ~other", () => {
    const names = Array.from({ length: 10 }, (_, index) => `p${index}`);
    for (const signal of [syscalls, latency]) {
      const accumulator = accumulate(signal, registryWith(...names), layouts, dimensionNames);
      accumulator.add(
        ...pack(names.map((_, index): Entry => [BigInt(index + 2), read, 80 + index, BigInt(index + 1), 10n, BigInt(index + 5), BigInt(index + 50)])),
      );
      const rows = accumulator.rows(4);
      expect(rows.map((row) => row.process)).toEqual(["p7", "p8", "p9", "~other"]);
      expect(total(rows)).toBe(55n);
      expect(rows.at(-1)).toMatchObject({ process: "~other", unit: "", syscall: "~other", count: 28n });
      expect(accumulator.rows(4), "asked again").toEqual(rows);
      if (signal === latency) expect(rows.at(-1)).toMatchObject({ min: 5n, max: 56n, k: [80, 81, 82, 83, 84, 85, 86] });
      const encoded = accumulator.encoded(4);
      const byProcess = (a: WireRow, b: WireRow): number => String(a.process).localeCompare(String(b.process));
      expect(decodeBlock(signal, encoded).sort(byProcess), "as they go over the wire").toEqual(rows.toSorted(byProcess));
      expect(encoded.owned).toEqual({ counted: 55n, withProcess: 27n, withUnit: 0n });
      expect(accumulator.cut).toBe(7);
    }
  });

  it("joins buckets of one row that came in several batches, and cuts texts that the wire does not take", () => {
    const accumulator = accumulate(latency, registryWith("nginx", "ü".repeat(7)), layouts, dimensionNames);
    accumulator.add(...pack([[3n, read, 90, 3n, 9000n, 2500n, 3500n]]));
    accumulator.add(
      ...pack([
        [2n, read, 80, 1n, 1100n, 1100n, 1100n],
        [3n, read, 90, 1n, 2400n, 2400n, 2400n],
        [3n, read, 85, 2n, 3000n, 1500n, 1500n],
      ]),
    );
    const encoded = accumulator.encoded(10);
    expect(checkBlock(latency, encoded)).toBeUndefined();
    expect(decodeBlock(latency, encoded)).toEqual([
      { process: "ü".repeat(7), unit: "", syscall: "read", count: 6n, sum: 14_400n, min: 1500n, max: 3500n, k: [85, 90], c: [2n, 4n] },
      { process: "nginx", unit: "", syscall: "read", count: 1n, sum: 1100n, min: 1100n, max: 1100n, k: [80], c: [1n] },
    ]);
    const names = { ...dimensionNames, text: () => `/${"ü".repeat(400)}` };
    const fileLayouts = new Map<string, StructLayout>(
      [
        {
          name: "file_opens_key",
          size: 24,
          fields: [u64("process_id", 0), u64("file_id", 8), { name: "result", offset: 16, size: 4, type: "__u32" }],
        },
        { name: "file_opens_value", size: 8, fields: [u64("count", 0)] },
      ].map((layout) => [layout.name, layout]),
    );
    const opens = accumulate(getSignalOrThrow("file_opens"), registryWith("nginx"), fileLayouts, names);
    const key = Buffer.alloc(24);
    key.writeBigUInt64LE(2n);
    key.writeBigUInt64LE(5n, 8);
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(3n);
    opens.add(key, value, 1);
    expect(checkBlock(getSignalOrThrow("file_opens"), opens.encoded(10))).toBeUndefined();
  });

  it("sums rows of watched processes last, and stays within the cap when even they are too many", () => {
    const names = Array.from({ length: 10 }, (_, index) => `p${index}`);
    const entries = names.map(
      (_, index): Entry => [BigInt(index + 2), read, 80 + index, BigInt(index + 1), 10n, BigInt(index + 5), BigInt(index + 50)],
    );
    for (const signal of [syscalls, latency]) {
      const capped = (watched: string[]) => {
        const accumulator = accumulate(signal, registryWith(...names), layouts, dimensionNames);
        accumulator.add(...pack(entries));
        return accumulator.rows(4, new Set(watched));
      };
      const rows = capped(["p0", "p3", "absent"]);
      expect(rows.map((row) => row.process)).toEqual(["p0", "p3", "p9", "~other"]);
      expect(total(rows)).toBe(55n);
      expect(capped(names.slice(0, 6)).map((row) => row.process)).toEqual(["p3", "p4", "p5", "~other"]);
    }
  });

  it("puts what had no room in the map into ~other, bucket by bucket", () => {
    const slots = Buffer.alloc((BUCKET_COUNT + 1) * 32);
    for (let slot = 0; slot <= BUCKET_COUNT; slot++) slots.writeBigUInt64LE((1n << 64n) - 1n, slot * 32 + 16);
    const fill = (slot: number, numbers: bigint[]) => {
      for (const [at, number] of numbers.entries()) slots.writeBigUInt64LE(number, slot * 32 + at * 8);
    };
    fill(0, [1n, 1n, 1n, 1n]);
    fill(80, [2n, 2200n, 1050n, 1150n]);
    fill(BUCKET_COUNT, [4n, 0n, 0n, 0n]);
    const registry = registryWith();
    const [counter, histogram] = [accumulate(syscalls, registry, layouts, dimensionNames), accumulate(latency, registry, layouts, dimensionNames)];
    counter.addOther(slots, BUCKET_COUNT + 1);
    histogram.addOther(slots, BUCKET_COUNT + 1);
    expect(counter.rows(10)).toEqual([{ process: "~other", unit: "~other", syscall: "~other", count: 7n }]);
    expect(histogram.rows(10)).toMatchObject([{ process: "~other", count: 3n, sum: 2201n, min: 1n, max: 1150n, k: [0, 80], c: [1n, 2n] }]);
  });

  it("makes one row of keys that differ in bytes and read alike, and keeps it apart from other processes'", () => {
    const fileLayouts = new Map<string, StructLayout>(
      [
        { name: "file_io_key", size: 16, fields: [u64("process_id", 0), u64("file_id", 8)] },
        {
          name: "file_io_value",
          size: 32,
          fields: [u64("read_bytes", 0), u64("written_bytes", 8), u64("reads", 16), u64("writes", 24)],
        },
      ].map((layout) => [layout.name, layout]),
    );
    const entries = [
      [2n, 5n, 11n, 0n, 1n, 0n],
      [2n, 6n, 13n, 17n, 1n, 1n],
      [2n, 7n, 19n, 0n, 1n, 0n],
      [3n, 6n, 23n, 0n, 1n, 0n],
    ];
    const keys = Buffer.from(BigUint64Array.from(entries.flatMap((entry) => entry.slice(0, 2))).buffer);
    const values = Buffer.from(BigUint64Array.from(entries.flatMap((entry) => entry.slice(2))).buffer);
    const names = { ...dimensionNames, text: (id: number) => (id === 7 ? "/b" : "/a") };
    const accumulator = accumulate(getSignalOrThrow("file_io"), registryWith("nginx", "redis"), fileLayouts, names);
    accumulator.add(keys, values, entries.length);
    expect(accumulator.rows(10)).toEqual([
      { process: "nginx", unit: "", file: "/a", read_bytes: 24n, written_bytes: 17n, reads: 2n, writes: 1n },
      { process: "nginx", unit: "", file: "/b", read_bytes: 19n, written_bytes: 0n, reads: 1n, writes: 0n },
      { process: "redis", unit: "", file: "/a", read_bytes: 23n, written_bytes: 0n, reads: 1n, writes: 0n },
    ]);
  });

  it("keeps who it was when rows are too many, of a histogram with all its buckets, for whatever there is", () => {
    let state = 7;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    // One that calls itself as rows do that have lost their process.
    const names = [...Array.from({ length: 20 }, (_, index) => `p${index}`), "~other"];
    for (let round = 0; round < 40; round++) {
      const entries = new Map<string, Entry>();
      for (let left = random(3_000); left > 0; left--) {
        const [processId, syscall, bucket] = [BigInt(2 + random(names.length)), random(300), 60 + random(40)];
        const count = BigInt(1 + random(9) ** 6);
        entries.set(`${processId} ${syscall} ${bucket}`, [
          processId,
          syscall,
          bucket,
          count,
          count * 10n,
          BigInt(5 + random(50)),
          BigInt(99 + random(99)),
        ]);
      }
      const rowsMax = 1 + random(400);
      for (const signal of [syscalls, latency]) {
        const about = `round ${round}, ${signal.name} to ${rowsMax}`;
        const registry = registryWith(...names);
        const keys = new KeyRows(signal, registry, layouts, dimensionNames);
        // What the windows before have left must not be seen.
        for (let window = 0; window < 2; window++) {
          const accumulator = new RowAccumulator(keys, layouts);
          accumulator.add(...pack([...entries.values()]));
          const rows = decodeBlock(signal, accumulator.encoded(rowsMax));
          const sum = (of: readonly WireRow[]): bigint[] =>
            (signal === latency ? ["count", "sum"] : ["count"]).map((name) => of.reduce((all, row) => all + (row[name] as bigint), 0n));
          const expected = (process: string): bigint[] =>
            [3, 4]
              .slice(0, signal === latency ? 2 : 1)
              .map((at) =>
                [...entries.values()].reduce((all, entry) => all + (names[Number(entry[0]) - 2] === process ? (entry[at] as bigint) : 0n), 0n),
              );
          expect(rows.length, about).toBeLessThanOrEqual(rowsMax);
          expect(new Set(rows.map(({ process, unit, syscall }) => JSON.stringify([process, unit, syscall]))).size, about).toBe(rows.length);
          if (names.length <= rowsMax * 0.75)
            for (const process of names)
              expect([about, process, sum(rows.filter((row) => row["process"] === process))]).toEqual([about, process, expected(process)]);
          expect(sum(rows), about).toEqual(names.map(expected).reduce((all, one) => all.map((value, at) => value + (one[at] as bigint)), sum([])));
          if (signal === latency)
            for (const row of rows)
              expect(
                (row["c"] as bigint[]).reduce((all, count) => all + count, 0n),
                about,
              ).toBe(row["count"]);
          accumulator.release();
        }
      }
    }
  });

  it("adds numbers beyond 2^53 exactly, carries from one half to the other, and compares extremes by both", () => {
    const accumulator = accumulate(latency, registryWith("nginx"), layouts, dimensionNames);
    const large = (1n << 53n) + 1n;
    accumulator.add(
      ...pack([
        [2n, read, 80, 0xffff_ffffn, large, (7n << 32n) | 1n, (7n << 32n) | 1n],
        [2n, read, 80, 1n, large, (6n << 32n) | 0xffff_ffffn, (6n << 32n) | 0xffff_ffffn],
        [2n, read, 81, 3n, 5n << 60n, (7n << 32n) | 2n, (7n << 32n) | 2n],
      ]),
    );
    const row = {
      process: "nginx",
      unit: "",
      syscall: "read",
      count: (1n << 32n) + 3n,
      sum: (5n << 60n) + 2n * large,
      min: (6n << 32n) | 0xffff_ffffn,
      max: (7n << 32n) | 2n,
      k: [80, 81],
      c: [1n << 32n, 3n],
    };
    expect([accumulator.total("count"), accumulator.total("sum")]).toEqual([row.count, row.sum]);
    expect(accumulator.rows(10)).toEqual([row]);
    expect(decodeBlock(latency, accumulator.encoded(10))).toEqual([row]);
    expect(accumulator.encoded(10).owned).toEqual({ counted: row.count, withProcess: row.count, withUnit: 0n });
  });

  it("keeps the largest rows where sizes need more than 32 bits, and of rows of one size those that came first", () => {
    const accumulator = accumulate(syscalls, registryWith("a", "b", "c", "d", "e"), layouts, dimensionNames);
    const counts = [7n, 1n << 33n, (1n << 33n) + 1n, 7n, 7n];
    accumulator.add(...pack(counts.map((count, index): Entry => [BigInt(index + 2), read, 80, count, 1n, 1n, 1n])));
    expect(accumulator.rows(4).map(({ process, count }) => [process, count])).toEqual([
      ["a", 7n],
      ["b", 1n << 33n],
      ["c", (1n << 33n) + 1n],
      ["~other", 14n],
    ]);
  });

  it("has no rows for nothing", () => {
    const accumulator = accumulate(latency, registryWith(), layouts, dimensionNames);
    expect(accumulator.rows(10)).toEqual([]);
  });

  it("refuses a map whose structs it does not have", () => {
    expect(() => accumulate(getSignalOrThrow("tcp_rtt"), registryWith(), layouts, dimensionNames)).toThrow("tcp_rtt");
  });

  it("sums a measure over everything or over the rows with a value, before rows are cut to a number", () => {
    const accumulator = accumulate(latency, registryWith("nginx", "redis"), layouts, dimensionNames);
    accumulator.add(
      ...pack([
        [2n, read, 90, 3n, 9000n, 2500n, 3500n],
        [3n, read, 80, 2n, 2200n, 1100n, 1100n],
      ]),
    );
    expect([accumulator.total("count"), accumulator.total("sum")]).toEqual([5n, 11_200n]);
    expect([accumulator.total("count", { process: "redis" }), accumulator.total("sum", { process: "redis", syscall: "none" })]).toEqual([2n, 0n]);
    expect(() => accumulator.total("bytes")).toThrow("bytes");
    accumulator.rows(1);
    expect(() => accumulator.total("count")).toThrow("after rows()");
  });
});
