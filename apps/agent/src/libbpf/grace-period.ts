// SPDX-License-Identifier: Apache-2.0
import { BpfMap } from "./bpf-map.ts";
import { BpfError } from "./error.ts";
import { getLibbpf } from "./symbols.ts";

const BPF_MAP_TYPE_ARRAY = 2;
const BPF_MAP_TYPE_ARRAY_OF_MAPS = 12;
/** struct bpf_map_create_opts of libbpf 1.x: size, …, inner_map_fd at byte 24. */
const CREATE_OPTIONS_SIZE = 48;
const INNER_MAP_FD_OFFSET = 24;

/**
 * Waits until no BPF program that ran before is still running. The kernel waits for an RCU grace period whenever user space
 * replaces an inner map (maybe_wait_bpf_programs(), kernel/bpf/syscall.c), so a map-in-map that nobody uses is the way to ask.
 */
export class GracePeriod implements Disposable {
  readonly #outer: BpfMap;
  readonly #inner: BpfMap;
  readonly #key = Buffer.alloc(4);
  readonly #value = Buffer.alloc(4);

  constructor() {
    this.#inner = create(BPF_MAP_TYPE_ARRAY, "grace_inner", null);
    try {
      const options = Buffer.alloc(CREATE_OPTIONS_SIZE);
      options.writeBigUInt64LE(BigInt(CREATE_OPTIONS_SIZE), 0);
      options.writeUInt32LE(this.#inner.fd, INNER_MAP_FD_OFFSET);
      this.#outer = create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "grace_outer", options);
    } catch (error) {
      this.#inner[Symbol.dispose]();
      throw error;
    }
    this.#value.writeInt32LE(this.#inner.fd, 0);
  }

  /** Takes milliseconds (8 to 16 measured), on a worker thread. */
  wait(): Promise<void> {
    return this.#outer.setAsync(this.#key, this.#value);
  }

  [Symbol.dispose](): void {
    this.#outer[Symbol.dispose]();
    this.#inner[Symbol.dispose]();
  }
}

function create(type: number, name: string, options: Buffer | null): BpfMap {
  const fd = getLibbpf().bpf_map_create(type, name, 4, 4, 1, options);
  if (fd < 0) throw new BpfError("map_create", -fd, name);
  return new BpfMap(fd, { name, keySize: 4, valueSize: 4, entriesMax: 1 });
}
