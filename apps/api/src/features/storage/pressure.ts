// SPDX-License-Identifier: Apache-2.0

import { type StorageState, storageStates } from "@waggle/signals";

/** Share of the space in use from which a state holds. */
export const thresholds: Readonly<Record<Exclude<StorageState, "ok">, number>> = { warn: 0.7, coarsen: 0.8, drop: 0.9 };

/** A state ends this far below its threshold, so that it does not come and go with every merge. */
const HYSTERESIS = 0.03;

/**
 * From `coarsen` on, what a larger disk has free counts as a share of this: a tenth of a large disk are days, and 20 GB are as good on it as on a small one.
 * So there are always 20 GB between the two marks, in which agents can be heard to send less before anything is dropped.
 */
export const COUNTED_BYTES_MAX = 200_000_000_000;

export interface DiskSpace {
  /** Which server, where there are several. */
  readonly node: string;
  readonly disk: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
}

export interface Usage {
  /** 0 … 1, and beyond where a limit is set that was not kept. */
  readonly share: number;
  /** The same, as `coarsen` and `drop` count it; less than `share` of a large disk. */
  readonly urgency: number;
  /** What is that full, in words. */
  readonly what: string;
}

/**
 * The fullest of the disks and, where one is set, the limit of what tables may take.
 * @param bytes of all tables on all servers
 */
export function usageOf(disks: readonly DiskSpace[], bytes: number, bytesMax: number | null): Usage {
  const usages: Usage[] = disks
    .filter((disk) => disk.totalBytes > 0)
    .map((disk) => {
      const share = 1 - disk.freeBytes / disk.totalBytes;
      return {
        share,
        urgency: 1 - disk.freeBytes / Math.min(disk.totalBytes, COUNTED_BYTES_MAX),
        what: `the disk "${disk.disk}"${disk.node === "1" ? "" : ` of server ${disk.node}`} is ${percent(share)} full`,
      };
    });
  if (bytesMax !== null) {
    const share = bytes / bytesMax;
    usages.push({ share, urgency: share, what: `the tables take ${percent(share)} of WAGGLE_API_STORAGE_BYTES_MAX` });
  }
  const none: Usage = { share: 0, urgency: 0, what: "ClickHouse tells of no disk" };
  const severity = (usage: Usage): number => rank(stateAt(usage, 0)) * 10 + usage.share;
  return usages.reduce((fullest, usage) => (severity(usage) > severity(fullest) ? usage : fullest), usages[0] ?? none);
}

/** The state that follows from `before` at this usage. */
export function nextState(before: StorageState, usage: Usage): StorageState {
  const rising = stateAt(usage, 0);
  if (rank(rising) >= rank(before)) return rising;
  // Falling: the highest state that is not left yet.
  const lasting = stateAt(usage, HYSTERESIS);
  return rank(lasting) < rank(before) ? lasting : before;
}

/** @param margin by how much each mark is lower */
function stateAt({ share, urgency }: Usage, margin: number): StorageState {
  if (urgency + margin >= thresholds.drop) return "drop";
  if (urgency + margin >= thresholds.coarsen) return "coarsen";
  return share + margin >= thresholds.warn ? "warn" : "ok";
}

export function rank(state: StorageState): number {
  return storageStates.indexOf(state);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
