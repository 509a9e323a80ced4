// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { OTHER, RELATIVE_ERROR_MAX, SERVER_HOST } from "@waggle/signals";
import { type Caller, requireScope } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { assembleSeries, type FormRows, ratesOfFleet, type SeriesRow } from "./assemble.ts";
import {
  assembleCoverage,
  type HostReport,
  type HostStepsRow,
  type HostsRow,
  hostReports,
  type KnownHost,
  Reports,
  type StepsRow,
} from "./coverage.ts";
import { hostStepsStatement, hostsStatement, stepsStatement } from "./coverage-statements.ts";
import { byStatement } from "./measures.ts";
import { type Planned, QueryPlanner } from "./planner.ts";
import { QueryRepository } from "./query.repository.ts";
import type { Answer, Query } from "./query.schemas.ts";
import { type ResolvedQuery, resolveQuery } from "./resolve.ts";
import { SharedAnswers } from "./shared-answers.ts";
import { coarsestLevel, type Source } from "./sources.ts";
import type { Plan, Statement } from "./sql.ts";
import { isFleet, isRankable, type Reading, rankedStatement, seriesStatement, valueRankStatement, volumeStatement } from "./statements.ts";
import { matchesFilter } from "./where.ts";

/** Shorter than the time in which a host counts as late; long enough for all panels of a page. */
const HOSTS_KEPT_MS = 5_000;
/** Ranges and signals; an answer about 10,000 hosts takes some 3 MB. */
const FLEETS_KEPT_MAX = 16;

/** One query object in, one columnar answer out. */
@Injectable()
export class QueryService {
  private readonly fleetHosts = new SharedAnswers<AskedHosts>(HOSTS_KEPT_MS, FLEETS_KEPT_MAX);

