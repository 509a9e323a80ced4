// SPDX-License-Identifier: Apache-2.0

/**
 * How full the store is, worst last. warn: said; coarsen: agents are asked for longer windows; drop: the oldest raw rows go, so that
 * new ones can come.
 */
export const storageStates = ["ok", "warn", "coarsen", "drop"] as const;
export type StorageState = (typeof storageStates)[number];

/** Share of the space in use from which a state holds. */
export const thresholds: Readonly<Record<Exclude<StorageState, "ok">, number>> = { warn: 0.7, coarsen: 0.8, drop: 0.9 };

/** A state ends this far below its threshold, so that it does not come and go with every merge. */
const HYSTERESIS = 0.03;

/** A disk with more room than this is never worse than `warn`, whatever its share: 10 % of a large disk are days. */
export const FREE_BYTES_ENOUGH = 20_000_000_000;

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
  /** What is that full, in words. */
  readonly what: string;
  /** The worst it can count for. */
  readonly worst: StorageState;
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
        what: `the disk "${disk.disk}"${disk.node === "1" ? "" : ` of server ${disk.node}`} is ${percent(share)} full`,
        worst: disk.freeBytes > FREE_BYTES_ENOUGH ? "warn" : "drop",
      };
    });
  if (bytesMax !== null) {
    const share = bytes / bytesMax;
    usages.push({ share, what: `the tables take ${percent(share)} of WAGGLE_API_STORAGE_BYTES_MAX`, worst: "drop" });
  }
  const none: Usage = { share: 0, what: "ClickHouse tells of no disk", worst: "ok" };
  const severity = (usage: Usage): number => rank(stateAt(usage.share, usage.worst)) * 10 + usage.share;
  return usages.reduce((fullest, usage) => (severity(usage) > severity(fullest) ? usage : fullest), usages[0] ?? none);
}

/** The state that follows from `before` at this usage. */
export function nextState(before: StorageState, { share, worst }: Usage): StorageState {
  const rising = stateAt(share, worst);
  if (rank(rising) >= rank(before)) return rising;
  // Falling: the highest state that is not left yet.
  const lasting = stateAt(share + HYSTERESIS, worst);
  return rank(lasting) < rank(before) ? lasting : before;
}

function stateAt(share: number, worst: StorageState): StorageState {
  const state = share >= thresholds.drop ? "drop" : share >= thresholds.coarsen ? "coarsen" : share >= thresholds.warn ? "warn" : "ok";
  return rank(state) > rank(worst) ? worst : state;
}

export function rank(state: StorageState): number {
  return storageStates.indexOf(state);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
