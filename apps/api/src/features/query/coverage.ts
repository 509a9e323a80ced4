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

/** A row of `fewHostsStatement`. */
export interface FewHostsRow {
  readonly host_id: string;
  readonly signal_name: string;
  readonly step: number;
  readonly covered_ms: number;
  readonly last_reporting_ms: number;
  readonly last_ms: number;
  readonly first_ms: number;
  readonly other_state: string;
  readonly other_reason: string;
  readonly last_other_ms: number;
}

/** What few hosts said about one signal. */
export interface FewHosts {
  readonly hosts: ReadonlyMap<string, HostReport>;
  readonly ofSteps: readonly StepsRow[];
  /** Of each host. */
  readonly ofHosts: readonly (Pick<HostStepsRow, "steps" | "covered_ms"> & { readonly host: string })[];
}

const EXACT = "exact" satisfies CoverageState;
const ofSignals = new WeakMap<readonly FewHostsRow[], Map<string, FewHosts>>();

/** Of one answer, whose rows speak of several signals, each is put together once. */
export function fewHostsOf(rows: readonly FewHostsRow[], signal: string): FewHosts {
  const known = ofSignals.get(rows) ?? new Map<string, FewHosts>();
  ofSignals.set(rows, known);
  const found = known.get(signal) ?? putTogether(rows.filter((row) => row.signal_name === signal));
  known.set(signal, found);
  return found;
}

function putTogether(rows: readonly FewHostsRow[]): FewHosts {
  const byHost = Map.groupBy(rows, (row) => row.host_id);
  const hosts = new Map<string, HostReport>();
  const steps = new Map<number, { step: number; hosts: number; covered_ms: number }>();
  for (const [host, own] of byHost) {
    const most = (of: (row: FewHostsRow) => number): number => Math.max(...own.map(of));
    const lastMs = most((row) => row.last_ms);
    const lastOtherMs = most((row) => row.last_other_ms);
    const other = lastOtherMs === 0 ? undefined : own.find((row) => row.last_other_ms === lastOtherMs);
    const isOther = other !== undefined && lastOtherMs === lastMs;
    hosts.set(host, {
      coveredMs: own.reduce((sum, row) => sum + row.covered_ms, 0),
      lastReportingMs: most((row) => row.last_reporting_ms),
      lastMs,
      lastState: isOther ? other.other_state : EXACT,
      lastReason: isOther ? other.other_reason : "",
      firstMs: Math.min(...own.map((row) => row.first_ms)),
      otherState: other?.other_state ?? "",
      otherReason: other?.other_reason ?? "",
      lastOtherMs,
    });
    for (const { step, covered_ms } of own) {
      if (covered_ms === 0) continue;
      const known = steps.get(step) ?? { step, hosts: 0, covered_ms: 0 };
      steps.set(step, known);
      known.hosts++;
      known.covered_ms += covered_ms;
    }
  }
  return {
    hosts,
    ofSteps: [...steps.values()],
    ofHosts: [...byHost].map(([host, own]) => {
      const reported = own.filter((row) => row.covered_ms > 0);
      return { host, steps: reported.map((row) => row.step), covered_ms: reported.map((row) => row.covered_ms) };
    }),
  };
}

/** What few hosts said in stretches of a range, as one row per host and signal, of step 0. */
export function mergeFewHosts(rows: readonly FewHostsRow[]): readonly FewHostsRow[] {
  const merged = new Map<string, FewHostsRow>();
  for (const row of rows) {
    const key = `${row.host_id} ${row.signal_name}`;
    const known = merged.get(key);
    if (known === undefined) {
      merged.set(key, { ...row, step: 0 });
      continue;
    }
    const { other_state, other_reason, last_other_ms } = row.last_other_ms > known.last_other_ms ? row : known;
    merged.set(key, {
      host_id: row.host_id,
      signal_name: row.signal_name,
      step: 0,
      covered_ms: known.covered_ms + row.covered_ms,
      last_reporting_ms: Math.max(known.last_reporting_ms, row.last_reporting_ms),
      last_ms: Math.max(known.last_ms, row.last_ms),
      first_ms: Math.min(known.first_ms, row.first_ms),
      other_state,
      other_reason,
      last_other_ms,
    });
  }
  return [...merged.values()];
}

