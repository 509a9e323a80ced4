// SPDX-License-Identifier: Apache-2.0
import type { HostFacts } from "@waggle/query";
import { type CoverageState, coverageStates } from "@waggle/signals";
import type { Coverage } from "./query.schemas.ts";
import { type Steps, WINDOW_MS } from "./time-range.ts";

/** A window is stored about 2 s after it ended; before that its absence means nothing. */
const SETTLE_MS = 3_000;
/** A host that has been silent for longer is offline, not late. */
export const OFFLINE_AFTER_MS = 120_000;
const MISSING_MAX = 100;

/** A host of the organisation, as far as queries need it; its id is the `host` of ClickHouse rows. */
export interface KnownHost extends HostFacts {
  readonly enrolledAtMs: number;
  readonly retiredAtMs: number | null;
  /** End of the newest stored window; null = never. */
  readonly lastWindowEndMs: number | null;
}

/** What a host said about the signal over the whole range. Instants are Unix milliseconds, 0 = never. */
export interface HostReport {
  /** Time in which the signal was really measured. */
  readonly coveredMs: number;
  /** End of the newest window in which it was. */
  readonly lastReportingMs: number;
  /** End of the newest window about which the host said anything. */
  readonly lastMs: number;
  readonly lastState: string;
  readonly lastReason: string;
  /** Start of the first window about which the host said anything. */
  readonly firstMs: number;
  /** The newest state that was not `exact`, why, and until when. */
  readonly otherState: string;
  readonly otherReason: string;
  readonly lastOtherMs: number;
}

/** The row of `hostsStatement`. */
export interface HostsRow {
  readonly host_id: readonly string[];
  readonly covered_ms: readonly number[];
  readonly last_reporting_ms: readonly number[];
  readonly last_ms: readonly number[];
  readonly last_state: readonly string[];
  readonly last_reason: readonly string[];
  readonly first_ms: readonly number[];
  readonly other_state: readonly string[];
  readonly other_reason: readonly string[];
  readonly last_other_ms: readonly number[];
}

/** A row of `stepsStatement`. */
export interface StepsRow {
  readonly step: number;
  readonly hosts: number;
  readonly covered_ms: number;
}

/** A row of `hostStepsStatement`. */
export interface HostStepsRow {
  /** The hosts' id, or what they have in common. */
  readonly reporters: readonly string[];
  readonly steps: readonly number[];
  readonly covered_ms: readonly number[];
}

export function hostReports(row: HostsRow | undefined): ReadonlyMap<string, HostReport> {
  return new Map(
    row?.host_id.map((id, index) => [
      id,
      {
        coveredMs: row.covered_ms[index] ?? 0,
        lastReportingMs: row.last_reporting_ms[index] ?? 0,
        lastMs: row.last_ms[index] ?? 0,
        lastState: row.last_state[index] ?? "",
        lastReason: row.last_reason[index] ?? "",
        firstMs: row.first_ms[index] ?? 0,
        otherState: row.other_state[index] ?? "",
        otherReason: row.other_reason[index] ?? "",
        lastOtherMs: row.last_other_ms[index] ?? 0,
      },
    ]),
  );
}

/** Who reported when. */
export class Reports {
  private readonly covered: readonly number[];
  private readonly hostCounts: readonly number[];
  private readonly byReporters: ReadonlyMap<string, ReadonlyMap<number, number>>;

  /** @param ofHosts of the hosts, or groups of hosts, that have a series of their own */
  constructor(ofSteps: readonly StepsRow[], ofHosts: readonly HostStepsRow[], count: number) {
    const covered = new Array<number>(count).fill(0);
    const hostCounts = new Array<number>(count).fill(0);
    for (const row of ofSteps) {
      covered[row.step] = row.covered_ms;
      hostCounts[row.step] = row.hosts;
    }
    this.covered = covered;
    this.hostCounts = hostCounts;
    this.byReporters = new Map(
      ofHosts.map((row) => [reportersKey(row.reporters), new Map(row.steps.map((step, index) => [step, row.covered_ms[index] ?? 0]))]),
    );
  }

