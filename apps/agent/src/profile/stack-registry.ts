// SPDX-License-Identifier: Apache-2.0
import type { StructLayout } from "../libbpf/btf.ts";
import { IdMap } from "../snapshot/id-map.ts";
import { fieldOf } from "../snapshot/layout.ts";
import { readAddress } from "./address.ts";

/** Ids that name no stack (packages/bpf/include/stacks.bpf.h): less than 16, so their upper half is 0. */
export const STACK_NONE = 0;
export const STACK_LOST = 1;
export const STACK_NOT_TAKEN = 2;

interface Parts {
  readonly addresses: number[];
  missing: number;
}

/**
 * The stacks that keys name by id, put together from their pieces (struct stack_chunk). As a text's, a registration is good for the window it came in and
 * for the next one.
 */
export class StackRegistry {
  #current = new IdMap<Parts>();
  #previous = new IdMap<Parts>();

  /** Starts a window. */
  begin(): void {
    [this.#previous, this.#current] = [this.#current, this.#previous];
    this.#current.clear();
  }

  /** Takes pieces as they lie in the `stack_chunks` map. An id is made of the addresses, so those of a stack that came in the last window are the same again. */
  add(keys: Buffer, values: Buffer, count: number, layouts: { readonly key: StructLayout; readonly value: StructLayout }): void {
    const idAt = fieldOf(layouts.key, "stack_id").offset;
    const chunkAt = fieldOf(layouts.key, "chunk").offset;
    const framesAt = fieldOf(layouts.key, "frames").offset;
    const perChunk = layouts.value.size / 8;
    for (let i = 0; i < count; i++) {
      const key = i * layouts.key.size;
      const low = keys.readInt32LE(key + idAt);
      const high = keys.readInt32LE(key + idAt + 4);
      let parts = this.#current.get(low, high);
      if (parts === undefined) {
        const before = this.#previous.get(low, high);
        const frames = keys.readUInt32LE(key + framesAt);
        parts = before?.missing === 0 ? before : { addresses: new Array<number>(frames).fill(0), missing: frames };
        this.#current.set(low, high, parts);
      }
      if (parts.missing === 0) continue;
      const from = keys.readUInt32LE(key + chunkAt) * perChunk;
      const to = Math.min(from + perChunk, parts.addresses.length);
      for (let frame = from; frame < to; frame++) parts.addresses[frame] = readAddress(values, i * layouts.value.size + (frame - from) * 8);
      parts.missing -= Math.max(0, to - from);
    }
  }

  /** The addresses of the stack of an id (its halves), the innermost first; undefined if it was not registered, or not all of it. */
  get(low: number, high: number): readonly number[] | undefined {
    const current = this.#current.get(low, high);
    if (current?.missing === 0) return current.addresses;
    const previous = this.#previous.get(low, high);
    return previous?.missing === 0 ? previous.addresses : undefined;
  }
}
