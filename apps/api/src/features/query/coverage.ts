// SPDX-License-Identifier: Apache-2.0
import { RAW_RETENTION_DAYS } from "@waggle/signals";
import type { Coverage } from "./query.schemas.ts";
import { type Steps, WINDOW_MS } from "./time-range.ts";

/** A window is stored about 2 s after it ended; before that its absence means nothing. */
const SETTLE_MS = 3_000;
/** A host that has been silent for longer is offline, not late. */
export const OFFLINE_AFTER_MS = 120_000;
const MISSING_MAX = 100;

/** A host of the organisation, as far as queries need it. */
export interface KnownHost {
  /** The `host` of ClickHouse rows. */
  readonly id: string;
  readonly name: string;
  readonly enrolledAtMs: number;
  readonly retiredAtMs: number | null;
  /** End of the newest stored window; null = never. */
  readonly lastWindowEndMs: number | null;
}

/** A row of `coverageStatement`. */
export interface CoverageRow {
  readonly host_id: string;
  readonly steps: readonly number[];
  readonly covered: readonly number[];
  readonly last_reporting_ms: number;
  readonly last_ms: number;
  readonly last_state: string;
  readonly last_reason: string;
  readonly first_ms: number;
}

/** Who reported when. */
export class Reports {
  /** Per step: how many hosts reported. */
  readonly hostCounts: readonly number[];
  private readonly byHost: ReadonlyMap<string, readonly boolean[]>;

  constructor(rows: readonly CoverageRow[], count: number) {
    const hostCounts = new Array<number>(count).fill(0);
    const byHost = new Map<string, boolean[]>();
    for (const row of rows) {
      const reported = new Array<boolean>(count).fill(false);
      for (const step of row.steps) {
        reported[step] = true;
        hostCounts[step] = (hostCounts[step] ?? 0) + 1;
      }
      byHost.set(row.host_id, reported);
    }
    this.hostCounts = hostCounts;
    this.byHost = byHost;
  }

  /** Whether any host reported in the step. */
  any(step: number): boolean {
    return (this.hostCounts[step] ?? 0) > 0;
  }

  host(hostId: string, step: number): boolean {
    return this.byHost.get(hostId)?.[step] ?? false;
  }

  /** Whether any host but these reported in the step. */
  anyBut(hostIds: readonly string[], step: number): boolean {
    return (this.hostCounts[step] ?? 0) > hostIds.filter((hostId) => this.host(hostId, step)).length;
  }
}

/**
 * The coverage block of an answer.
 * @param expected hosts that match the filter and were enrolled, and not retired, in the range
 */
export function assembleCoverage(steps: Steps, expected: readonly KnownHost[], rows: readonly CoverageRow[], nowMs: number): Coverage {
  const byHost = new Map(rows.map((row) => [row.host_id, row]));
  const missing = expected.flatMap((host) => missingEntry(host, byHost.get(host.id), steps, nowMs) ?? []);
  return {
    hosts: expected.length,
    reporting: expected.length - missing.length,
    missing: missing.slice(0, MISSING_MAX),
    steps: fractions(steps, expected, byHost, nowMs),
    note: notes(steps, expected, byHost, nowMs, missing.length),
  };
}

/** Per step: reported host time ÷ expected host time. */
function fractions(steps: Steps, expected: readonly KnownHost[], byHost: ReadonlyMap<string, CoverageRow>, nowMs: number): number[] {
  const settledMs = Math.floor((nowMs - SETTLE_MS) / WINDOW_MS) * WINDOW_MS;
  const expectedMs = new Array<number>(steps.count).fill(0);
  const coveredMs = new Array<number>(steps.count).fill(0);
  for (const host of expected) {
    const row = byHost.get(host.id);
    // Windows may be older than the enrolment (a spool that was filled before); then the host counts from the first of them.
    const startMs = Math.min(host.enrolledAtMs, row?.first_ms ?? Number.POSITIVE_INFINITY);
    const endMs = Math.min(settledMs, host.retiredAtMs ?? Number.POSITIVE_INFINITY);
    for (let step = 0; step < steps.count; step++) {
      const stepMs = steps.fromMs + step * steps.stepMs;
      expectedMs[step] = (expectedMs[step] as number) + Math.max(0, Math.min(stepMs + steps.stepMs, endMs) - Math.max(stepMs, startMs));
    }
    row?.steps.forEach((step, index) => {
      coveredMs[step] = (coveredMs[step] ?? 0) + (row.covered[index] ?? 0);
    });
  }
  return expectedMs.map((wanted, step) => {
    const covered = coveredMs[step] as number;
    if (covered === 0) return 0;
    return wanted <= covered ? 1 : Math.round((covered / wanted) * 10_000) / 10_000;
  });
}

/** Why a host does not report; undefined if it does. In a range that reaches the present, a host that stopped is missing. */
function missingEntry(host: KnownHost, row: CoverageRow | undefined, steps: Steps, nowMs: number): Coverage["missing"][number] | undefined {
  const entry = (state: string, reason: string, sinceMs: number | null) => ({
    host: host.name,
    reason,
    state,
    since: sinceMs === null ? null : new Date(sinceMs).toISOString(),
  });
  const isLive = steps.toMs >= nowMs - SETTLE_MS - WINDOW_MS;
  const isFresh = (ms: number): boolean => ms > 0 && (!isLive || ms >= nowMs - OFFLINE_AFTER_MS);
  if (row !== undefined) {
    if (isFresh(row.last_reporting_ms)) return undefined;
    if (!isFresh(row.last_ms)) return entry("offline", "offline", row.last_ms);
    return entry(
      row.last_state,
      row.last_reason === "" ? `the signal is ${row.last_state}` : row.last_reason,
      row.last_reporting_ms > 0 ? row.last_reporting_ms : row.first_ms,
    );
  }
  const lastMs = host.lastWindowEndMs;
  if (lastMs === null) return entry("waiting", "never reported", host.enrolledAtMs);
  if (lastMs <= steps.fromMs) return entry("offline", "offline", lastMs);
  if (lastMs <= steps.toMs + OFFLINE_AFTER_MS) return entry("unknown", "the agent says nothing about this signal", null);
  return entry("offline", "offline in this range", null);
}

function notes(
  steps: Steps,
  expected: readonly KnownHost[],
  byHost: ReadonlyMap<string, CoverageRow>,
  nowMs: number,
  missing: number,
): string | null {
  const parts: string[] = [];
  if (expected.length === 0) parts.push("No enrolled host matches.");
  if (steps.fromMs < nowMs - RAW_RETENTION_DAYS * 86_400_000) parts.push(`The range begins before the retention of ${RAW_RETENTION_DAYS} days.`);
  for (const state of ["fallback", "sampled"]) {
    const affected = expected.filter((host) => byHost.get(host.id)?.last_state === state);
    const first = affected[0];
    if (first === undefined) continue;
    const reason = byHost.get(first.id)?.last_reason ?? "";
    parts.push(`${state} on ${affected.length === 1 ? first.name : `${affected.length} hosts`}${reason === "" ? "" : `: ${reason}`}.`);
  }
  if (missing > MISSING_MAX) parts.push(`${missing - MISSING_MAX} more hosts are missing than are listed.`);
  return parts.length === 0 ? null : parts.join(" ");
}
