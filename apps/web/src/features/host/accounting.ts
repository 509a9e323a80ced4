// SPDX-License-Identifier: Apache-2.0
import type { QueryAnswer } from "../../lib/api/types";
import { totals } from "../facts";

/** What the probes counted beside what the kernel itself counted, over the range. */
export interface Accounted {
  readonly quantity: string;
  readonly counted: number;
  readonly kernel: number | null;
}

export function accountingOf(answer: QueryAnswer | undefined): Accounted[] {
  const kernel = totals(answer, "kernel", "sum", ["quantity"]);
  return [...totals(answer, "counted", "sum", ["quantity"])].map(([quantity, counted]) => ({
    quantity,
    counted: counted ?? 0,
    kernel: kernel.get(quantity) ?? null,
  }));
}

/** Agreement of one quantity: the smaller of the two over the larger; 1 when both are 0, null where the kernel's side is not known. */
export function agreement(row: Accounted): number | null {
  if (row.kernel === null) return null;
  const larger = Math.max(row.counted, row.kernel);
  return larger === 0 ? 1 : Math.min(row.counted, row.kernel) / larger;
}

/** The quantity that agrees least: a good average must not hide it. */
export function worstAccounted(rows: readonly Accounted[]): { quantity: string; ratio: number } | null {
  let worst: { quantity: string; ratio: number } | null = null;
  for (const row of rows) {
    const ratio = agreement(row);
    if (ratio !== null && (worst === null || ratio < worst.ratio)) worst = { quantity: row.quantity, ratio };
  }
  return worst;
}
