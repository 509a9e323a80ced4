// SPDX-License-Identifier: Apache-2.0

interface Entry<T> {
  readonly answer: Promise<T>;
  readonly expiresAtMs: number;
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

  /** @param key names everything the answer depends on, the tenant included */
  get(key: string, ask: () => Promise<T>, nowMs: number): Promise<T> {
    const known = this.entries.get(key);
    if (known !== undefined && known.expiresAtMs > nowMs) return known.answer;
    for (const [other, { expiresAtMs }] of this.entries) {
      if (expiresAtMs > nowMs && this.entries.size < this.entriesMax) break;
      this.entries.delete(other);
    }
    const answer = ask();
    const entry = { answer, expiresAtMs: nowMs + this.keptMs };
    this.entries.delete(key);
    this.entries.set(key, entry);
    answer.catch(() => {
      if (this.entries.get(key) === entry) this.entries.delete(key);
    });
    return answer;
  }
}