  /**
   * Of a range that is one step.
   * @param reportersOf what a host (an id) is told apart by; undefined: nobody tells it apart
   */
  static ofOneStep(hosts: ReadonlyMap<string, HostReport>, reportersOf: (id: string) => readonly string[] | undefined): Reports {
    const reporting = [...hosts].filter(([, report]) => report.coveredMs > 0);
    const coveredMs = reporting.reduce((sum, [, report]) => sum + report.coveredMs, 0);
    const byReporters = new Map<string, { readonly reporters: readonly string[]; coveredMs: number }>();
    for (const [id, report] of reporting) {
      const reporters = reportersOf(id);
      if (reporters === undefined) continue;
      const known = byReporters.get(reportersKey(reporters));
      if (known === undefined) byReporters.set(reportersKey(reporters), { reporters, coveredMs: report.coveredMs });
      else known.coveredMs += report.coveredMs;
    }
    return new Reports(
      [{ step: 0, hosts: reporting.length, covered_ms: coveredMs }],
      [...byReporters.values()].map((entry) => ({ reporters: entry.reporters, steps: [0], covered_ms: [entry.coveredMs] })),
      1,
    );
  }

  /** Time in which the signal was measured in the step, over all hosts. */
  coveredMs(step: number): number {
    return this.covered[step] ?? 0;
  }

  /** How many hosts reported in the step. */
  hosts(step: number): number {
    return this.hostCounts[step] ?? 0;
  }

  /** Whether any host reported in the step. */
  any(step: number): boolean {
    return this.coveredMs(step) > 0;
  }

  /** Whether the host, or any of the hosts that have this in common, reported in the step. */
  of(reporters: readonly string[], step: number): boolean {
    return (this.byReporters.get(reportersKey(reporters))?.get(step) ?? 0) > 0;
  }

  /** Whether any host but these reported in the step. */
  anyBut(known: readonly (readonly string[])[], step: number): boolean {
    return this.coveredMs(step) > known.reduce((sum, reporters) => sum + (this.byReporters.get(reportersKey(reporters))?.get(step) ?? 0), 0);
  }
}

function reportersKey(reporters: readonly string[]): string {
  return reporters.length === 1 ? (reporters[0] as string) : JSON.stringify(reporters);
}

/**
 * The coverage block of an answer.
 * @param expected hosts that match the filter and were enrolled, and not retired, in the range
 * @param further notes of the planner
 */
export function assembleCoverage(
  steps: Steps,
  expected: readonly KnownHost[],
  byHost: ReadonlyMap<string, HostReport>,
  reports: Reports,
  nowMs: number,
  further: readonly string[] = [],
): Coverage {
  const missing = expected.flatMap((host) => missingEntry(host, byHost.get(host.id), steps, nowMs) ?? []);
  const { shares, hosts } = fractions(steps, expected, byHost, reports, nowMs);
  return {
    hosts: expected.length,
    reporting: expected.length - missing.length,
    missing: missing.slice(0, MISSING_MAX),
    steps: shares,
    stepHosts: { reporting: shares.map((_, step) => reports.hosts(step)), expected: hosts },
    states: statesOf(expected, byHost),
    note: notes(expected, byHost, missing.length, further),
  };
}

/** How the signal was measured otherwise than exactly, and on how many hosts: worst state last, as they are listed everywhere. */
function statesOf(expected: readonly KnownHost[], byHost: ReadonlyMap<string, HostReport>): Coverage["states"] {
  const others = expected.flatMap((host) => {
    const report = byHost.get(host.id);
    return report === undefined || report.lastOtherMs === 0 ? [] : [report];
  });
  const byState = Map.groupBy(others, (report) => report.otherState);
  return coverageStates.flatMap((state: CoverageState) => {
    const reports = byState.get(state) ?? [];
    const newest = reports.reduce<HostReport | undefined>(
      (best, report) => (best === undefined || report.lastOtherMs > best.lastOtherMs ? report : best),
      undefined,
    );
    if (newest === undefined) return [];
    const now = reports.filter((report) => report.lastOtherMs === report.lastMs).length;
    return { state, hosts: reports.length, now, reason: newest.otherReason, last: new Date(newest.lastOtherMs).toISOString() };
  });
}

