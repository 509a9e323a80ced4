// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable, type OnApplicationBootstrap } from "@nestjs/common";
import type { HourClaim } from "@waggle/proto";
import { encodeStrings, writeVarint } from "@waggle/signals";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { CLAIMS_TABLE } from "../../clickhouse/schema.ts";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";

const SAVE_INTERVAL_MS = 10_000;
/** Host-hours that wait to be written. Agents say the current hours again with every window, so what is left out comes again. */
const PENDING_MAX = 100_000;
/** Hours of one Status: an agent says the last day behind a Hello. */
const HOURS_PER_STATUS_MAX = 64;
export const HOUR_MS = 3_600_000;
/** How far a host's clock may be from the API's for its hours to be accounted for: further apart, nobody knows which windows are meant. */
export const CLOCK_OFFSET_MS_MAX = 24 * HOUR_MS;
const CLAIM_AGE_MS_MAX = 8 * 24 * HOUR_MS;
const COUNT_MAX = 2n ** 48n;

interface Claim {
  readonly tenant: string;
  readonly host: string;
  readonly hourMs: number;
  readonly counts: readonly [windows: bigint, rows: bigint, frames: bigint, droppedWindows: bigint, refusedWindows: bigint];
  readonly receivedMs: number;
}

/** Collects what agents say of their hours and writes it to `ingest_claims` in batches. The newest statement of a host about an hour counts. */
@Injectable()
export class ClaimsService implements OnApplicationBootstrap {
  private pending = new Map<string, Claim>();
  /** The newest two hours of each host as written: agents repeat them with every window, changed or not. */
  private readonly written = new Map<string, readonly Claim[]>();
  private timer: NodeJS.Timeout | undefined;
  private saving: Promise<void> = Promise.resolve();
  private hasWarned = false;

  constructor(
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.save(), SAVE_INTERVAL_MS);
    this.timer.unref();
  }

  /** Takes what a host said. Hours that cannot be meant are left out: the ledger then knows nothing of them, and says so. */
  note(sender: { readonly organisationId: string; readonly hostId: string }, hours: readonly HourClaim[]): void {
    const nowMs = this.clock.now();
    for (const hour of hours.slice(0, HOURS_PER_STATUS_MAX)) {
      const hourMs = Number(hour.hourStartMs);
      if (hourMs % HOUR_MS !== 0 || hourMs > nowMs + CLOCK_OFFSET_MS_MAX || hourMs < nowMs - CLAIM_AGE_MS_MAX) continue;
      const counts = [hour.windows, hour.rows, hour.frames, hour.droppedWindows, hour.refusedWindows] as const;
      if (counts.some((count) => count > COUNT_MAX)) continue;
      const key = `${sender.hostId} ${hourMs}`;
      const known = this.pending.get(key) ?? this.written.get(sender.hostId)?.find((claim) => claim.hourMs === hourMs);
      if (known?.counts.every((count, index) => count === counts[index])) continue;
      if (!this.pending.has(key) && this.pending.size >= PENDING_MAX) {
        if (!this.hasWarned) this.log.warn({ hostHours: PENDING_MAX }, "too many hours of hosts wait to be written; the rest will come again");
        this.hasWarned = true;
        return;
      }
      this.pending.set(key, { tenant: sender.organisationId, host: sender.hostId, hourMs, counts, receivedMs: nowMs });
    }
  }

  /** Writes what is waiting. What could not be written is put back, behind what came in meanwhile. */
  save(): Promise<void> {
    this.saving = this.saving.then(async () => {
      if (this.pending.size === 0 || !this.clickhouse.isPrepared) return;
      const batch = this.pending;
      this.pending = new Map();
      try {
        const claims = [...batch.values()];
        await this.clickhouse.insertNative(
          CLAIMS_TABLE,
          claimColumns.map(([name]) => name),
          [encodeClaims(claims)],
        );
        for (const claim of claims) this.remember(claim);
        this.hasWarned = false;
      } catch (error) {
        this.log.warn({ err: error, hostHours: batch.size }, "could not write what agents say of their hours");
        for (const [key, claim] of batch) if (!this.pending.has(key)) this.pending.set(key, claim);
      }
    });
    return this.saving;
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.save();
  }

  private remember(claim: Claim): void {
    const others = (this.written.get(claim.host) ?? []).filter((other) => other.hourMs !== claim.hourMs);
    this.written.set(claim.host, [...others, claim].sort((a, b) => b.hourMs - a.hourMs).slice(0, 2));
  }
}

const claimColumns = [
  ["tenant", "String"],
  ["host", "String"],
  ["ts", "DateTime64(3, 'UTC')"],
  ["received_at", "DateTime64(3, 'UTC')"],
  ["windows", "UInt64"],
  ["rows", "UInt64"],
  ["frames", "UInt64"],
  ["dropped_windows", "UInt64"],
  ["refused_windows", "UInt64"],
] as const;

function encodeClaims(claims: readonly Claim[]): Uint8Array {
  const times = (of: (claim: Claim) => number) => new Uint8Array(BigInt64Array.from(claims, (claim) => BigInt(of(claim))).buffer);
  const columns = [
    encodeStrings(claims.map((claim) => claim.tenant)),
    encodeStrings(claims.map((claim) => claim.host)),
    times((claim) => claim.hourMs),
    times((claim) => claim.receivedMs),
    ...[0, 1, 2, 3, 4].map((index) => new Uint8Array(BigUint64Array.from(claims, (claim) => claim.counts[index] as bigint).buffer)),
  ];
  const head = new Uint8Array(16);
  const headBytes = writeVarint(head, writeVarint(head, 0, columns.length), claims.length);
  return Buffer.concat([
    head.subarray(0, headBytes),
    ...columns.flatMap((bytes, index) => [encodeStrings(claimColumns[index] as [string, string]), bytes]),
  ]);
}
