// SPDX-License-Identifier: Apache-2.0
import { fractionOf } from "./random.ts";

export const faultKinds = ["cut", "duplicate", "delay", "resend", "skew"] as const;
export type FaultKind = (typeof faultKinds)[number];

/** Share of windows that a fault of one kind hits. */
const WINDOW_SHARE = 0.02;
/** Share of hosts whose clock is wrong. */
const SKEWED_SHARE = 0.2;
const DELAY_MS_MAX = 3_000;
const SKEW_MS_MAX = 3 * 3_600_000;

/** Reads `cut,delay`. Throws an Error in words. */
export function parseFaults(text: string): FaultKind[] {
  return text.split(",").map((word) => {
    if (!(faultKinds as readonly string[]).includes(word)) throw new Error(`there is no fault "${word}"; there are ${faultKinds.join(", ")}`);
    return word as FaultKind;
  });
}

/**
 * What goes wrong on the sender's side, decided by seed, host and window alone, so that a run can be repeated:
 * - cut: the stream is cancelled right behind a frame;
 * - duplicate: a frame is sent twice, the second copy to the next API node where there is one;
 * - delay: a frame is held back for up to 3 s, so that later ones overtake it;
 * - resend: a frame that was acknowledged is sent again;
 * - skew: a host's clock is wrong by up to three hours; it knows by how much.
 */
export class Faults {
  readonly #seed: number;
  readonly #kinds: ReadonlySet<FaultKind>;

  constructor(seed: number, kinds: readonly FaultKind[]) {
    this.#seed = seed;
    this.#kinds = new Set(kinds);
  }

  hits(kind: Exclude<FaultKind, "skew">, hostIndex: number, windowStartMs: number): boolean {
    return this.#kinds.has(kind) && fractionOf(this.#seed, faultKinds.indexOf(kind), hostIndex, windowStartMs) < WINDOW_SHARE;
  }

  delayMs(hostIndex: number, windowStartMs: number): number {
    return Math.ceil(DELAY_MS_MAX * fractionOf(this.#seed, 77, hostIndex, windowStartMs));
  }

  /** What the host has to add to its clock to get the right time. */
  clockOffsetMs(hostIndex: number): number {
    if (!this.#kinds.has("skew") || fractionOf(this.#seed, 78, hostIndex) >= SKEWED_SHARE) return 0;
    return Math.round((2 * fractionOf(this.#seed, 79, hostIndex) - 1) * SKEW_MS_MAX);
  }
}
