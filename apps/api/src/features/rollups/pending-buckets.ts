// SPDX-License-Identifier: Apache-2.0

/** A tenant's bucket in which something arrived since the last look. */
export interface ArrivalCount {
  readonly tenant: string;
  /** Start, Unix milliseconds. */
  readonly bucketMs: number;
  /** What arrived in the stretch of time that was looked at. */
  readonly arrivals: number;
  /** When the newest of it arrived, Unix milliseconds. */
  readonly lastArrivalMs: number;
}

export interface PendingBucket {
  readonly tenant: string;
  readonly bucketMs: number;
  arrivals: number;
  lastArrivalMs: number;
  /** Something may have arrived that was not taken in. */
  isDue: boolean;
  /** Nothing arrived in the last stretch; one more check and it can be forgotten. */
  isQuiet: boolean;
  /** Up to when arrivals had been looked at before the first one that is not taken in. */
  scannedUntilMs: number;
  rolledAtMs: number;
  /** Not to be tried before this, after failures. */
  notBeforeMs: number;
  failures: number;
}

/**
 * The buckets of one step that may have to be rolled up. Arrivals are looked for in stretches that overlap, because a row can become
 * visible a while after the moment it carries; a bucket is checked whenever its arrivals look different, and once more when they have left
 * the stretch. So no arrival is missed that becomes visible within the overlap, and a bucket at rest costs nothing.
 */
export class PendingBuckets {
  private readonly buckets = new Map<string, PendingBucket>();

  /**
   * @param found arrivals of the stretch that ends now
   * @param scannedUntilMs where the stretch before ended: everything older was looked at
   */
  merge(found: readonly ArrivalCount[], scannedUntilMs: number): void {
    const keys = new Set<string>();
    for (const { tenant, bucketMs, arrivals, lastArrivalMs } of found) {
      const key = `${tenant}/${bucketMs}`;
      keys.add(key);
      const known = this.buckets.get(key);
      if (known === undefined) {
        this.buckets.set(key, {
          tenant,
          bucketMs,
          arrivals,
          lastArrivalMs,
          isDue: true,
          isQuiet: false,
          scannedUntilMs,
          rolledAtMs: Number.NEGATIVE_INFINITY,
          notBeforeMs: Number.NEGATIVE_INFINITY,
          failures: 0,
        });
        continue;
      }
      known.isQuiet = false;
      if (known.arrivals === arrivals && known.lastArrivalMs === lastArrivalMs) continue;
      known.arrivals = arrivals;
      known.lastArrivalMs = lastArrivalMs;
      this.setDue(known, scannedUntilMs);
    }
    for (const [key, bucket] of this.buckets) {
      if (keys.has(key) || bucket.isQuiet) continue;
      bucket.isQuiet = true;
      this.setDue(bucket, scannedUntilMs);
    }
  }

  private setDue(bucket: PendingBucket, scannedUntilMs: number): void {
    if (!bucket.isDue) bucket.scannedUntilMs = scannedUntilMs;
    bucket.isDue = true;
  }

  /**
   * What to roll up now, in order: first what the level is not complete without, oldest first, because a level can be read up to its first gap;
   * then late arrivals, newest first, because that is what people look at.
   * @param closedUntilMs buckets that start before this are over
   * @param completeUntilMs buckets that start before this were rolled up once
   * @param lateIntervalMs between two roll-ups of a bucket that was rolled up once
   */
  due(nowMs: number, closedUntilMs: number, completeUntilMs: number, lateIntervalMs: number): PendingBucket[] {
    const all = [...this.buckets.values()].filter((bucket) => bucket.isDue && bucket.bucketMs < closedUntilMs && bucket.notBeforeMs <= nowMs);
    const first = all.filter((bucket) => bucket.bucketMs >= completeUntilMs).sort((a, b) => a.bucketMs - b.bucketMs);
    const late = all.filter((bucket) => bucket.bucketMs < completeUntilMs && nowMs - bucket.rolledAtMs >= lateIntervalMs);
    return [...first, ...late.sort((a, b) => b.bucketMs - a.bucketMs)];
  }

  /** The bucket has been brought up to what had arrived when it was read. */
  settle(bucket: PendingBucket): void {
    bucket.isDue = false;
    bucket.failures = 0;
    if (bucket.isQuiet) this.forget(bucket);
  }

  forget(bucket: PendingBucket): void {
    this.buckets.delete(`${bucket.tenant}/${bucket.bucketMs}`);
  }

  /** Forgets buckets that start before this: their source may be gone. */
  forgetBefore(ms: number): void {
    for (const bucket of this.buckets.values()) if (bucket.bucketMs < ms) this.forget(bucket);
  }

  /** Start of the earliest bucket in [fromMs, toMs) that is not taken in; toMs if all are. */
  completeUntil(fromMs: number, toMs: number): number {
    let earliest = toMs;
    for (const { isDue, bucketMs } of this.buckets.values()) if (isDue && bucketMs >= fromMs && bucketMs < earliest) earliest = bucketMs;
    return earliest;
  }

  /** Who starts again here, with the usual overlap, finds everything that is not taken in. */
  scannedUntil(scannedUntilMs: number): number {
    let earliest = scannedUntilMs;
    for (const bucket of this.buckets.values()) if (bucket.isDue) earliest = Math.min(earliest, bucket.scannedUntilMs);
    return earliest;
  }

  /** How many closed buckets wait. */
  dueCount(closedUntilMs: number): number {
    let count = 0;
    for (const bucket of this.buckets.values()) if (bucket.isDue && bucket.bucketMs < closedUntilMs) count++;
    return count;
  }

  clear(): void {
    this.buckets.clear();
  }
}
