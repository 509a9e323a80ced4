// SPDX-License-Identifier: Apache-2.0
import { WideQuestions } from "./wide-questions.ts";

/** What a question's rows of a stretch come to. */
export interface KeptTotal<Row> {
  readonly fromMs: number;
  readonly untilMs: number;
  /** Of what they were made of. */
  readonly version: string;
  readonly rows: readonly Row[];
  /** What all of the range came to last, and what it was made of. */
  readonly whole: { readonly asOf: string; readonly before: readonly Row[]; readonly rows: readonly Row[] };
}

/** The newest stretch of each question that was put together; those not asked for longest go when there is no more room. */
export class KeptTotals<Row extends object> {
  private readonly totals = new Map<string, KeptTotal<Row>>();
  private readonly wide = new WideQuestions();
  private rows = 0;

  /** @param rowsMax in all, a question without any counting as one */
  constructor(private readonly rowsMax: number) {}

  /** Rows that are held. */
  get size(): number {
    return this.rows;
  }

  /** @returns undefined where there is none that begins there */
  get(question: string, fromMs: number): KeptTotal<Row> | undefined {
    const known = this.totals.get(question);
    if (known?.fromMs !== fromMs) return undefined;
    this.totals.delete(question);
    this.totals.set(question, known);
    return known;
  }

  put(question: string, total: KeptTotal<Row>): void {
    this.letGo(question);
    this.totals.set(question, total);
    this.rows += sizeOf(total);
    for (const oldest of this.totals.keys()) {
      if (this.rows <= this.rowsMax) break;
      this.letGo(oldest);
    }
  }

  /** Whether the question had more rows than are kept. */
  isWide(question: string): boolean {
    return this.wide.has(question);
  }

  /** Remembers that the question has more rows than are kept. */
  setWide(question: string): void {
    this.wide.add(question);
    this.letGo(question);
  }

  private letGo(question: string): void {
    const known = this.totals.get(question);
    if (known === undefined) return;
    this.totals.delete(question);
    this.rows -= sizeOf(known);
  }
}

const sizeOf = (total: KeptTotal<unknown>): number => Math.max(1, total.rows.length + total.whole.rows.length);
