// SPDX-License-Identifier: Apache-2.0
import { OTHER } from "@waggle/signals";
import type { StructLayout } from "../libbpf/btf.ts";
import { textOf } from "./c-text.ts";
import { fieldOf } from "./layout.ts";

/** TEXT_ID_OTHER: there was no room for the text. */
const OTHER_ID = 1n;

/**
 * Texts that keys name by an id (struct text, packages/bpf/include/texts.bpf.h). A key registers its text when it is new in its copy of a map,
 * which may be just after the flip and before the registry is drained: so a text is good for the window it came in and for the next one.
 */
export class TextRegistry {
  #current = new Map<bigint, string>();
  #previous = new Map<bigint, string>();

  /** Starts a window. */
  begin(): void {
    this.#previous = this.#current;
    this.#current = new Map();
  }

  /** Takes registrations as they lie in the `texts` map. */
  add(keys: Buffer, values: Buffer, count: number, layout: StructLayout): void {
    const { offset, size } = fieldOf(layout, "text");
    for (let i = 0; i < count; i++) {
      const at = i * layout.size + offset;
      this.#current.set(keys.readBigUInt64LE(i * 8), textOf(values.subarray(at, at + size)));
    }
  }

  /** The text of an id; `~other` for those that share one because there was no room, empty if it is not known. */
  get(id: bigint): string {
    if (id === OTHER_ID) return OTHER;
    return this.#current.get(id) ?? this.#previous.get(id) ?? "";
  }
}
