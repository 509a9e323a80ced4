// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from "node:fs";
import type { QuantitySource } from "./quantity-source.ts";

const SECTOR_BYTES = 512n;

/** Positions in a line of /proc/diskstats (Documentation/admin-guide/iostats.rst): requests and sectors, of reads, writes and discards. */
const NAME = 2;
const REQUESTS = [3, 7, 14] as const;
const SECTORS = [5, 9, 16] as const;

/** Requests and bytes of the disks that `hasRequests` says yes to, out of the text of /proc/diskstats. */
export function parseDiskstats(text: string, hasRequests: (disk: string) => boolean): Map<string, bigint> {
  let requests = 0n;
  let sectors = 0n;
  for (const line of text.split("\n")) {
    const fields = line.trim().split(/\s+/);
    const name = fields[NAME];
    if (name === undefined || !hasRequests(name)) continue;
    const sum = (positions: readonly number[]): bigint => positions.reduce((total, position) => total + BigInt(fields[position] ?? 0), 0n);
    requests += sum(REQUESTS);
    sectors += sum(SECTORS);
  }
  return new Map([
    ["disk_requests", requests],
    ["disk_bytes", sectors * SECTOR_BYTES],
  ]);
}

/** What disks did: those that have requests, and none of their partitions, which would count it again. */
export function diskQuantities(procPath: string, sysPath = "/sys"): QuantitySource {
  const known = new Map<string, boolean>();
  const hasRequests = (disk: string): boolean => {
    let is = known.get(disk);
    if (is === undefined) {
      is = existsSync(`${sysPath}/block/${disk.replaceAll("/", "!")}/mq`);
      known.set(disk, is);
    }
    return is;
  };
  return {
    read: () => parseDiskstats(readFileSync(`${procPath}/diskstats`, "latin1"), hasRequests),
    counted: {
      disk_requests: { signal: "block_io", measures: ["count"] },
      disk_bytes: { signal: "block_io", measures: ["bytes"] },
    },
  };
}
