// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { AppError } from "../../common/app-error.ts";
import { type Caller, requireScope } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { Cursors } from "../lists/cursors.ts";
import { timeRangeOrThrow } from "../query/time-range.ts";
import { CLOCK_OFFSET_MS_MAX, HOUR_MS } from "./claims.service.ts";
import { type LedgerRange, LedgerRepository, type LedgerRow, type LedgerTotals } from "./ledger.repository.ts";
import { type Ledger, type LedgerEntry, type LedgerParameters, verdicts } from "./ledger.schemas.ts";

const RANGE_MS_MAX = 7 * 24 * HOUR_MS;
/** An hour's last window and what is said of it are written within this after its end. */
const SETTLE_MS = 120_000;
/** Within this, a host's hour is over when the API's is. */
const CLOCK_OFFSET_MS_SMALL = 30_000;
/** Clocks drift between two Hellos. */
const CLOCK_DRIFT_MS = 10 * 60_000;

/** Holds what agents say they made against what is stored. */
@Injectable()
export class LedgerService {
  constructor(
    @Inject(LedgerRepository) private readonly repository: LedgerRepository,
    @Inject(Cursors) private readonly cursors: Cursors,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** @throws AppError VALIDATION_FAILED, HOST_NOT_FOUND, FORBIDDEN, STORAGE_UNAVAILABLE, QUERY_TOO_LARGE, QUERY_TIMEOUT */
  async read(caller: Caller, parameters: LedgerParameters): Promise<Ledger> {
    requireScope(caller, "hosts:read");
    const nowMs = this.clock.now();
    const { fromMs: askedMs, toMs } = timeRangeOrThrow(parameters.from, parameters.to, nowMs);
    const fromMs = Math.floor(askedMs / HOUR_MS) * HOUR_MS;
    if (toMs - fromMs > RANGE_MS_MAX + HOUR_MS) {
      const detail = "The ledger is read for at most 7 days at a time.";
      throw new AppError("VALIDATION_FAILED", detail, { errors: [{ pointer: "/from", detail }] });
    }
    // The range may be relative to now, and moves from page to page; the place is absolute.
    const { from, to, host: ofHost, problems } = parameters;
    const purpose = { organisationId: caller.organisationId, list: "ledger", of: { from, to, host: ofHost, problems } };
    const place = parameters.cursor === undefined ? null : this.cursors.open(purpose, parameters.cursor);
    const after = place === null ? null : { hourMs: Number(place[0]), hostId: String(place[1]) };
    const hosts = await this.repository.listHosts(caller.organisationId);
    const { host: wanted } = parameters;
    const host = wanted === undefined ? undefined : (hosts.find(({ id }) => id === wanted) ?? hosts.find(({ name }) => name === wanted));
    if (wanted !== undefined && host === undefined)
      throw new AppError("HOST_NOT_FOUND", `There is no host \`${wanted}\` in ${caller.organisationName}. GET /api/v1/hosts lists them.`);

    const range: LedgerRange = {
      tenant: caller.organisationId,
      fromMs,
      toMs,
      host: host?.id ?? null,
      spoolingHosts: hosts.filter(({ spoolFrames }) => (spoolFrames ?? 0) > 0).map(({ id }) => id),
      skewedHosts: new Map(
        hosts.flatMap(({ id, clockOffsetMs }) =>
          clockOffsetMs !== null && Math.abs(clockOffsetMs) > CLOCK_OFFSET_MS_SMALL ? [[id, clockOffsetMs] as const] : [],
        ),
      ),
      settledBeforeMs: nowMs - SETTLE_MS,
      // One host may have been anywhere before its clock was set; of all hosts what is known now must do, or every page would read days.
      clockOffsetMsMax:
        host === undefined ? Math.max(0, ...hosts.map(({ clockOffsetMs }) => Math.abs(clockOffsetMs ?? 0))) + CLOCK_DRIFT_MS : CLOCK_OFFSET_MS_MAX,
    };
    const page = { onlyProblems: parameters.problems, limit: parameters.limit + 1, after };
    const [rows, totals] = await Promise.all([this.repository.listHostHours(range, page), this.repository.sumByVerdict(range)]);
    const shown = rows.slice(0, parameters.limit);
    const last = shown.at(-1);
    const names = new Map(hosts.map(({ id, name }) => [id, name]));
    const hasMore = rows.length > shown.length;
    const next = hasMore && last !== undefined ? this.cursors.seal(purpose, [last.hour_ms, last.host_id]) : null;
    return {
      meta: {
        from: new Date(fromMs).toISOString(),
        to: new Date(toMs).toISOString(),
        totals: toTotals(totals),
        nextCursor: next,
      },
      page: { next, hasMore },
      data: shown.map((row) => toEntry(row, names.get(row.host_id) ?? row.host_id)),
    };
  }
}

function toEntry(row: LedgerRow, name: string): LedgerEntry {
  return {
    hour: new Date(row.hour_ms).toISOString(),
    hostId: row.host_id,
    host: name,
    verdict: row.verdict,
    said: row.is_said
      ? {
          windows: row.said_windows,
          rows: row.said_rows,
          frames: row.said_frames,
          droppedWindows: row.dropped_windows,
          refusedWindows: row.refused_windows,
          at: new Date(row.said_ms).toISOString(),
        }
      : null,
    stored: { frames: row.frames, windows: row.stored_windows, rows: row.stored_rows },
    rolledUp: { "1m": row.rolled_1m, "1h": row.rolled_1h },
  };
}

function toTotals(rows: readonly LedgerTotals[]): Ledger["meta"]["totals"] {
  const sum = (of: (row: LedgerTotals) => number): number => rows.reduce((total, row) => total + of(row), 0);
  return {
    hostHours: sum((row) => row.host_hours),
    verdicts: Object.fromEntries(verdicts.map((verdict) => [verdict, rows.find((row) => row.verdict === verdict)?.host_hours ?? 0])) as Record<
      (typeof verdicts)[number],
      number
    >,
    said: {
      windows: sum((row) => row.said_windows),
      rows: sum((row) => row.said_rows),
      frames: sum((row) => row.said_frames),
      droppedWindows: sum((row) => row.dropped_windows),
      refusedWindows: sum((row) => row.refused_windows),
    },
    stored: { frames: sum((row) => row.frames), windows: sum((row) => row.stored_windows), rows: sum((row) => row.stored_rows) },
    rolledUp: { "1m": sum((row) => row.rolled_1m), "1h": sum((row) => row.rolled_1h) },
  };
}
