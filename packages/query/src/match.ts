// SPDX-License-Identifier: Apache-2.0
import type { Filter, Pattern } from "./terms.ts";

/** Whether a value passes a filter. */
export function matchesFilter(filter: Filter, value: string): boolean {
  return filter.patterns.some((pattern) => matchesPattern(pattern, value)) !== filter.negated;
}

/** Whether a value is what the pattern says. */
export function matchesPattern(pattern: Pattern, value: string): boolean {
  if (!pattern.glob) return value === pattern.text;
  // Walks the literal pieces from left to right; no regular expression, so no pattern can be slow.
  const pieces = pattern.text.split("*");
  const first = pieces[0] as string;
  const last = pieces[pieces.length - 1] as string;
  if (!value.startsWith(first)) return false;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = value.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return value.length - at >= last.length && value.endsWith(last);
}

/** The LIKE pattern of a glob: only `*` is a wildcard. */
export function globToLike(glob: string): string {
  return glob.replace(/[\\%_]/g, "\\$&").replaceAll("*", "%");
}