/** Rows of hosts that are told apart by the same things, as one. */
export function byReporters(rows: FewHosts["ofHosts"], reportersOf: (host: string) => readonly string[] | undefined): readonly HostStepsRow[] {
  const added = new Map<string, { readonly reporters: readonly string[]; readonly covered: Map<number, number> }>();
  for (const { host, steps, covered_ms } of rows) {
    const reporters = reportersOf(host);
    if (reporters === undefined) continue;
    const key = reportersKey(reporters);
    const known = added.get(key) ?? { reporters, covered: new Map<number, number>() };
    added.set(key, known);
    for (const [index, step] of steps.entries()) known.covered.set(step, (known.covered.get(step) ?? 0) + (covered_ms[index] ?? 0));
  }
  return [...added.values()].map(({ reporters, covered }) => ({ reporters, steps: [...covered.keys()], covered_ms: [...covered.values()] }));
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
  /** How long the hosts of a key of reporters reported in a step. */
  private readonly coveredOf: (key: string, step: number) => number;

  /** @param ofHosts of the hosts, or groups of hosts, that have a series of their own; or how long those of a key of reporters reported in a step */
  constructor(ofSteps: readonly StepsRow[], ofHosts: readonly HostStepsRow[] | ((key: string, step: number) => number), count: number) {
    const covered = new Array<number>(count).fill(0);
    const hostCounts = new Array<number>(count).fill(0);
    for (const row of ofSteps) {
      covered[row.step] = row.covered_ms;
      hostCounts[row.step] = row.hosts;
    }
    this.covered = covered;
    this.hostCounts = hostCounts;
    if (typeof ofHosts === "function") this.coveredOf = ofHosts;
    else {
      const byReporters = new Map(
        ofHosts.map((row) => [reportersKey(row.reporters), new Map(row.steps.map((step, index) => [step, row.covered_ms[index] ?? 0]))]),
      );
      this.coveredOf = (key, step) => byReporters.get(key)?.get(step) ?? 0;
    }
  }

  /**
   * Of a range that is one step.
   * @param reportersOf what a host (an id) is told apart by; host: by itself; undefined: by nothing
   */
  static ofOneStep(hosts: ReadonlyMap<string, HostReport>, reportersOf: ((id: string) => readonly string[]) | "host" | undefined): Reports {
    const byReporters = new Map<string, number>();
    let reporting = 0;
    let coveredMs = 0;
    for (const [id, report] of hosts) {
      if (report.coveredMs <= 0) continue;
      reporting++;
      coveredMs += report.coveredMs;
      if (typeof reportersOf !== "function") continue;
      const key = reportersKey(reportersOf(id));
      byReporters.set(key, (byReporters.get(key) ?? 0) + report.coveredMs);
    }
    const coveredOf = reportersOf === "host" ? (id: string) => hosts.get(id)?.coveredMs ?? 0 : (key: string) => byReporters.get(key) ?? 0;
    return new Reports([{ step: 0, hosts: reporting, covered_ms: coveredMs }], coveredOf, 1);
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
    return this.coveredOf(reportersKey(reporters), step) > 0;
  }

  /** Whether any host but these reported in the step. */
  anyBut(known: readonly (readonly string[])[], step: number): boolean {
    return this.coveredMs(step) > known.reduce((sum, reporters) => sum + this.coveredOf(reportersKey(reporters), step), 0);
  }
}

function reportersKey(reporters: readonly string[]): string {
  return reporters.length === 1 ? (reporters[0] as string) : JSON.stringify(reporters);
}

/** What a coverage block says that only depends on what each host said. */
interface SaidByHosts {
  readonly hosts: number;
  readonly missing: Coverage["missing"];
  readonly wanted: Wanted;
  readonly states: Coverage["states"];
  /** Sentences. */
  readonly notes: readonly string[];
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
  return toCoverage(saidByHosts(steps, expected, byHost, nowMs), reports, further);
}

/** By what was read of the hosts, by the hosts asked for, by range and second. */
const said = new WeakMap<ReadonlyMap<string, HostReport>, WeakMap<readonly KnownHost[], Map<string, SaidByHosts>>>();

/**
 * The same of hosts of which some may not be expected. Of a large fleet the panels of a page ask with the same two objects, and all that has to be looked up
 * host by host is looked up once.
 * @param matching hosts that match the filter
 */
