// SPDX-License-Identifier: Apache-2.0
import { OTHER } from "@waggle/signals";
import type { StructLayout } from "../libbpf/btf.ts";
import { isTextAt, textOf } from "./c-text.ts";
import { IdMap } from "./id-map.ts";
import { fieldOf } from "./layout.ts";

/** TEXT_ID_OTHER: there was no room for the text. */
const OTHER_ID = 1;

/**
 * Texts that keys name by an id (struct text, packages/bpf/include/texts.bpf.h). A key registers its text when it is new in its copy of a map,
 * which may be just after the flip and before the registry is drained: so a text is good for the window it came in and for the next one.
 */
export class TextRegistry {
  #current = new IdMap<string>();
  #previous = new IdMap<string>();

  /** Starts a window. */
  begin(): void {
    [this.#previous, this.#current] = [this.#current, this.#previous];
    this.#current.clear();
  }

  /** Takes registrations as they lie in the `texts` map. A text that came in the last window too, as most do, stays the same string. */
  add(keys: Buffer, values: Buffer, count: number, layout: StructLayout): void {
    const { offset, size } = fieldOf(layout, "text");
    for (let i = 0; i < count; i++) {
      const at = i * layout.size + offset;
      const low = keys.readInt32LE(i * 8);
      const high = keys.readInt32LE(i * 8 + 4);
      const before = this.#previous.get(low, high);
      const isSame = before !== undefined && isTextAt(values, at, size, before);
      this.#current.set(low, high, isSame ? before : textOf(values.subarray(at, at + size)));
    }
  }

  /** The text of an id, by its halves; `~other` for those that share one because there was no room, empty if it is not known. */
  get(low: number, high: number): string {
    if (low === OTHER_ID && high === 0) return OTHER;
    return this.#current.get(low, high) ?? this.#previous.get(low, high) ?? "";
  }
}
