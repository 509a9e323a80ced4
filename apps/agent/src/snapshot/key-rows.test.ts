// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow } from "@waggle/signals";
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
      name: "file_opens_key",
      size: 24,
      fields: [u64("process_id", 0), u64("file_id", 8), { name: "result", offset: 16, size: 2, type: "__u16" }],
    },
    { name: "file_opens_value", size: 8, fields: [u64("count", 0)] },
  ].map((layout) => [layout.name, layout]),
);
const processLayout: StructLayout = {
  name: "process",
  size: 48,
  fields: [
    { name: "comm", offset: 0, size: 16, type: "char[16]" },
    u64("cgroup_id", 16),
    { name: "v1_group_ids", offset: 24, size: 16, type: "__u64[2]" },
    { name: "tgid", offset: 40, size: 4, type: "__u32" },
  ],
};

/** A map whose keys are processes, files and results, window by window. */
class Windows {
  readonly renames = new Map<string, string>();
  readonly texts = new Map<number, string>();
  readonly registry = new ProcessRegistry({ unitOf: () => "unit", renames: () => this.renames });
  readonly keyRows: KeyRows;

  constructor() {
    const names: DimensionNames = { text: (low) => this.texts.get(low) ?? "", device: String, kernel: readKernelNames(null) };
    this.keyRows = new KeyRows(getSignalOrThrow("file_opens"), this.registry, layouts, names);
  }

  register(id: bigint, comm: string): void {
    const key = Buffer.alloc(8);
    key.writeBigUInt64LE(id);
    const value = Buffer.alloc(48);
    value.write(comm);
    this.registry.add(key, value, 1, processLayout);
  }

  read(entries: readonly (readonly [process: bigint, file: bigint, count: bigint])[], padding = 0): RowAccumulator {
    this.registry.begin();
    const keys = Buffer.alloc(entries.length * 24, padding);
    const values = Buffer.alloc(entries.length * 8);
    entries.forEach(([process, file, count], index) => {
      keys.writeBigUInt64LE(process, index * 24);
      keys.writeBigUInt64LE(file, index * 24 + 8);
      keys.writeUInt16LE(0, index * 24 + 16);
      values.writeBigUInt64LE(count, index * 8);
    });
    const accumulator = new RowAccumulator(this.keyRows, layouts);
    accumulator.add(keys, values, entries.length);
    return accumulator;
  }
}

const rowsOf = (accumulator: RowAccumulator): unknown[] =>
  accumulator.rows(10_000).map(({ process, unit, file, count }) => [process, unit, file, count]);

describe("KeyRows", () => {
  it("counts each window for itself, and leaves what was counted before as it was", () => {
    const windows = new Windows();
    windows.register(2n, "nginx");
    windows.texts.set(5, "/a");
    const first = windows.read([[2n, 5n, 3n]]);
    const second = windows.read([[2n, 5n, 4n]]);
    const third = windows.read([]);
    expect([first, second, third].map(rowsOf)).toEqual([[["nginx", "unit", "/a", 3n]], [["nginx", "unit", "/a", 4n]], []]);
  });

  it("reads a text anew in each window: the same id may be another file's by then, or not known", () => {
    const windows = new Windows();
    windows.register(2n, "nginx");
    windows.texts.set(5, "/before");
    expect(rowsOf(windows.read([[2n, 5n, 3n]]))).toEqual([["nginx", "unit", "/before", 3n]]);
    windows.texts.set(5, "/after");
    expect(rowsOf(windows.read([[2n, 5n, 3n]]))).toEqual([["nginx", "unit", "/after", 3n]]);
    windows.texts.clear();
    expect(rowsOf(windows.read([[2n, 5n, 3n]]))).toEqual([["nginx", "unit", "", 3n]]);
    windows.texts.set(5, "/before");
    expect(rowsOf(windows.read([[2n, 5n, 3n]]))).toEqual([["nginx", "unit", "/before", 3n]]);
  });

  it("calls a process by what its unit is called in the window", () => {
    const windows = new Windows();
    windows.register(2n, "nginx");
    windows.read([[2n, 5n, 3n]]);
    windows.renames.set("unit", "docker/web");
    expect(rowsOf(windows.read([[2n, 5n, 3n]]))).toEqual([["nginx", "docker/web", "", 3n]]);
  });

  it("knows a process from the window on in which it registered, and counts what came before", () => {
    const windows = new Windows();
    const before = windows.read([
      [9n, 5n, 3n],
      [9n, 5n, 4n],
    ]);
    expect([rowsOf(before), before.unregistered]).toEqual([[["", "", "", 7n]], 7n]);
    windows.register(9n, "late");
    const after = windows.read([[9n, 5n, 5n]]);
    expect([rowsOf(after), after.unregistered]).toEqual([[["late", "unit", "", 5n]], 0n]);
  });

  it("does not tell keys apart by bytes that are no dimension's", () => {
    const windows = new Windows();
    windows.register(2n, "nginx");
    windows.read([[2n, 5n, 3n]], 0xff);
    expect(rowsOf(windows.read([[2n, 5n, 4n]], 0x11))).toEqual([["nginx", "unit", "", 4n]]);
    expect(windows.keyRows.rows).toBe(1);
  });

  it("keeps to some keys, however many come and go, and counts all of them", () => {
    const windows = new Windows();
    windows.register(2n, "nginx");
    for (let file = 1; file < 9_000; file++) windows.texts.set(file, `/${file}`);
    let most = 0;
    for (let window = 0; window < 30; window++) {
      const files = Array.from({ length: 1_000 }, (_, index) => 2n + BigInt((window * 700 + index) % 8_998));
      const rows = rowsOf(windows.read(files.map((file) => [2n, file, file])));
      expect(rows).toHaveLength(1_000);
      expect(rows).toEqual(files.map((file) => ["nginx", "unit", `/${file}`, file]));
      most = Math.max(most, windows.keyRows.rows);
    }
    expect(most).toBeLessThan(6_000);
  });
});