export function coverageOfMatching(
  steps: Steps,
  matching: readonly KnownHost[],
  byHost: ReadonlyMap<string, HostReport>,
  reports: Reports,
  nowMs: number,
  further: readonly string[],
): Coverage {
  const secondMs = Math.floor(nowMs / 1_000) * 1_000;
  const ofLists = said.get(byHost) ?? new WeakMap<readonly KnownHost[], Map<string, SaidByHosts>>();
  said.set(byHost, ofLists);
  const ofRanges = ofLists.get(matching) ?? new Map<string, SaidByHosts>();
  ofLists.set(matching, ofRanges);
  const key = `${steps.fromMs} ${steps.toMs} ${steps.stepMs} ${secondMs}`;
  let found = ofRanges.get(key);
  if (found === undefined) {
    // A host that has windows older than its enrolment (it filled its spool before) is expected where they are.
    const isExpected = ({ enrolledAtMs, retiredAtMs }: KnownHost, report: HostReport | undefined): boolean =>
      (enrolledAtMs < steps.toMs || report !== undefined) && (retiredAtMs === null || retiredAtMs > steps.fromMs);
    const about = saidByHosts(steps, matching, byHost, secondMs, isExpected);
    found = about.hosts > 0 ? about : { ...about, notes: [...absenceNotes(steps, matching), ...about.notes] };
    ofRanges.set(key, found);
  }
  return toCoverage(found, reports, further);
}

/** In one walk: of ten thousand hosts looking each up is most of it. */
function saidByHosts(
  steps: Steps,
  hosts: readonly KnownHost[],
  byHost: ReadonlyMap<string, HostReport>,
  nowMs: number,
  isExpected: (host: KnownHost, report: HostReport | undefined) => boolean = () => true,
): SaidByHosts {
  const missing: Coverage["missing"] = [];
  const wanted = new WantedTime(steps, nowMs);
  const others: HostReport[] = [];
  const noted = new Map<string, Noted>();
  let expected = 0;
  for (const host of hosts) {
    const report = byHost.get(host.id);
    if (!isExpected(host, report)) continue;
    expected++;
    wanted.add(host, report);
    const entry = missingEntry(host, report, steps, nowMs);
    if (entry !== undefined) missing.push(entry);
    if (report === undefined) continue;
    if (report.lastOtherMs !== 0) others.push(report);
    if (report.lastState === EXACT) continue;
    const known = noted.get(report.lastState);
    if (known === undefined) noted.set(report.lastState, { host, report, count: 1 });
    else known.count++;
  }
  return { hosts: expected, missing, wanted: wanted.sums(), states: statesOf(others), notes: [...notesOf(noted), ...futureNotes(steps, nowMs)] };
}

/** Hosts whose newest state is the same: the first of them, and how many. */
interface Noted {
  readonly host: KnownHost;
  readonly report: HostReport;
  count: number;
}

/** Why none of the hosts that match is expected in the range. */
function absenceNotes(steps: Steps, matching: readonly KnownHost[]): readonly string[] {
  const retired = matching.filter(({ retiredAtMs }) => retiredAtMs !== null && retiredAtMs <= steps.fromMs).length;
  const later = matching.length - retired;
  return [
    ...(retired > 0 ? [`${retired === 1 ? "One that matches was" : `${retired} that match were`} retired before the range.`] : []),
    ...(later > 0 ? [`${later === 1 ? "One that matches was" : `${later} that match were`} enrolled after it.`] : []),
  ];
}

/** A range that ends now ends at the next mark, which is no future. */
const FUTURE_MS = 60_000;

/** What has not happened is not missing. */
function futureNotes({ toMs, stepMs, count }: Steps, nowMs: number): readonly string[] {
  if (toMs - (count === 1 ? 0 : stepMs) < nowMs + FUTURE_MS) return [];
  return [`The range reaches beyond now: what is after ${new Date(nowMs).toISOString()} is still to come.`];
}

function toCoverage({ hosts, missing, wanted, states, notes }: SaidByHosts, reports: Reports, further: readonly string[]): Coverage {
  const parts = [
    ...(hosts === 0 ? ["No enrolled host matches."] : []),
    ...further,
    ...notes,
    ...(missing.length > MISSING_MAX ? [`${missing.length - MISSING_MAX} more hosts are missing than are listed.`] : []),
  ];
  return {
    hosts,
    reporting: hosts - missing.length,
    missing: missing.slice(0, MISSING_MAX),
    steps: wanted.ms.map((wantedMs, step) => {
      const coveredMs = reports.coveredMs(step);
      if (coveredMs === 0) return 0;
      return wantedMs <= coveredMs ? 1 : Math.round((coveredMs / wantedMs) * 10_000) / 10_000;
    }),
    stepHosts: { reporting: wanted.ms.map((_, step) => reports.hosts(step)), expected: [...wanted.hosts] },
    states,
    note: parts.length === 0 ? null : parts.join(" "),
  };
}

