// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { RELATIVE_ERROR_MAX } from "@waggle/signals";
import { type Caller, requireScope } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { assembleSeries, type FormRows, type SeriesRow } from "./assemble.ts";
import { assembleCoverage, type CoverageRow, type KnownHost, Reports } from "./coverage.ts";
import type { Form } from "./measures.ts";
import { QueryRepository } from "./query.repository.ts";
import type { Answer, Query } from "./query.schemas.ts";
import { type ResolvedQuery, resolveQuery } from "./resolve.ts";
import { coverageStatement, type Plan, rankStatement, seriesStatement } from "./statements.ts";
import { matchesFilter } from "./where.ts";

const forms: readonly Form[] = ["sums", "gaugesByHost", "gaugesByWindow", "extents", "buckets"];

/** The planner: one query object in, one columnar answer out. */
@Injectable()
export class QueryService {
  constructor(
    @Inject(QueryRepository) private readonly repository: QueryRepository,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /**
   * Answers a query out of the caller's organisation.
   * @param signal aborts the query in ClickHouse too
   * @throws AppError VALIDATION_FAILED, SIGNAL_NOT_FOUND, QUERY_TOO_LARGE, QUERY_TIMEOUT, STORAGE_UNAVAILABLE, FORBIDDEN
   */
  async query(caller: Caller, query: Query, signal?: AbortSignal): Promise<Answer> {
    requireScope(caller, "metrics:read");
    const startedAt = performance.now();
    const nowMs = this.clock.now();
    const resolved = resolveQuery(query, nowMs);
    const { steps } = resolved;
    const known = await this.repository.listHosts(caller.organisationId);
    const matching = known.filter((host) => matchesHost(resolved, host));
    const plan: Plan = {
      ...resolved,
      tenant: caller.organisationId,
      hosts: resolved.hostFilters.length === 0 ? null : matching.map((host) => host.id),
    };

    const read = plan.hosts?.length === 0 ? nothing(plan) : await this.read(plan, signal);
    // A host that has windows older than its enrolment (it filled its spool before) is expected where they are.
    const heard = new Set(read.coverage.map((row) => row.host_id));
    const isExpected = (host: KnownHost): boolean =>
      (host.enrolledAtMs < steps.toMs || heard.has(host.id)) && (host.retiredAtMs === null || host.retiredAtMs > steps.fromMs);
    const names = new Map(known.map((host) => [host.id, host.name]));
    const reports = new Reports(read.coverage, steps.count);
    const series = assembleSeries(plan, read.top, read.tables, reports, (id) => names.get(id) ?? id);
    const shown = read.top?.length ?? 0;
    return {
      meta: {
        signal: plan.signal.name,
        from: new Date(steps.fromMs).toISOString(),
        to: new Date(steps.toMs).toISOString(),
        stepSeconds: steps.stepMs / 1_000,
        points: steps.count,
        unit: plan.selections[0]?.unit ?? "1",
        ...(plan.selections.some((selection) => selection.form === "buckets") ? { errorBound: RELATIVE_ERROR_MAX } : {}),
        coverage: assembleCoverage(steps, matching.filter(isExpected), read.coverage, nowMs),
        truncated: read.groups > shown ? { shown, total: read.groups } : null,
        rowsRead: read.rowsRead,
        elapsedMs: Math.round((performance.now() - startedAt) * 10) / 10,
      },
      series,
    };
  }

  private async read(plan: Plan, signal: AbortSignal | undefined): Promise<ReadResult> {
    // One failed statement ends the others: nobody waits for their rows any more.
    const siblings = new AbortController();
    const either = signal === undefined ? siblings.signal : AbortSignal.any([signal, siblings.signal]);
    try {
      const [coverage, read] = await Promise.all([this.repository.run<CoverageRow>(coverageStatement(plan), either), this.readSeries(plan, either)]);
      return { ...read, coverage: coverage.rows, rowsRead: read.rowsRead + coverage.rowsRead };
    } catch (error) {
      siblings.abort(error);
      throw error;
    }
  }

  private async readSeries(plan: Plan, signal: AbortSignal): Promise<Omit<ReadResult, "coverage">> {
    let rowsRead = 0;
    let groups = 0;
    let top: string[][] | null = null;
    if (plan.by.length > 0) {
      const ranked = await this.repository.run<SeriesRow>(rankStatement(plan), signal);
      rowsRead += ranked.rowsRead;
      groups = Number(ranked.rows[0]?.groups ?? 0);
      top = ranked.rows.map((row) => plan.by.map((_, index) => String(row[`g${index}`])));
    }
    // Where everything is shown, nothing has to be looked up per row; the agent's own overflow is called ~other already.
    const shown = groups > (top?.length ?? 0) ? top : null;
    const tables = await Promise.all(
      forms.map(async (form): Promise<FormRows | undefined> => {
        const selections = plan.selections.filter((selection) => selection.form === form);
        if (selections.length === 0) return undefined;
        const answer = await this.repository.run<SeriesRow>(seriesStatement(plan, form, selections, shown), signal);
        rowsRead += answer.rowsRead;
        return { form, selections, rows: answer.rows };
      }),
    );
    return { top, groups, tables: tables.filter((table) => table !== undefined), rowsRead };
  }
}

interface ReadResult {
  readonly coverage: readonly CoverageRow[];
  /** Groups that get a series of their own; null when the query has no `by`. */
  readonly top: readonly (readonly string[])[] | null;
  /** How many groups there are in all. */
  readonly groups: number;
  readonly tables: readonly FormRows[];
  readonly rowsRead: number;
}

/** No host matches, so nothing has to be read. */
function nothing(plan: Plan): ReadResult {
  const tables = forms.map((form) => ({ form, selections: plan.selections.filter((selection) => selection.form === form), rows: [] }));
  return { coverage: [], top: plan.by.length > 0 ? [] : null, groups: 0, tables, rowsRead: 0 };
}

/** A host is meant by its name or by its id. */
function matchesHost(query: ResolvedQuery, host: KnownHost): boolean {
  return query.hostFilters.every((filter) => {
    const byName = matchesFilter(filter, host.name);
    const byId = matchesFilter(filter, host.id);
    return filter.negated ? byName && byId : byName || byId;
  });
}