/** Per step: reported host time ÷ expected host time, and how many hosts were expected. */
function fractions(
  steps: Steps,
  expected: readonly KnownHost[],
  byHost: ReadonlyMap<string, HostReport>,
  reports: Reports,
  nowMs: number,
): { readonly shares: number[]; readonly hosts: number[] } {
  const settledMs = Math.floor((nowMs - SETTLE_MS) / WINDOW_MS) * WINDOW_MS;
  const expectedMs = new Array<number>(steps.count).fill(0);
  const some = new Array<number>(steps.count).fill(0);
  const stepEndMs = (step: number): number => Math.min(steps.fromMs + (step + 1) * steps.stepMs, settledMs);
  let throughout = 0;
  for (const host of expected) {
    // Windows may be older than the enrolment (a spool that was filled before); then the host counts from the first of them.
    const startMs = Math.min(host.enrolledAtMs, byHost.get(host.id)?.firstMs ?? Number.POSITIVE_INFINITY);
    if (startMs <= steps.fromMs && host.retiredAtMs === null) {
      throughout++;
      continue;
    }
    const endMs = host.retiredAtMs ?? Number.POSITIVE_INFINITY;
    for (let step = 0; step < steps.count; step++) {
      const stepMs = steps.fromMs + step * steps.stepMs;
      const wantedMs = Math.max(0, Math.min(stepEndMs(step), endMs) - Math.max(stepMs, startMs));
      expectedMs[step] = (expectedMs[step] as number) + wantedMs;
      if (wantedMs > 0) some[step] = (some[step] as number) + 1;
    }
  }
  const shares = expectedMs.map((ofSome, step) => {
    const wanted = ofSome + throughout * Math.max(0, stepEndMs(step) - (steps.fromMs + step * steps.stepMs));
    const covered = reports.coveredMs(step);
    if (covered === 0) return 0;
    return wanted <= covered ? 1 : Math.round((covered / wanted) * 10_000) / 10_000;
  });
  return { shares, hosts: some.map((count) => count + throughout) };
}

/** Why a host does not report; undefined if it does. In a range that reaches the present, a host that stopped is missing. */
function missingEntry(host: KnownHost, row: HostReport | undefined, steps: Steps, nowMs: number): Coverage["missing"][number] | undefined {
  const entry = (state: string, reason: string, sinceMs: number | null) => ({
    host: host.name,
    reason,
    state,
    since: sinceMs === null ? null : new Date(sinceMs).toISOString(),
  });
  const isLive = steps.toMs >= nowMs - SETTLE_MS - WINDOW_MS;
  const isFresh = (ms: number): boolean => ms > 0 && (!isLive || ms >= nowMs - OFFLINE_AFTER_MS);
  if (row !== undefined) {
    if (isFresh(row.lastReportingMs)) return undefined;
    if (!isFresh(row.lastMs)) return entry("offline", "offline", row.lastMs);
    return entry(
      row.lastState,
      row.lastReason === "" ? `the signal is ${row.lastState}` : row.lastReason,
      row.lastReportingMs > 0 ? row.lastReportingMs : row.firstMs,
    );
  }
  const lastMs = host.lastWindowEndMs;
  if (lastMs === null) return entry("waiting", "never reported", host.enrolledAtMs);
  if (lastMs <= steps.fromMs) return entry("offline", "offline", lastMs);
  if (lastMs <= steps.toMs + OFFLINE_AFTER_MS) return entry("unknown", "the agent says nothing about this signal", null);
  return entry("offline", "offline in this range", null);
}

function notes(expected: readonly KnownHost[], byHost: ReadonlyMap<string, HostReport>, missing: number, further: readonly string[]): string | null {
  const parts: string[] = [];
  if (expected.length === 0) parts.push("No enrolled host matches.");
  parts.push(...further);
  for (const state of ["fallback", "sampled", "shed"]) {
    const affected = expected.filter((host) => byHost.get(host.id)?.lastState === state);
    const first = affected[0];
    if (first === undefined) continue;
    const reason = byHost.get(first.id)?.lastReason ?? "";
    parts.push(`${state} on ${affected.length === 1 ? first.name : `${affected.length} hosts`}${reason === "" ? "" : `: ${reason}`}.`);
  }
  if (missing > MISSING_MAX) parts.push(`${missing - MISSING_MAX} more hosts are missing than are listed.`);
  return parts.length === 0 ? null : parts.join(" ");
}
