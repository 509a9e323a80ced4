// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import type { Hello } from "@waggle/proto";
import { sql } from "drizzle-orm";
import { Database } from "../../postgres/database.ts";
import { noticeStatement } from "../events/noticed-events.ts";
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
  /** Length of its windows from now on. */
  readonly windowMs: number | null;
  /** The acknowledgement of its settings. */
  readonly settingsRevision: number | null;
  readonly settingsProblems: readonly string[] | null;
}

/** What a host said when its stream opened. */
export interface HostHello {
  readonly hostId: string;
  readonly hello: Hello;
  readonly windowMs: number;
  readonly clockOffsetMs: number;
  /** When, on the API's clock. */
  readonly atMs: number;
}

@Injectable()
export class HostStatusRepository {
  constructor(@Inject(Database) private readonly database: Database) {}

  /** What hosts said in their Hellos, and the events that it shows: a new boot, another kernel or agent. */
  async saveHellos(hellos: readonly HostHello[]): Promise<void> {
    if (hellos.length === 0) return;
    const news = hellos.map(({ hostId, hello, windowMs, clockOffsetMs, atMs }) => ({
      ...(hello.facts === undefined ? {} : factColumns(hello.facts)),
      hostId,
      bootId: hello.bootId,
      windowMs,
      clockOffsetMs,
      atMs,
    }));
    await this.database.db.transaction(async (tx) => {
      await tx.execute(noticeStatement(news));
      await tx.execute(sql`
      UPDATE hosts SET
        kernel = coalesce(news.kernel, hosts.kernel),
        distribution = coalesce(news.distribution, hosts.distribution),
        architecture = coalesce(news.architecture, hosts.architecture),
        cpus = coalesce(news.cpus, hosts.cpus),
        memory_bytes = coalesce(news."memoryBytes", hosts.memory_bytes),
        agent_version = coalesce(news."agentVersion", hosts.agent_version),
        simulated = coalesce(news.simulated, hosts.simulated),
        agent_tags = coalesce(news."agentTags", hosts.agent_tags),
        tags = coalesce(news."agentTags", hosts.agent_tags) || hosts.own_tags,
        boot_id = news."bootId",
        window_ms = news."windowMs",
        clock_offset_ms = news."clockOffsetMs",
        last_seen_at = greatest(hosts.last_seen_at, to_timestamp(news."atMs" / 1000))
      FROM jsonb_to_recordset(${JSON.stringify(news)}::jsonb) AS news(
        "hostId" uuid, kernel text, distribution text, architecture text, cpus integer, "memoryBytes" bigint, "agentVersion" text, simulated boolean, "agentTags" jsonb,
        "bootId" text, "windowMs" integer, "clockOffsetMs" bigint, "atMs" double precision)
      WHERE hosts.id = news."hostId"`);
    });
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
        window_ms = coalesce(news."windowMs", hosts.window_ms),
        settings_applied_at = CASE WHEN coalesce(news."settingsRevision", hosts.settings_revision) IS DISTINCT FROM hosts.settings_revision
          THEN to_timestamp(news."statusMs" / 1000) ELSE hosts.settings_applied_at END,
        settings_revision = coalesce(news."settingsRevision", hosts.settings_revision),
        settings_problems = coalesce(news."settingsProblems", hosts.settings_problems),
        agent_started_at = coalesce(to_timestamp(news."agentStartedMs" / 1000), hosts.agent_started_at)
      FROM jsonb_to_recordset(${JSON.stringify(statuses)}::jsonb) AS news(
        "hostId" uuid, "lastSeenMs" double precision, "lastWindowEndMs" double precision, "statusMs" double precision, "clockOffsetMs" bigint,
        "spoolFrames" bigint, "spoolBytes" bigint, "refusedFrames" bigint, "droppedFrames" bigint, "agentStartedMs" double precision, "coarsenedWindows" bigint,
        "windowMs" integer, "settingsRevision" bigint, "settingsProblems" text[])
      WHERE hosts.id = news."hostId"`);
  }
}
