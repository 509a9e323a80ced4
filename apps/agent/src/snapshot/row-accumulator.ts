// SPDX-License-Identifier: Apache-2.0
import { BUCKET_COUNT, BUCKET_NONE, dimensions, OTHER, type Signal, type WireRow } from "@waggle/signals";
import type { StructLayout } from "../libbpf/btf.ts";
import { dimensionReader, type DimensionReader } from "./dimension-text.ts";
import { fieldOf } from "./layout.ts";
import type { ProcessName, ProcessRegistry } from "./process-registry.ts";

/** What is known of one row while entries are added to it. */
interface Group {
  readonly name: ProcessName | null;
  readonly texts: readonly string[];
  /** Counter: one per measure. Histogram: count, sum, min, max. */
  readonly sums: bigint[];
  /** Histogram only. */
  readonly buckets: Map<number, bigint> | null;
}

const UINT64_MAX = (1n << 64n) - 1n;

/**
 * Turns map entries (bytes) into rows of one signal. Entries whose dimensions read alike (two process ids with one name; the
 * buckets of a histogram) become one row.
 */
export class RowAccumulator {
  readonly #signal: Signal;
  readonly #registry: ProcessRegistry;
  readonly #keySize: number;
  readonly #valueSize: number;
  readonly #processAt: number;
  readonly #bucketAt: number;
  /** The key's bytes that are dimensions, without process and bucket. */
  readonly #dimensionsFrom: number;
  readonly #dimensionsTo: number;
  readonly #readers: readonly DimensionReader[];
  readonly #valueOffsets: readonly number[];
  readonly #groups = new Map<string, Group>();
  #other: Group | undefined;
  /** Events under a process id that never registered; shown as unknown. */
  unregistered = 0n;

