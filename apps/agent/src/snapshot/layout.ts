// SPDX-License-Identifier: Apache-2.0
import { cTypeSizes, type DimensionName, dimensions, type Signal } from "@waggle/signals";
import type { StructField, StructLayout } from "../libbpf/btf.ts";

/** The field of that name. Throws a TypeError if the struct has none. */
export function fieldOf(layout: StructLayout, name: string): StructField {
  const field = layout.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new TypeError(`struct ${layout.name} has no field ${name}`);
  return field;
}

/** Names and C types of a signal's key fields by the catalogue: each dimension's field once, `bucket` last. */
export function expectedKeyFields(signal: Signal): Map<string, string> {
  const fields = new Map<string, string>();
  for (const name of signal.dimensions) {
    const { field, cType } = dimensions[name as DimensionName];
    if (field !== null && cType !== null) fields.set(field, cType);
  }
  if (signal.bpf?.bucketed === true) fields.set("bucket", "__u16");
  return fields;
}

/** Names of a signal's value fields by the catalogue; each a __u64. */
export function expectedValueFields(signal: Signal): string[] {
  return signal.bpf?.bucketed === true ? ["count", "sum", "min", "max"] : signal.measures.map((measure) => measure.name);
}

/** Padding is named, so that every byte of a key is written. */
const isPadding = (field: StructField): boolean => field.name === "pad";

/**
 * Holds a signal's two structs against the catalogue. Returns what differs, in words, or undefined.
 * Any field more, less, renamed, of another type, or hidden padding is a difference.
 */
export function layoutProblem(signal: Signal, layouts: ReadonlyMap<string, StructLayout>): string | undefined {
  // Keys that name stacks have a reader of their own.
  if (signal.bpf === null || signal.bpf.stacks === true) return undefined;
  for (const [suffix, expected] of [
    ["key", expectedKeyFields(signal)],
    ["value", new Map(expectedValueFields(signal).map((name) => [name, "__u64"]))],
  ] as const) {
    const name = `${signal.bpf.map}_${suffix}`;
    const layout = layouts.get(name);
    if (layout === undefined) return `no struct ${name} in the BPF objects`;
    let end = 0;
    for (const field of layout.fields) {
      if (field.offset !== end) return `struct ${name} has ${field.offset - end} hidden bytes before ${field.name}`;
      end = field.offset + field.size;
      if (isPadding(field)) continue;
      const type = expected.get(field.name);
      if (type === undefined) return `struct ${name} has a field ${field.name} that signal ${signal.name} does not name`;
      if (field.type !== type || field.size !== cTypeSizes[type as keyof typeof cTypeSizes])
        return `struct ${name}.${field.name} is ${field.type}, expected ${type}`;
    }
    if (end !== layout.size) return `struct ${name} has ${layout.size - end} hidden bytes at its end`;
    for (const field of expected.keys())
      if (!layout.fields.some((candidate) => candidate.name === field)) return `struct ${name} has no field ${field}`;
  }
  return undefined;
}
