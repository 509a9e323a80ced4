// SPDX-License-Identifier: Apache-2.0
import type { StructLayout } from "../libbpf/btf.ts";
import { fieldOf } from "../snapshot/layout.ts";
import { readAddress } from "./address.ts";

/** Ids that name no stack (packages/bpf/include/stacks.bpf.h). */
export const STACK_NONE = 0n;
export const STACK_LOST = 1n;
export const STACK_NOT_TAKEN = 2n;

interface Parts {
  readonly addresses: number[];
  missing: number;
}

/**
 * The stacks that keys name by id, put together from their pieces (struct stack_chunk). As a text's, a registration is good for the window it came in and
 * for the next one.
 */
export class StackRegistry {
  #current = new Map<bigint, Parts>();
  #previous = new Map<bigint, Parts>();

  /** Starts a window. */
  begin(): void {
    this.#previous = this.#current;
    this.#current = new Map();
  }

  /** Takes pieces as they lie in the `stack_chunks` map. */
  add(keys: Buffer, values: Buffer, count: number, layouts: { readonly key: StructLayout; readonly value: StructLayout }): void {
    const idAt = fieldOf(layouts.key, "stack_id").offset;
    const chunkAt = fieldOf(layouts.key, "chunk").offset;
    const framesAt = fieldOf(layouts.key, "frames").offset;
    const perChunk = layouts.value.size / 8;
    for (let i = 0; i < count; i++) {
      const key = i * layouts.key.size;
      const id = keys.readBigUInt64LE(key + idAt);
      const frames = keys.readUInt32LE(key + framesAt);
      let parts = this.#current.get(id);
      if (parts === undefined) {
        parts = { addresses: new Array<number>(frames).fill(0), missing: frames };
        this.#current.set(id, parts);
      }
      const from = keys.readUInt32LE(key + chunkAt) * perChunk;
      const to = Math.min(from + perChunk, parts.addresses.length);
      for (let frame = from; frame < to; frame++) parts.addresses[frame] = readAddress(values, i * layouts.value.size + (frame - from) * 8);
      parts.missing -= Math.max(0, to - from);
    }
  }

  /** The stack's addresses, the innermost first; undefined if it was not registered, or not all of it. */
  get(id: bigint): readonly number[] | undefined {
    const current = this.#current.get(id);
    if (current?.missing === 0) return current.addresses;
    const previous = this.#previous.get(id);
    return previous?.missing === 0 ? previous.addresses : undefined;
  }
}
