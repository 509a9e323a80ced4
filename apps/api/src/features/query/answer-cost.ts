// SPDX-License-Identifier: Apache-2.0

const counted = new WeakSet<object>();

/** Rows that getting an answer counts with: what was read for it, for the first who gets it; several may get the same, and it was read once. */
export function rowsToCount(answer: { readonly meta?: { readonly rowsRead?: number } } | undefined): number {
  if (!(answer instanceof Object) || counted.has(answer)) return 0;
  counted.add(answer);
  return answer.meta?.rowsRead ?? 0;
}
