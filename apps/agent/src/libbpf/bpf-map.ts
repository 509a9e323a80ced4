// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { BpfError } from "./error.ts";
import { getLibbpf, getLibc } from "./symbols.ts";

const ENOENT = 2;
const ENOSPC = 28;

/** Keys per batch call: one call into the kernel per 4,096 keys makes its own price disappear. */
export const BATCH_KEYS = 4096;

/** Buffers for batch reads, one set for all maps; they grow to the largest key and value. */
const batch = { keys: Buffer.alloc(0), values: Buffer.alloc(0), in: Buffer.alloc(64), out: Buffer.alloc(64), count: new Uint32Array(1) };

/** Called with up to `BATCH_KEYS` entries at a time. The buffers are reused: what is kept has to be copied. */
export type BatchVisitor = (keys: Buffer, values: Buffer, count: number) => void;

/** A map by its file descriptor, which this object owns. */
export class BpfMap implements Disposable {
  readonly name: string;
  readonly keySize: number;
  /** Bytes of one value on one CPU. */
  readonly valueSize: number;
  readonly entriesMax: number;
  #fd: number | null;

  constructor(fd: number, shape: { name: string; keySize: number; valueSize: number; entriesMax: number }) {
    this.#fd = fd;
    this.name = shape.name;
    this.keySize = shape.keySize;
    this.valueSize = shape.valueSize;
    this.entriesMax = shape.entriesMax;
  }

  get fd(): number {
    if (this.#fd === null) throw new Error(`map ${this.name} is used after it was closed`);
    return this.#fd;
  }

  /** The value of a key, or undefined if the map does not hold it. */
  get(key: Buffer, value = Buffer.alloc(this.valueSize)): Buffer | undefined {
    const result = getLibbpf().bpf_map_lookup_elem(this.fd, key, value);
    if (result === -ENOENT) return undefined;
    if (result < 0) throw new BpfError("map_lookup", -result, this.name);
    return value;
  }

  set(key: Buffer, value: Buffer): void {
    const result = getLibbpf().bpf_map_update_elem(this.fd, key, value, 0);
    if (result < 0) throw new BpfError("map_update", -result, this.name);
  }

  /** As `set`, on a worker thread; for updates that the kernel makes wait. */
  setAsync(key: Buffer, value: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      getLibbpf().bpf_map_update_elem.async(this.fd, key, value, 0, (error, result) => {
        if (error) reject(error);
        else if (result < 0) reject(new BpfError("map_update", -result, this.name));
        else resolve();
      });
    });
  }

  /**
   * The one value of a one-entry per-CPU map, for all possible CPUs, one after another (each padded to 8 bytes).
   * @param into what an earlier call returned, to be written again
   */
  getPerCpu(into?: Buffer<ArrayBuffer>): { bytes: Buffer<ArrayBuffer>; stride: number; cpus: number } {
    const stride = Math.ceil(this.valueSize / 8) * 8;
    const cpus = possibleCpus();
    const bytes = into ?? Buffer.alloc(stride * cpus);
    if (this.get(Buffer.alloc(4), bytes) === undefined) throw new BpfError("map_lookup", ENOENT, this.name);
    return { bytes, stride, cpus };
  }

  /** Reads all entries of a hash map and deletes them. Exact if nobody writes the map meanwhile. */
  drain(visit: BatchVisitor): number {
    return this.#batches("map_drain", visit, (first) =>
      getLibbpf().bpf_map_lookup_and_delete_batch(this.fd, first ? null : batch.in, batch.out, batch.keys, batch.values, batch.count, null),
    );
  }

  /** Reads all entries. */
  readAll(visit: BatchVisitor): number {
    return this.#batches("map_read", visit, (first) =>
      getLibbpf().bpf_map_lookup_batch(this.fd, first ? null : batch.in, batch.out, batch.keys, batch.values, batch.count, null),
    );
  }

  /** Writes `count` entries. */
  setAll(keys: Buffer, values: Buffer, count: number): void {
    const result = getLibbpf().bpf_map_update_batch(this.fd, keys, values, new Uint32Array([count]), null);
    if (result < 0) throw new BpfError("map_update", -result, this.name);
  }

  #batches(op: string, visit: BatchVisitor, call: (first: boolean) => number): number {
    let keysPerCall = Math.min(BATCH_KEYS, this.entriesMax);
    let total = 0;
    for (let first = true; ; ) {
      if (batch.keys.length < keysPerCall * this.keySize) batch.keys = Buffer.alloc(keysPerCall * this.keySize);
      if (batch.values.length < keysPerCall * this.valueSize) batch.values = Buffer.alloc(keysPerCall * this.valueSize);
      batch.count[0] = keysPerCall;
      const result = call(first);
      // One hash bucket holds more entries than the buffer: nothing was taken, try again with more room.
      if (result === -ENOSPC && keysPerCall < this.entriesMax) {
        keysPerCall = Math.min(keysPerCall * 4, Math.max(this.entriesMax, BATCH_KEYS));
        continue;
      }
      if (result < 0 && result !== -ENOENT) throw new BpfError(op, -result, this.name);
      const count = batch.count[0] as number;
      if (count > 0) visit(batch.keys, batch.values, count);
      total += count;
      if (result === -ENOENT) return total;
      batch.out.copy(batch.in);
      first = false;
    }
  }

  /** Kernel memory of the map in bytes, by the kernel's own figure; 0 if it does not tell. */
  memoryBytes(): number {
    return Number(/^memlock:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${this.fd}`, "utf8"))?.[1] ?? 0);
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null) getLibc().close(this.#fd);
    this.#fd = null;
  }
}

/** Map types that not every kernel with BTF has: number (enum bpf_map_type), and the kernel that brought it. */
export const optionalMapTypes = [
  { type: 24, name: "socket storage", since: "5.2" },
  { type: 29, name: "task storage", since: "5.11" },
] as const;

/** Map types the programs need and this kernel does not know, in words; null for none. */
export function missingMapTypes(): string | null {
  return describeMapTypes(optionalMapTypes.filter(({ type }) => getLibbpf().libbpf_probe_bpf_map_type(type, null) === 0));
}

/** Null for none. */
export function describeMapTypes(missing: readonly { readonly name: string; readonly since: string }[]): string | null {
  return missing.length === 0 ? null : missing.map(({ name, since }) => `${name} (since Linux ${since})`).join(" and ");
}

let cpus: number | undefined;

/** CPUs the kernel may ever use: the number of values a per-CPU map hands out. */
export function possibleCpus(): number {
  if (cpus === undefined) {
    const result = getLibbpf().libbpf_num_possible_cpus();
    if (result < 0) throw new BpfError("possible_cpus", -result, "/sys/devices/system/cpu/possible");
    cpus = result;
  }
  return cpus;
}
