// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import type { Hello } from "@waggle/proto";
import { eq, sql } from "drizzle-orm";
import { Database } from "../../postgres/database.ts";
import { hosts } from "../../postgres/schema.ts";
import { factColumns } from "../tokens/enrolment.service.ts";

/** What is known of a host now; null leaves what is stored. Times are Unix milliseconds of the API's clock. */
export interface HostStatus {
  readonly hostId: string;
  readonly lastSeenMs: number;
  readonly lastWindowEndMs: number | null;
  readonly statusMs: number | null;
  readonly clockOffsetMs: number | null;
  readonly spoolFrames: number | null;
  readonly spoolBytes: number | null;
  readonly refusedFrames: number | null;
  readonly droppedFrames: number | null;
  readonly agentStartedMs: number | null;
  readonly coarsenedWindows: number | null;
}

@Injectable()
export class HostStatusRepository {
  constructor(@Inject(Database) private readonly database: Database) {}

  async saveHello(hostId: string, hello: Hello, windowMs: number, clockOffsetMs: number): Promise<void> {
    await this.database.db
      .update(hosts)
      .set({ ...(hello.facts === undefined ? {} : factColumns(hello.facts)), bootId: hello.bootId, windowMs, clockOffsetMs, lastSeenAt: sql`now()` })
      .where(eq(hosts.id, hostId));
  }

  /** One statement for any number of hosts. A window never makes `last_window_end_at` earlier: spooled ones arrive late. */
  async save(statuses: readonly HostStatus[]): Promise<void> {
    if (statuses.length === 0) return;
    await this.database.db.execute(sql`
      UPDATE hosts SET
        last_seen_at = greatest(hosts.last_seen_at, to_timestamp(news."lastSeenMs" / 1000)),
        last_window_end_at = greatest(hosts.last_window_end_at, to_timestamp(news."lastWindowEndMs" / 1000)),
        status_at = coalesce(to_timestamp(news."statusMs" / 1000), hosts.status_at),
        clock_offset_ms = coalesce(news."clockOffsetMs", hosts.clock_offset_ms),
        spool_frames = coalesce(news."spoolFrames", hosts.spool_frames),
        spool_bytes = coalesce(news."spoolBytes", hosts.spool_bytes),
        refused_frames = coalesce(news."refusedFrames", hosts.refused_frames),
        dropped_frames = coalesce(news."droppedFrames", hosts.dropped_frames),
        coarsened_windows = coalesce(news."coarsenedWindows", hosts.coarsened_windows),
        agent_started_at = coalesce(to_timestamp(news."agentStartedMs" / 1000), hosts.agent_started_at)
      FROM jsonb_to_recordset(${JSON.stringify(statuses)}::jsonb) AS news(
        "hostId" uuid, "lastSeenMs" double precision, "lastWindowEndMs" double precision, "statusMs" double precision, "clockOffsetMs" bigint,
        "spoolFrames" bigint, "spoolBytes" bigint, "refusedFrames" bigint, "droppedFrames" bigint, "agentStartedMs" double precision, "coarsenedWindows" bigint)
      WHERE hosts.id = news."hostId"`);
  }
}
