// SPDX-License-Identifier: Apache-2.0
import type { Mappings } from "./address-spaces.ts";

/** A power of two. The stacks of a busy host have some thousand different frames in a window. */
const SLOTS = 4_096;

/**
 * Frames of a window that were found out already, by address and what is mapped where: most frames of a stack are those of others of its process. An address has
 * one slot, and the last one to come has it, so that a look takes two comparisons.
 */
export class RecentFrames {
  readonly addresses = new Float64Array(SLOTS).fill(-1);
  readonly mappings: (Mappings | undefined)[] = new Array<Mappings | undefined>(SLOTS).fill(undefined);
  readonly frames: string[] = new Array<string>(SLOTS).fill("");

  /** Where an address would be. */
  slotOf(address: number): number {
    const low = address | 0;
    return (Math.imul(low, 0x9e3779b1) >>> 20) & (SLOTS - 1);
  }

  set(slot: number, address: number, mappings: Mappings, frame: string): void {
    this.addresses[slot] = address;
    this.mappings[slot] = mappings;
    this.frames[slot] = frame;
  }

  /** What is known of a file may be another thing in the next window. */
  clear(): void {
    this.addresses.fill(-1);
    this.mappings.fill(undefined);
    this.frames.fill("");
  }
}
