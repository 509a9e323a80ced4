// SPDX-License-Identifier: Apache-2.0
import { WideQuestions } from "./wide-questions.ts";

/** What a question's rows say of one step. */
export interface KeptStep<Row> {
  readonly version: string;
  readonly rows: readonly Row[];
}

interface Kept<Row> {
  readonly steps: Map<number, KeptStep<Row>>;
  cells: number;
}

/** Of one question; more than an answer has, so that two ranges of one question do not take each other's. */
const STEPS_MAX = 1_500;

/**
 * Rows of single steps, by question: a question that follows the present asks for the same steps again and again, and few of them have changed. The questions that were not asked for
 * longest go first when there is no more room, and of each the oldest steps.
 */
export class KeptSteps<Row extends object> {
  private readonly questions = new Map<string, Kept<Row>>();
  private readonly wide = new WideQuestions();
  private cells = 0;

  /** @param cellsMax values in all rows, and entries of arrays; a step without a row counts as one */
  constructor(private readonly cellsMax: number) {}

  /** Values that are held. */
  get size(): number {
    return this.cells;
  }

  /**
   * @param question names everything the rows depend on but time, the tenant included
   * @param atMs start of the step
   * @returns undefined where the step is not held in this version
   */
  get(question: string, atMs: number, version: string): readonly Row[] | undefined {
    const kept = this.questions.get(question);
    const step = kept?.steps.get(atMs);
    if (kept === undefined || step?.version !== version) return undefined;
    this.questions.delete(question);
    this.questions.set(question, kept);
    return step.rows;
  }

  /** Whether the question had more rows than are kept. */
  isWide(question: string): boolean {
    return this.wide.has(question);
  }

  /** Remembers that the question has more rows than are kept. */
  setWide(question: string): void {
    this.wide.add(question);
  }

  put(question: string, steps: ReadonlyMap<number, KeptStep<Row>>): void {
    const kept = this.questions.get(question) ?? { steps: new Map<number, KeptStep<Row>>(), cells: 0 };
    this.questions.delete(question);
    this.questions.set(question, kept);
    const count = (cells: number): void => {
      kept.cells += cells;
      this.cells += cells;
    };
    const letGo = (atMs: number): void => {
      const known = kept.steps.get(atMs);
      if (known === undefined) return;
      kept.steps.delete(atMs);
      count(-cellsOf(known.rows));
    };
    for (const [atMs, step] of steps) {
      letGo(atMs);
      kept.steps.set(atMs, step);
      count(cellsOf(step.rows));
    }
    if (kept.steps.size > STEPS_MAX) for (const atMs of [...kept.steps.keys()].sort((a, b) => a - b).slice(0, -STEPS_MAX)) letGo(atMs);
    for (const [oldest, { cells }] of this.questions) {
      if (this.cells <= this.cellsMax) break;
      this.questions.delete(oldest);
      this.cells -= cells;
    }
  }
}

function cellsOf(rows: readonly object[]): number {
  let cells = 1;
  for (const row of rows) for (const value of Object.values(row)) cells += Array.isArray(value) ? value.length : 1;
  return cells;
}