  constructor(
    @Inject(QueryRepository) private readonly repository: QueryRepository,
    @Inject(QueryPlanner) private readonly planner: QueryPlanner,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /**
   * Answers a query out of the caller's organisation.
   * @param signal aborts the query in ClickHouse too
   * @param rawGrainMs shortest step of raw rows, where the caller knows that the windows of these hosts are shorter than others'
   * @throws AppError VALIDATION_FAILED, SIGNAL_NOT_FOUND, QUERY_TOO_LARGE, QUERY_TIMEOUT, STORAGE_UNAVAILABLE, FORBIDDEN
   */
  async query(caller: Caller, query: Query, signal?: AbortSignal, rawGrainMs?: number): Promise<Answer> {
    requireScope(caller, "metrics:read");
    const startedAt = performance.now();
    const nowMs = this.clock.now();
    const resolved = resolveQuery(query, nowMs);
    const known = resolved.signal.source === "server" ? [serverHost] : await this.repository.listHosts(caller.organisationId);
    const matching = known.filter((host) => matchesHost(resolved, host));
    const { range, points, hostFilters, ...rest } = resolved;
    const hosts = hostFilters.length === 0 ? null : matching.map((host) => host.id);
    const planned = await this.planner.choose(
      { ...rest, tenant: caller.organisationId, hosts },
      range,
      points,
      matching.length,
      nowMs,
      signal,
      rawGrainMs,
    );
    const { plan } = planned;
    const { steps } = plan;

    const read = hosts?.length === 0 ? nothing(plan) : await this.read(planned, signal);
    // A host that has windows older than its enrolment (it filled its spool before) is expected where they are.
    const isExpected = (host: KnownHost): boolean =>
      (host.enrolledAtMs < steps.toMs || read.hosts.has(host.id)) && (host.retiredAtMs === null || host.retiredAtMs > steps.fromMs);
    const names = new Map(known.map((host) => [host.id, host.name]));
    const series = assembleSeries(plan, read.top, read.tables, read.reports, (id) => names.get(id) ?? id);
    const shown = read.top?.length ?? 0;
    const sources = hosts?.length === 0 ? [] : sourcesOf(planned.readings);
    const notes = [...planned.notes, ...rateNotes(planned, read.reports, nowMs)];
    return {
      meta: {
        signal: plan.signal.name,
        from: new Date(steps.fromMs).toISOString(),
        to: new Date(steps.toMs).toISOString(),
        stepSeconds: steps.stepMs / 1_000,
        points: steps.count,
        unit: plan.selections[0]?.unit ?? "1",
        ...(plan.selections.some((selection) => selection.form === "buckets") ? { errorBound: RELATIVE_ERROR_MAX } : {}),
        coverage: assembleCoverage(steps, matching.filter(isExpected), read.hosts, read.reports, nowMs, notes),
        truncated: read.groups > shown ? { shown, total: read.groups } : null,
        level: coarsestLevel(sources),
        scope: sources.some((source) => source.scope === "fleet") ? "fleet" : "host",
        sources: sources.map(({ level, scope, fromMs, toMs }) => ({
          level,
          scope,
          from: new Date(fromMs).toISOString(),
          to: new Date(toMs).toISOString(),
        })),
        rowsRead: read.rowsRead,
        elapsedMs: Math.round((performance.now() - startedAt) * 10) / 10,
      },
      series,
    };
  }

  /** What each host said over the range. Of a whole fleet that is much to read, and every panel of a page asks it: then nobody's alone to cancel. */
  private async hosts({ plan, hostSources }: Planned, signal: AbortSignal): Promise<AskedHosts> {
    const statement = hostsStatement(plan, hostSources);
    const ask = async (abort: AbortSignal | undefined): Promise<AskedHosts> => {
      const { rows, rowsRead } = await this.repository.run<HostsRow>(statement, abort);
      return { hosts: hostReports(rows[0]), rowsRead };
    };
    if (plan.hosts !== null) return ask(signal);
    return this.fleetHosts.get(JSON.stringify(statement), () => ask(undefined), performance.now());
  }

  private async read(planned: Planned, signal: AbortSignal | undefined): Promise<ReadResult> {
    // One failed statement ends the others: nobody waits for their rows any more.
    const siblings = new AbortController();
    const either = signal === undefined ? siblings.signal : AbortSignal.any([signal, siblings.signal]);
    let rowsRead = 0;
    const run: Run = async <Row>(statement: Statement) => {
      const answer = await this.repository.run<Row>(statement, either);
      rowsRead += answer.rowsRead;
      return answer.rows;
    };
    try {
      const { plan } = planned;
      const isOneStep = plan.steps.count === 1;
      const [{ hosts, rowsRead: hostRowsRead }, ofSteps, found] = await Promise.all([
        this.hosts(planned, either),
        isOneStep ? [] : run<StepsRow>(stepsStatement(plan, planned.stepSources)),
        readSeries(planned, run),
      ]);
      rowsRead += hostRowsRead;
      const reports = isOneStep ? Reports.ofOneStep(hosts) : new Reports(ofSteps, found.hostSteps, plan.steps.count);
      const tables = found.tables.map((table) => (table.isFleet ? ratesOfFleet(table, reports) : table));
      return { ...found, tables, hosts, reports, rowsRead };
    } catch (error) {
      siblings.abort(error);
      throw error;
    }
  }
}

interface AskedHosts {
  readonly hosts: ReadonlyMap<string, HostReport>;
  readonly rowsRead: number;
}

type Run = <Row>(statement: Statement) => Promise<Row[]>;
type FoundTable = FormRows & { readonly isFleet: boolean };

async function readSeries(planned: Planned, run: Run): Promise<Found> {
  const { plan, readings } = planned;
  const first = readings.find((reading) => reading.selections.includes(plan.selections[0] as Reading["selections"][number])) as Reading;
  const tableOf = (reading: Reading, rows: readonly SeriesRow[]): FoundTable => ({
    form: reading.form,
    selections: reading.selections,
    rows,
    isFleet: isFleet(reading),
  });
  if (plan.by.length === 0) {
    const tables = await Promise.all(readings.map(async (reading) => tableOf(reading, await run<SeriesRow>(seriesStatement(plan, reading, null)))));
    return { top: null, groups: 0, tables, hostSteps: [] };
  }
  const isRanked = isRankable(plan, first);
  const ranked = await run<SeriesRow>(rankStatement(planned, first));
  const groups = Number(ranked[0]?.groups ?? 0);
  const top = ranked.map((row) => plan.by.map((_, index) => String(row[`g${index}`]))).filter((group) => group.some((value) => value !== OTHER));
  // Where everything is shown, nothing has to be looked up per row; the agent's own overflow is called ~other already.
  const shown = groups > top.length ? top : null;
  const [hostSteps, tables] = await Promise.all([
    readHostSteps(planned, top, run),
    Promise.all(
      readings.map(async (reading) =>
        tableOf(reading, isRanked && reading === first ? ranked : await run<SeriesRow>(seriesStatement(plan, reading, shown))),
      ),
    ),
  ]);
  return { top, groups, tables, hostSteps };
}

/** One value per group ranks the groups itself; over many steps their volume does. */
function rankStatement({ plan, volumeSources }: Planned, first: Reading): Statement {
  if (isRankable(plan, first)) return rankedStatement(plan, first);
  return plan.steps.count === 1 && first.form === "gaugesByWindow" ? valueRankStatement(plan, first) : volumeStatement(plan, volumeSources);
}

/** Hosts that have a series each are told apart step by step. */
async function readHostSteps({ plan, hostStepSources }: Planned, top: readonly (readonly string[])[], run: Run): Promise<HostStepsRow[]> {
  const at = plan.by.indexOf("host");
  if (at < 0 || plan.steps.count === 1) return [];
  const hosts = [...new Set(top.map((group) => group[at] as string))];
  return hosts.length === 0 ? [] : run<HostStepsRow>(hostStepsStatement({ ...plan, hosts }, hostStepSources));
}

function sourcesOf(readings: readonly Reading[]): readonly Source[] {
  const all = readings.flatMap((reading) => reading.sources);
  return [...new Map(all.map((source) => [JSON.stringify(source), source])).values()].sort((a, b) => a.fromMs - b.fromMs);
}

/** A host that reported in a part of a step only counts for less in a rate that is made of the fleet's sum. */
function rateNotes({ plan, readings }: Planned, reports: Reports, nowMs: number): string[] {
  const isOfFleet = readings.some((reading) => isFleet(reading) && reading.selections.some((selection) => selection.aggregate === "rate"));
  if (!isOfFleet) return [];
  const { steps } = plan;
  const isPartial = (step: number): boolean => {
    const fromMs = steps.fromMs + step * steps.stepMs;
    const lengthMs = Math.min(steps.stepMs, nowMs - 60_000 - fromMs);
    return reports.coveredMs(step) < 0.99 * reports.hosts(step) * lengthMs;
  };
  if (!Array.from({ length: steps.count }, (_, step) => step).some(isPartial)) return [];
  return ["Rates are the fleet's sums over the mean time hosts reported: where some reported in part of a step only, that is an estimate."];
}

interface Found {
  /** Groups that get a series of their own; null when the query has no `by`. */
  readonly top: readonly (readonly string[])[] | null;
  /** How many groups there are in all. */
  readonly groups: number;
  readonly tables: readonly FoundTable[];
  readonly hostSteps: readonly HostStepsRow[];
}

interface ReadResult extends Pick<Found, "top" | "groups"> {
  readonly tables: readonly FormRows[];
  readonly hosts: ReadonlyMap<string, HostReport>;
  readonly reports: Reports;
  readonly rowsRead: number;
}

/** No host matches, so nothing has to be read. */
function nothing(plan: Plan): ReadResult {
  const tables = [...byStatement(plan.selections)].map(([form, selections]) => ({ form, selections, rows: [] }));
  return {
    top: plan.by.length > 0 ? [] : null,
    groups: 0,
    tables,
    hosts: new Map(),
    reports: new Reports([], [], plan.steps.count),
    rowsRead: 0,
  };
}

/** Who reports the API's own signals: expected since this node runs, and before wherever there are rows. */
const serverHost: KnownHost = { id: SERVER_HOST, name: SERVER_HOST, enrolledAtMs: Date.now(), retiredAtMs: null, lastWindowEndMs: null };

/** A host is meant by its name or by its id. */
function matchesHost(query: ResolvedQuery, host: KnownHost): boolean {
  return query.hostFilters.every((filter) => {
    const byName = matchesFilter(filter, host.name);
    const byId = matchesFilter(filter, host.id);
    return filter.negated ? byName && byId : byName || byId;
  });
}
