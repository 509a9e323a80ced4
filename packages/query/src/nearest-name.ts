// SPDX-License-Identifier: Apache-2.0

/** The candidate a mistyped name was probably meant to be; undefined if none is close. */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = name.toLowerCase();
  let best: string | undefined;
  // A third of the letters may be wrong: "retransmit" still finds "tcp_retransmits" through the containment rule below.
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of candidates) {
    const contained = wanted.length >= 3 && candidate.includes(wanted);
    const distance = contained ? 1 : editDistance(wanted, candidate.toLowerCase(), bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/**
 * Levenshtein distance: how many letters have to be inserted, deleted or replaced.
 * @param limit distances from here on need not be told apart: as soon as it is certain, any of them is returned
 */
export function editDistance(a: string, b: string, limit = Number.POSITIVE_INFINITY): number {
  // One insertion for each letter more.
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  let next: number[] = [];
  for (let i = 1; i <= a.length; i++) {
    next[0] = i;
    // What lies further from the diagonal is further than the limit.
    const first = Math.max(1, i - limit);
    const last = Math.min(b.length, i + limit);
    let least = i;
    if (first > 1) next[first - 1] = limit;
    for (let j = first; j <= last; j++) {
      const replaced = (row[j - 1] as number) + (a.charCodeAt(i - 1) === b.charCodeAt(j - 1) ? 0 : 1);
      const distance = Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1);
      next[j] = distance;
      if (distance < least) least = distance;
    }
    if (last < b.length) next[last + 1] = limit;
    if (least >= limit) return least;
    [row, next] = [next, row];
  }
  return row[b.length] as number;
}
