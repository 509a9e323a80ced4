// SPDX-License-Identifier: Apache-2.0

/** Questions that are remembered, by name. */
const QUESTIONS_MAX = 1_000;

/** Remembers which questions had more rows than are kept, so that they are not looked for again. Forgets all of them when they are too many. */
export class WideQuestions {
  private readonly names = new Set<string>();

  has(question: string): boolean {
    return this.names.has(question);
  }

  add(question: string): void {
    if (this.names.size >= QUESTIONS_MAX) this.names.clear();
    this.names.add(question);
  }
}
