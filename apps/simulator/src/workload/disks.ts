// SPDX-License-Identifier: Apache-2.0
import { bucketIndex } from "@waggle/signals";
import { stalled, steady } from "./columns.ts";
import { counterTable, type FamilyContext, histogramTable, named, roundByChance, type SignalFamily } from "./family.ts";
import type { HostWindow } from "./host-window.ts";
import type { NamedRows } from "./named-rows.ts";

export const DISK = "nvme0n1";
/** The kernel gathers what is written into requests of this size; neighbouring reads are larger than one page too. */
const WRITE_BYTES = 65_536;
const READ_BYTES = 32_768;
const DISCARD_BYTES = 1_048_576;
/** Of what is read from files, the part that was not in memory. */
const MISSED_SHARE = 0.04;
const SECTOR_BYTES = 512;
const PAGE_BYTES = 4_096;

const operations = ["write", "read", "flush", "discard"] as const;
const buckets = [90_000n, 110_000n, 3_500_000n, 400_000n].map(bucketIndex);

/** The disk below the files: its requests, how long they take, and those that fail. */
export class DiskFamily implements SignalFamily {
  readonly #names: NamedRows;
  readonly #latencyNames: NamedRows;
  readonly #errorNames: NamedRows;
  readonly #io;
  readonly #latency;
  readonly #errors;

  constructor({ shares }: FamilyContext) {
    const rows = operations.map((operation) => ({ device: DISK, operation }));
    this.#names = named("block_io", rows);
    this.#latencyNames = named("block_latency", rows);
    this.#errorNames = named(
      "block_errors",
      rows.map((row) => ({ ...row, errno: "EIO" })),
    );
    this.#io = counterTable("block_io", shares);
    this.#latency = histogramTable("block_latency", shares);
    this.#errors = counterTable("block_errors", shares);
  }

  /** Follows what files say was written, read and synced, and what pages were read because somebody touched them. */
  make(window: HostWindow): void {
    window.draw("disks");
    const { random, ailments, seconds } = window;
    let syncs = 0;
    for (const count of window.syncs) syncs += count;
    const writes = Math.max(1, Math.ceil(window.bytesWritten / WRITE_BYTES) + syncs);
    const written = sectors(Math.max(window.bytesWritten, writes * PAGE_BYTES));
    const missed = window.bytesRead * MISSED_SHARE + window.faultsMajor * PAGE_BYTES;
    const reads = roundByChance(missed / READ_BYTES, random.next());
    const discards = roundByChance(seconds / 600, random.next());
    const amounts = [
      [writes, written],
      [reads, reads * READ_BYTES],
      [syncs, 0],
      [discards, discards * DISCARD_BYTES],
    ] as const;
    this.#io.begin();
    this.#latency.begin();
    this.#errors.begin();
    for (const [row, [count, bytes]] of amounts.entries()) {
      if (count === 0) continue;
      this.#io.add(row, count, bytes);
      this.#latency.add(row, count, buckets[row] as number, ailments.slowDisk ? stalled : steady, random);
      window.diskRequests += count;
      window.diskBytes += bytes;
      const failed = ailments.slowDisk && operations[row] !== "discard" ? roundByChance(count * 0.002, random.next()) : 0;
      if (failed > 0) this.#errors.add(row, failed);
    }
    window.push(this.#io, this.#names);
    window.push(this.#latency, this.#latencyNames);
    window.push(this.#errors, this.#errorNames);
  }
}

const sectors = (bytes: number): number => Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES;
