// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { type ColumnBlock, encodeBlock, getSignalOrThrow, SERVER_HOST, type Signal, serverStorage, type WireRow } from "@waggle/signals";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";
import { Config } from "../../config/config.ts";
import { Database } from "../../postgres/database.ts";
import { LeasesRepository } from "../../postgres/leases.repository.ts";
import { organisations } from "../../postgres/schema.ts";
import { type Frame, frameOf } from "../ingest/frame.ts";
import { FrameWriter } from "../ingest/frame-writer.service.ts";
import { DiskGuard } from "./disk-guard.service.ts";
import { StorageRepository } from "./storage.repository.ts";

const WINDOW_MS = 60_000;
/** After a minute's end, so that a clock a little behind is in the minute too. */
const DELAY_MS = 1_000;
const LEASE = "server_storage";
const LEASE_MS = 90_000;

type BlockOfSignal = { readonly signal: Signal } & ColumnBlock;

/**
 * Writes the signal `server_storage` for every organisation: the path of agents' snapshots, so that queries and rules treat the store like any host.
 * One node writes; a minute that none wrote is a gap.
 */
@Injectable()
export class ServerStorageService implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly holder = randomUUID();
  private readonly bootId = randomUUID();
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(
    @Inject(DiskGuard) private readonly guard: DiskGuard,
    @Inject(StorageRepository) private readonly repository: StorageRepository,
    @Inject(FrameWriter) private readonly writer: FrameWriter,
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(Database) private readonly database: Database,
    @Inject(LeasesRepository) private readonly leases: LeasesRepository,
    @Inject(Config) private readonly config: Config,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.schedule();
  }

  async onApplicationShutdown(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.leases.release(LEASE, this.holder).catch(() => {});
  }

  /**
   * Writes the minute that begins at `minuteMs` (Unix milliseconds), as the store is now, with what was dropped since the last report, by whichever node.
   * A drop is counted in one minute's report. If the node that wrote it died before it knew that all organisations have it, those that have not get it
   * with their next.
   * @returns when all organisations' rows are stored. Throws what Postgres and ClickHouse throw
   */
  async write(minuteMs: number): Promise<void> {
    const rows = await this.database.db.select({ id: organisations.id }).from(organisations);
    // While nobody can say how full the store is there is no row that could count drops: they wait for the next.
    const drops = this.problem === undefined ? await this.repository.assignDrops(minuteMs) : [];
    const firstMs = Math.min(minuteMs, ...drops);
    const reported = firstMs < minuteMs ? await this.repository.lastReports(firstMs, minuteMs) : new Map<string, number>();
    const outcomes = rows.map(({ id }) => {
      const afterMs = reported.get(id) ?? Number.NEGATIVE_INFINITY;
      const blocks = this.blocks(drops.filter((countedMs) => countedMs > afterMs).length);
      return new Promise<boolean>((resolve) => this.writer.add(this.frame(id, minuteMs, blocks), true, ({ result }) => resolve(result === "stored")));
    });
    const refused = (await Promise.all(outcomes)).filter((isStored) => !isStored).length;
    if (refused > 0) this.log.error({ refused }, "the store refused its own report");
    else if (drops.length > 0) await this.repository.confirmDrops(minuteMs);
  }

  /** Why there is nothing to report; a store that nobody has looked at yet is not an empty one. */
  private get problem(): string | undefined {
    return this.guard.problem ?? (this.guard.view === undefined ? "nobody has looked since the API started" : undefined);
  }

  /** @param dropped partitions that this report is the first to count */
  private blocks(dropped: number): BlockOfSignal[] {
    const { view, state } = this.guard;
    const { problem } = this;
    const rows: WireRow[] = [];
    if (view !== undefined && problem === undefined) {
      // What was dropped belongs to no disk in particular; it stands with the first row.
      const push = (disk: string, used: number, total: number): void => {
        const isFirst = rows.length === 0;
        rows.push({
          disk,
          state,
          used_bytes: Math.round(used),
          total_bytes: Math.round(total),
          dropped_partitions: isFirst ? dropped : 0,
        });
      };
      for (const { node, disk, totalBytes, freeBytes } of view.disks) {
        push(this.clickhouse.layout.cluster === null ? disk : `${node}/${disk}`, totalBytes - freeBytes, totalBytes);
      }
      const { storageBytesMax } = this.config;
      if (storageBytesMax !== null)
        push(
          "limit",
          view.partitions.reduce((sum, { bytes }) => sum + bytes, 0),
          storageBytesMax,
        );
    }
    const coverage = getSignalOrThrow("agent_coverage");
    const said = { signal: serverStorage.name, state: problem === undefined ? "exact" : "failed", reason: problem ?? "", windows: 1 };
    return [
      ...(rows.length === 0 ? [] : [{ signal: serverStorage, ...encodeBlock(serverStorage, rows) }]),
      { signal: coverage, ...encodeBlock(coverage, [said]) },
    ];
  }

  private frame(tenant: string, minuteMs: number, blocks: readonly BlockOfSignal[]): Frame {
    const head = {
      tenant,
      host: SERVER_HOST,
      sequence: BigInt(minuteMs / WINDOW_MS),
      tsMs: minuteMs,
      windowMs: WINDOW_MS,
      clockOffsetMs: 0n,
      bootId: this.bootId,
      windows: 1,
    };
    return frameOf(head, blocks);
  }

  private schedule(): void {
    if (this.isStopped) return;
    const nowMs = this.clock.now();
    const dueMs = (Math.floor(nowMs / WINDOW_MS) + 1) * WINDOW_MS + DELAY_MS;
    this.timer = setTimeout(() => void this.turn().then(() => this.schedule()), dueMs - nowMs).unref();
  }

  private async turn(): Promise<void> {
    try {
      // While the store takes nothing, minutes would pile up here; they are gaps instead.
      if (this.writer.isFailing || !(await this.leases.take(LEASE, this.holder, LEASE_MS))) return;
      await this.write(Math.floor(this.clock.now() / WINDOW_MS) * WINDOW_MS - WINDOW_MS);
    } catch (error) {
      this.log.warn({ err: error }, "could not report how full the store is");
    }
  }
}
