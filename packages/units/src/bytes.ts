// SPDX-License-Identifier: Apache-2.0
import { NO_VALUE, type ScaleStep, scale } from "./number.ts";

const SI_STEPS: readonly ScaleStep[] = [
  { from: 1, suffix: " B" },
  { from: 1e3, suffix: " kB" },
  { from: 1e6, suffix: " MB" },
  { from: 1e9, suffix: " GB" },
  { from: 1e12, suffix: " TB" },
  { from: 1e15, suffix: " PB" },
];

const BINARY_STEPS: readonly ScaleStep[] = [
  { from: 1, suffix: " B" },
  { from: 2 ** 10, suffix: " KiB" },
  { from: 2 ** 20, suffix: " MiB" },
  { from: 2 ** 30, suffix: " GiB" },
  { from: 2 ** 40, suffix: " TiB" },
];

/** Bytes in SI steps of 1000, as networks and disks count: `2.1 MB`. */
export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined || !Number.isFinite(bytes)) return NO_VALUE;
  const { number, suffix } = scale(bytes, SI_STEPS);
  return number + suffix;
}

/** Bytes in steps of 1024, as memory is sold: `64 GiB`. */
export function formatMemory(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined || !Number.isFinite(bytes)) return NO_VALUE;
  const { number, suffix } = scale(bytes, BINARY_STEPS);
  return number + suffix;
}