  /** Throws a TypeError if the structs do not fit the signal. */
  constructor(signal: Signal, registry: ProcessRegistry, layouts: ReadonlyMap<string, StructLayout>) {
    if (signal.bpf === null) throw new TypeError(`signal ${signal.name} has no BPF map`);
    const key = layouts.get(`${signal.bpf.map}_key`);
    const value = layouts.get(`${signal.bpf.map}_value`);
    if (key === undefined || value === undefined) throw new TypeError(`no structs of map ${signal.bpf.map}`);
    this.#signal = signal;
    this.#registry = registry;
    this.#keySize = key.size;
    this.#valueSize = value.size;
    this.#processAt = fieldOf(key, "process_id").offset;
    this.#bucketAt = signal.bpf.bucketed ? fieldOf(key, "bucket").offset : -1;
    const names = signal.dimensions.filter((name) => dimensions[name].field !== "process_id");
    const fields = names.map((name) => fieldOf(key, dimensions[name].field ?? name));
    this.#dimensionsFrom = Math.min(...fields.map((field) => field.offset));
    this.#dimensionsTo = Math.max(...fields.map((field) => field.offset + field.size));
    for (const at of [this.#processAt, this.#bucketAt]) {
      if (at >= this.#dimensionsFrom && at < this.#dimensionsTo) throw new TypeError(`struct ${key.name}: process_id comes first and bucket last`);
    }
    this.#readers = names.map((name, index) => dimensionReader(name, fields[index] as (typeof fields)[number]));
    const measures = signal.bpf.bucketed ? (signal.kind === "histogram" ? ["count", "sum", "min", "max"] : ["count"]) : signal.measures.map((m) => m.name);
    this.#valueOffsets = measures.map((name) => fieldOf(value, name).offset);
  }

  /** Adds `count` entries as they lie in the map. */
  add(keys: Buffer, values: Buffer, count: number): void {
    for (let i = 0; i < count; i++) {
      const at = i * this.#keySize;
      const bucket = this.#bucketAt < 0 ? 0 : keys.readUInt16LE(at + this.#bucketAt);
      if (bucket === BUCKET_NONE && this.#signal.kind === "histogram") continue;
      const processId = keys.readBigUInt64LE(at + this.#processAt);
      let name = processId === 0n ? this.#registry.unknown : this.#registry.get(processId);
      if (name === undefined) {
        name = this.#registry.unknown;
        this.unregistered += values.readBigUInt64LE(i * this.#valueSize + (this.#valueOffsets[0] as number));
      }
      const id = `${name.index} ${keys.toString("latin1", at + this.#dimensionsFrom, at + this.#dimensionsTo)}`;
      let group = this.#groups.get(id);
      if (group === undefined) {
        group = this.#newGroup(
          name,
          this.#readers.map((read) => read(keys, at)),
        );
        this.#groups.set(id, group);
      }
      this.#merge(group, bucket, values, i * this.#valueSize);
    }
  }

  /**
   * Adds the slots of an overflow array: slot i is bucket i of a bucketed map, the last one its BUCKET_NONE; slot 0 is all of
   * another map. Empty slots add nothing.
   */
  addOther(values: Buffer, count: number): void {
    for (let slot = 0; slot < count; slot++) {
      const at = slot * this.#valueSize;
      if (this.#valueOffsets.every((offset, index) => this.#isExtreme(index) || values.readBigUInt64LE(at + offset) === 0n)) continue;
      if (slot === BUCKET_COUNT && this.#signal.kind === "histogram") continue;
      this.#other ??= this.#newGroup(null, []);
      this.#merge(this.#other, slot, values, at);
    }
  }

  /**
   * The rows, at most `rowsMax`; those with the smallest largest measure are summed into the `~other` row, with what had no
   * room in the map. Sums are conserved.
   */
  rows(rowsMax: number): WireRow[] {
    let groups = [...this.#groups.values()];
    let other = this.#other;
    if (groups.length + (other === undefined ? 0 : 1) > rowsMax) {
      groups.sort((a, b) => compare(this.#rank(b), this.#rank(a)));
      other ??= this.#newGroup(null, []);
      for (const group of groups.slice(Math.max(0, rowsMax - 1))) this.#mergeGroup(other, group);
      groups = groups.slice(0, Math.max(0, rowsMax - 1));
    }
    const rows = groups.map((group) => this.#row(group));
    if (other !== undefined) rows.push(this.#row(other));
    return rows;
  }

  #newGroup(name: ProcessName | null, texts: readonly string[]): Group {
    const isHistogram = this.#signal.kind === "histogram";
    const sums = this.#valueOffsets.map((_, index) => (isHistogram && index === 2 ? UINT64_MAX : 0n));
    return { name, texts, sums, buckets: isHistogram ? new Map() : null };
  }

  /** min and max of a histogram are not added. */
  #isExtreme(index: number): boolean {
    return this.#signal.kind === "histogram" && index >= 2;
  }

  #merge(group: Group, bucket: number, values: Buffer, at: number): void {
    for (let index = 0; index < this.#valueOffsets.length; index++) {
      const value = values.readBigUInt64LE(at + (this.#valueOffsets[index] as number));
      this.#fold(group, index, value);
      if (index === 0 && group.buckets !== null) group.buckets.set(bucket, (group.buckets.get(bucket) ?? 0n) + value);
    }
  }

  #mergeGroup(into: Group, from: Group): void {
    from.sums.forEach((value, index) => this.#fold(into, index, value));
    if (into.buckets !== null) for (const [bucket, count] of from.buckets ?? []) into.buckets.set(bucket, (into.buckets.get(bucket) ?? 0n) + count);
  }

  #fold(group: Group, index: number, value: bigint): void {
    const seen = group.sums[index] as bigint;
    if (!this.#isExtreme(index)) group.sums[index] = seen + value;
    else if (index === 2 ? value < seen : value > seen) group.sums[index] = value;
  }

  #rank(group: Group): bigint {
    if (this.#signal.kind === "histogram") return group.sums[0] as bigint;
    return group.sums.reduce((largest, value) => (value > largest ? value : largest), 0n);
  }

  #row(group: Group): WireRow {
    const row: Record<string, WireRow[string]> = {};
    let text = 0;
    for (const name of this.#signal.dimensions) {
      if (group.name === null) row[name] = OTHER;
      else if (name === "process") row[name] = group.name.process;
      else if (name === "unit") row[name] = group.name.unit;
      else row[name] = group.texts[text++] as string;
    }
    if (group.buckets !== null) {
      const buckets = [...group.buckets].sort(([a], [b]) => a - b);
      row.count = group.sums[0] as bigint;
      row.sum = group.sums[1] as bigint;
      row.min = group.sums[2] as bigint;
      row.max = group.sums[3] as bigint;
      row.k = buckets.map(([bucket]) => bucket);
      row.c = buckets.map(([, count]) => count);
    } else {
      this.#signal.measures.forEach((measure, index) => {
        row[measure.name] = group.sums[index] as bigint;
      });
    }
    return row;
  }
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
