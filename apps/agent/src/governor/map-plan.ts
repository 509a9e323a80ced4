// SPDX-License-Identifier: Apache-2.0
import type { MapShape } from "../libbpf/bpf-object.ts";

/** enum bpf_map_type (include/uapi/linux/bpf.h) */
const HASH = 1;
const ARRAY = 2;
const PERCPU_HASH = 5;
const PERCPU_ARRAY = 6;

/** struct htab_elem before the key, and struct bucket (kernel/bpf/hashtab.c). */
const HASH_ELEMENT_BYTES = 48;
const HASH_BUCKET_BYTES = 16;
const POINTER_BYTES = 8;
/** A map of any kind by itself: struct bpf_htab with its locks, struct bpf_array, what belongs to them; of a storage map its table. */
const MAP_BYTES = 768;

/** Smallest size that a map is shrunk to: what a quiet host uses. */
export const ENTRIES_MIN = 256;

/** Maps that keep their size: the programs know it (files take up to a share of their map), or user space fills them in one go. */
const fixedMaps = /^(file_io|file_opens|fsync_latency)_[ab]$|^(kernel_symbols|wanted_mappings|file_keys)$/;

/**
 * How much harder a map is shrunk than others when memory is short; 1 if it is not named. Those whose keys are many on any host of some size lose
 * dimensions to ~other soon; registries of names are what everything else is read by.
 */
const weights: readonly { readonly maps: RegExp; readonly weight: number }[] = [
  { maps: /^(processes|task_|tcp_waiting)/, weight: 0.5 },
  { maps: /^(stack_chunks|texts|dns_names)$/, weight: 0.75 },
  { maps: /^(tcp_rtt|syscall_latency|tcp_connect_latency)_[ab]$/, weight: 1.25 },
];

export interface PlannedMap {
  readonly name: string;
  readonly entries: number;
  readonly bytes: number;
}

export interface MapPlan {
  readonly maps: readonly PlannedMap[];
  readonly bytes: number;
  /** What the maps may take. */
  readonly bytesMax: number;
  readonly cpus: number;
  /** Sizes that differ from those in the objects, by map. */
  readonly shrunk: Readonly<Record<string, number>>;
}

/**
 * Kernel memory (bytes) of a map that is allocated when it is created. Memory that belongs to tasks and sockets (BPF_MAP_TYPE_TASK_STORAGE,
 * BPF_MAP_TYPE_SK_STORAGE) is not foreseeable and not in it: about 200 bytes for each TCP or UDP socket, and 500 for each live task that has no place (task_places).
 */
export function mapBytes(shape: Omit<MapShape, "name">, cpus: number): number {
  return MAP_BYTES + contentBytes(shape, cpus);
}

function contentBytes(shape: Omit<MapShape, "name">, cpus: number): number {
  const value = roundTo8(shape.valueSize);
  switch (shape.type) {
    case HASH:
    case PERCPU_HASH: {
      const element = HASH_ELEMENT_BYTES + roundTo8(shape.keySize) + (shape.type === HASH ? value : POINTER_BYTES + value * cpus);
      // Elements are allocated at once, and a spare one for each CPU.
      return (shape.entries + cpus) * element + 2 ** Math.ceil(Math.log2(shape.entries)) * HASH_BUCKET_BYTES;
    }
    case ARRAY:
      return shape.entries * value;
    case PERCPU_ARRAY:
      return shape.entries * (POINTER_BYTES + value * cpus);
    default:
      return 0;
  }
}

/**
 * Sizes of all maps for a host, before one is created. If they would take more than `bytesMax`, the hash maps are shrunk in proportion (each by its
 * weight, none below ENTRIES_MIN) until they fit. What still does not fit is as small as it gets: then `bytes` is above `bytesMax`.
 * @param cpus CPUs that the kernel may ever use: per-CPU maps have a value for each
 */
export function planMaps(shapes: readonly MapShape[], cpus: number, bytesMax: number): MapPlan {
  const sizes = (factor: number): PlannedMap[] =>
    shapes.map((shape) => {
      const entries = shrunkTo(shape, factor);
      return { name: shape.name, entries, bytes: mapBytes({ ...shape, entries }, cpus) };
    });
  const total = (maps: readonly PlannedMap[]): number => maps.reduce((sum, { bytes }) => sum + bytes, 0);
  let maps = sizes(1);
  if (total(maps) > bytesMax) {
    let [fits, tooLarge] = [0, 1];
    for (let step = 0; step < 30; step++) {
      const middle = (fits + tooLarge) / 2;
      if (total(sizes(middle)) <= bytesMax) fits = middle;
      else tooLarge = middle;
    }
    maps = sizes(fits);
  }
  const shrunk = Object.fromEntries(maps.flatMap(({ name, entries }, index) => (entries === shapes[index]?.entries ? [] : [[name, entries]])));
  return { maps, bytes: total(maps), bytesMax, cpus, shrunk };
}

function shrunkTo(shape: MapShape, factor: number): number {
  if (factor >= 1 || shape.type !== HASH || shape.entries <= ENTRIES_MIN || fixedMaps.test(shape.name)) return shape.entries;
  const weight = weights.find(({ maps }) => maps.test(shape.name))?.weight ?? 1;
  // Both copies of a map have one name but for its end, so they get one size.
  return Math.max(ENTRIES_MIN, Math.floor(shape.entries * factor ** weight));
}

function roundTo8(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