/** How the signal was measured otherwise than exactly, and on how many hosts: worst state last, as they are listed everywhere. */
function statesOf(others: readonly HostReport[]): Coverage["states"] {
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

/** Per step: how much time of hosts was expected to be covered, and how many hosts were. */
interface Wanted {
  readonly ms: readonly number[];
  readonly hosts: readonly number[];
}

class WantedTime {
  private readonly steps: Steps;
  private readonly nowMs: number;
  private readonly settledMs: number;
  private readonly expectedMs: number[];
  private readonly some: number[];
  /** Differences, step by step, of how many hosts were expected in all of it. */
  private readonly whole: number[];

  constructor(steps: Steps, nowMs: number) {
    this.steps = steps;
    this.nowMs = nowMs;
    this.settledMs = Math.floor((nowMs - SETTLE_MS) / WINDOW_MS) * WINDOW_MS;
    this.expectedMs = new Array<number>(steps.count).fill(0);
    this.some = new Array<number>(steps.count).fill(0);
    this.whole = new Array<number>(steps.count + 1).fill(0);
  }

  add(host: KnownHost, report: HostReport | undefined): void {
    const { steps } = this;
    // Windows may be older than the enrolment (a spool that was filled before); then the host counts from the first of them.
    const startMs = Math.min(host.enrolledAtMs, report?.firstMs ?? Number.POSITIVE_INFINITY);
    const endMs = host.retiredAtMs ?? Number.POSITIVE_INFINITY;
    const first = this.bounded(Math.ceil((startMs - steps.fromMs) / steps.stepMs));
    const end = this.bounded(Math.floor((endMs - steps.fromMs) / steps.stepMs));
    if (first < end) {
      this.whole[first] = (this.whole[first] as number) + 1;
      this.whole[end] = (this.whole[end] as number) - 1;
    }
    // At most the step in which it came and the one in which it went are not whole.
    if (first - 1 !== end) this.addPart(first - 1, { startMs, endMs, first, end });
    this.addPart(end, { startMs, endMs, first, end });
  }

  private addPart(step: number, { startMs, endMs, first, end }: Record<"startMs" | "endMs" | "first" | "end", number>): void {
    const { steps } = this;
    if (step < 0 || step >= steps.count || (step >= first && step < end)) return;
    const stepMs = steps.fromMs + step * steps.stepMs;
    const wantedMs = Math.max(0, Math.min(this.stepEndMs(step), endMs) - Math.max(stepMs, startMs));
    this.expectedMs[step] = (this.expectedMs[step] as number) + wantedMs;
    if (wantedMs > 0) this.some[step] = (this.some[step] as number) + 1;
  }

  sums(): Wanted {
    const { steps } = this;
    let present = 0;
    const wholeOf = this.whole.slice(0, steps.count).map((difference) => {
      present += difference;
      return present;
    });
    return {
      ms: this.expectedMs.map(
        (ofSome, step) => ofSome + (wholeOf[step] as number) * Math.max(0, this.stepEndMs(step) - (steps.fromMs + step * steps.stepMs)),
      ),
      // In a step that is still to come nobody is expected.
      hosts: this.some.map((count, step) => (steps.fromMs + step * steps.stepMs < this.nowMs ? count + (wholeOf[step] as number) : 0)),
    };
  }

  private stepEndMs(step: number): number {
    const { steps } = this;
    return Math.min(steps.fromMs + (step + 1) * steps.stepMs, this.settledMs);
  }

  private bounded(step: number): number {
    return Math.min(this.steps.count, Math.max(0, step));
  }
}

/** Why a host does not report; undefined if it does. In a range that reaches the present, a host that stopped is missing. */
function missingEntry(host: KnownHost, row: HostReport | undefined, steps: Steps, nowMs: number): Coverage["missing"][number] | undefined {
  const isLive = steps.toMs >= nowMs - SETTLE_MS - WINDOW_MS;
  const isFresh = (ms: number): boolean => ms > 0 && (!isLive || ms >= nowMs - OFFLINE_AFTER_MS);
  if (row !== undefined && isFresh(row.lastReportingMs)) return undefined;
  const entry = (state: string, reason: string, sinceMs: number | null) => ({
    host: host.name,
    reason,
    state,
    since: sinceMs === null ? null : new Date(sinceMs).toISOString(),
  });
  if (row !== undefined) {
    if (host.retiredAtMs !== null) return entry("retired", "retired", host.retiredAtMs);
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

function notesOf(noted: ReadonlyMap<string, Noted>): readonly string[] {
  return ["fallback", "sampled", "shed"].flatMap((state) => {
    const found = noted.get(state);
    if (found === undefined) return [];
    const { host, report, count } = found;
    return [`${state} on ${count === 1 ? host.name : `${count} hosts`}${report.lastReason === "" ? "" : `: ${report.lastReason}`}.`];
  });
}
