// SPDX-License-Identifier: Apache-2.0

/**
 * Exponential back-off with full jitter: each wait is drawn evenly from 0 to a ceiling that doubles, so that 10,000 agents that lost the
 * same API do not come back together. Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export class Backoff {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #attempts = 0;

  constructor(options: { minMs: number; maxMs: number; random?: () => number }) {
    this.#minMs = options.minMs;
    this.#maxMs = options.maxMs;
    this.#random = options.random ?? Math.random;
  }

  /** Milliseconds to wait before the next attempt, from a tenth of `minMs` (never a busy loop) to `maxMs`. */
  nextMs(): number {
    const ceilingMs = Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(this.#attempts, 30));
    this.#attempts++;
    return Math.max(this.#minMs / 10, this.#random() * ceilingMs);
  }

  reset(): void {
    this.#attempts = 0;
  }
}
