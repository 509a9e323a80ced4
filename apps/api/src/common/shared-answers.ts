// SPDX-License-Identifier: Apache-2.0

interface Entry<T> {
  readonly answer: Promise<T>;
  readonly askedAtMs: number;
}

/**
 * Answers that several callers ask for within seconds: the panels of a page all need to know which hosts reported in the same range. The
 * first one's question is everybody's, and its answer is kept for a moment. A failed one is forgotten at once.
 */
export class SharedAnswers<T> {
  private readonly entries = new Map<string, Entry<T>>();

  constructor(
    private readonly keptMs: number,
    private readonly entriesMax: number,
  ) {}

  /**
   * @param key names everything the answer depends on, the tenant included
   * @param maxAgeMs for who wants one that was asked for later than others may have been
   */
  get(key: string, ask: () => Promise<T>, nowMs: number, maxAgeMs = this.keptMs): Promise<T> {
    const known = this.entries.get(key);
    if (known !== undefined && nowMs - known.askedAtMs < Math.min(maxAgeMs, this.keptMs)) return known.answer;
    for (const [other, { askedAtMs }] of this.entries) {
      if (nowMs - askedAtMs < this.keptMs && this.entries.size < this.entriesMax) break;
      this.entries.delete(other);
    }
    const answer = ask();
    const entry = { answer, askedAtMs: nowMs };
    this.entries.delete(key);
    this.entries.set(key, entry);
    answer.catch(() => {
      if (this.entries.get(key) === entry) this.entries.delete(key);
    });
    return answer;
  }

  /** Whoever asks next asks anew. */
  forget(key: string): void {
    this.entries.delete(key);
  }
}
