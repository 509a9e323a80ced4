// SPDX-License-Identifier: Apache-2.0

/**
 * OpenTelemetry's base-2 exponential grid at scale 3: bucket i holds values in (2^(i/8), 2^((i+1)/8)], 8 buckets an octave.
 * (OpenTelemetry data model, "Exponential Scale"; the upper bound is inclusive.) Values are whole nanoseconds; 0 and 1 share
 * bucket 0, which is one nanosecond's worth of inexactness at the very bottom. A value read back as the bucket's geometric
 * middle is off by at most 4.4 %.
 */
export const BUCKETS_PER_OCTAVE = 8;

/** Indexes run from 0 to 511: 2^64 ns needs no more. */
export const BUCKET_COUNT = 512;

/** In a BPF key: the event was counted but its duration is unknown. Never leaves the agent. */
export const BUCKET_NONE = 0xffff;

/** The largest relative error of a percentile read from the grid: sqrt(2^(1/8)) - 1. */
export const RELATIVE_ERROR_MAX = Math.sqrt(2 ** (1 / BUCKETS_PER_OCTAVE)) - 1;

/** Thresholds of the mantissa within an octave, ceil(2^(j/8) * 2^31) for j = 1..7; the BPF program holds the same seven numbers. */
export const MANTISSA_THRESHOLDS: readonly number[] = [1, 2, 3, 4, 5, 6, 7].map((j) => Math.floor(2 ** (j / 8) * 2 ** 31));

/**
 * Bucket of a value in whole nanoseconds; the reference for the BPF implementation.
 * @param value 0 ≤ value < 2^64
 */
export function bucketIndex(value: bigint): number {
  if (value <= 1n) return 0;
  const msb = value.toString(2).length - 1;
  if ((value & (value - 1n)) === 0n) return msb * BUCKETS_PER_OCTAVE - 1;
  // The leading bit moves to position 31, as in the kernel: 32 bits of mantissa decide.
  const mantissa = Number(msb >= 31 ? value >> BigInt(msb - 31) : value << BigInt(31 - msb));
  let step = 0;
  for (const threshold of MANTISSA_THRESHOLDS) if (mantissa > threshold) step++;
  return msb * BUCKETS_PER_OCTAVE + step;
}

/** Lower bound (exclusive) of a bucket. */
export function bucketLower(index: number): number {
  return index <= 0 ? 0 : 2 ** (index / BUCKETS_PER_OCTAVE);
}

/** Upper bound (inclusive) of a bucket. */
export function bucketUpper(index: number): number {
  return 2 ** ((index + 1) / BUCKETS_PER_OCTAVE);
}

/** A histogram of one key and window. `k` ascends; `c[i]` belongs to `k[i]`; `count` = sum of `c`. */
export interface Histogram {
  readonly count: bigint;
  readonly sum: bigint;
  readonly min: bigint;
  readonly max: bigint;
  readonly k: readonly number[];
  readonly c: readonly bigint[];
}
