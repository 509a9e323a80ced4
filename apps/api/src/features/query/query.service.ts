// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { hostValue } from "@waggle/query";
import { OTHER, RELATIVE_ERROR_MAX, SERVER_HOST } from "@waggle/signals";
import { AppError } from "../../common/app-error.ts";
import { type Caller, requireScope } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { SharedAnswers } from "../../common/shared-answers.ts";
import { AnswerBodies } from "../formats/answer-bodies.ts";
import { AskedTogether, FEW_HOSTS } from "./asked-together.ts";
import { assembleSeries, groupOf, type HeatmapGrids, heatmapGrids, reporterKeys, withCompared } from "./assemble.ts";
import {
  byReporters,
  coverageOfMatching,
  type FewHostsRow,
  fewHostsOf,
  type HostReport,
  type HostsRow,
  type KnownHost,
  mergeFewHosts,
  Reports,
} from "./coverage.ts";
import { fewHostsStatement, hostsStatement } from "./coverage-statements.ts";
import { earlierSteps } from "./earlier-window.ts";
import { indexOf, matchingOf } from "./host-lists.ts";
import { hostValuesOf } from "./host-values.ts";
import { type EntryOrigin, Journal } from "./journal.ts";
import type { KeptSteps } from "./kept-steps.ts";
import type { KeptTotals } from "./kept-totals.ts";
import { LARGE_FLEET_HOSTS } from "./known-hosts.ts";
import type { Selection } from "./measures.ts";
import { type Asked, type Planned, QueryPlanner } from "./planner.ts";
import { QueryMetrics } from "./query.metrics.ts";
import { QueryRepository, RECENT_UNDER_LOAD_MS, type Recent } from "./query.repository.ts";
import type { Answer, Coverage, Explanation, Query } from "./query.schemas.ts";
import {
  type Groups,
  nothing,
  type ReadRows,
  type Run,
  type RunSteps,
  type RunTotals,
  readWindow,
  toHostReports,
  type WindowReader,
} from "./read-answer.ts";
import { readSteps, type StepQuestion } from "./read-steps.ts";
import { readTotals, type TotalQuestion } from "./read-totals.ts";
import { type ResolvedQuery, resolveQuery } from "./resolve.ts";
import { coarsestLevel, type Source } from "./sources.ts";
import type { Plan, Statement } from "./sql.ts";
import { nameOf } from "./statement-name.ts";
import { isFleet, type Reading } from "./statements.ts";
import { type TimeRange, WINDOW_MS } from "./time-range.ts";
import { ValuesTogether } from "./values-together.ts";
import { EARLIER_MS_MAX, type Following, type Made, WholeAnswers } from "./whole-answers.ts";

/** Shorter than the time in which a host counts as late; long enough for all panels of a page. */
const HOSTS_KEPT_MS = 5_000;
/** Rows of what few hosts said in stretches that are put together here: one per host, signal and window. */
const FEW_HOSTS_ROWS_MAX = 10_000;
/** Ranges and signals; an answer about 10,000 hosts takes some 3 MB. */
const FLEETS_KEPT_MAX = 16;
/** Answers as objects; one of two values of each of 10,000 hosts takes some 5 MB. */
const WHOLE_BYTES_MAX = 48 * 1_024 * 1_024;

/** What several reports of the same are made of. */
interface SaidHosts {
  readonly reports: ReadonlyMap<string, HostReport>;
  readonly asOfMs: number;
}

/** A query whose names are known, and all hosts of the organisation. */
interface Resolved {
  readonly tenant: string;
  readonly nowMs: number;
  readonly resolved: ResolvedQuery;
  readonly enrolled: readonly KnownHost[];
}

/** One query object in, one columnar answer out. */
@Injectable()
export class QueryService {
  private readonly together = new AskedTogether();
  private readonly valuesTogether = new ValuesTogether();
  private readonly fleetHosts = new SharedAnswers<SaidHosts>(HOSTS_KEPT_MS, FLEETS_KEPT_MAX);
  private readonly whole: WholeAnswers<Answer>;

  constructor(
    @Inject(QueryRepository) private readonly repository: QueryRepository,
    @Inject(QueryPlanner) private readonly planner: QueryPlanner,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(QueryMetrics) private readonly metrics: QueryMetrics,
    @Inject(AnswerBodies) bodies: AnswerBodies,
  ) {
    this.whole = new WholeAnswers<Answer>({
      bytesMax: WHOLE_BYTES_MAX,
      keptMs: RECENT_UNDER_LOAD_MS,
      isStillThere: (content) => repository.isStillThere(content),
      onKept: ({ answer, asOfMs }) => bodies.share(answer, asOfMs),
      onLetGo: (answer) => bodies.letGo(answer),
    });
  }

  /**
   * Answers a query out of the caller's organisation. The answer may be others' too (docs/adr/0019): nobody changes it, and `rowsToCount` says what it costs whom.
   * @param signal aborts the query in ClickHouse too, unless somebody else waits for the same
   * @param options.rawGrainMs shortest step of raw rows, where the caller knows that the windows of these hosts are shorter than others'
   * @param options.isOfThisRange an answer of a range that ended a little earlier will not do, however long its own takes
   * @throws AppError VALIDATION_FAILED, SIGNAL_NOT_FOUND, QUERY_TOO_LARGE, QUERY_TIMEOUT, STORAGE_UNAVAILABLE, FORBIDDEN
   */
  async query(
    caller: Caller,
    query: Query,
    signal?: AbortSignal,
    { rawGrainMs, isOfThisRange = false }: { readonly rawGrainMs?: number; readonly isOfThisRange?: boolean } = {},
  ): Promise<Answer> {
    const journal = new Journal();
    const question = await this.resolve(caller, query, journal);
    const whole = query.explain || rawGrainMs !== undefined ? undefined : wholeQuestion(question);
    if (whole === undefined) return (await this.make(question, journal, { isExplained: query.explain, rawGrainMs }, signal)).answer;
    const make = (abort: AbortSignal) => this.make(aligned(question), journal, { isWhole: true }, abort);
    const following = isOfThisRange ? undefined : whole.following;
    const { made, origin } = await this.whole.get(whole.key, this.repository.recentMs("always", question.tenant), make, signal, following);
    this.metrics.countWhole(origin);
    return made.answer;
  }

  private async make(
    question: Resolved,
    journal: Journal,
    {
      isExplained = false,
      isWhole = false,
      rawGrainMs,
    }: { readonly isExplained?: boolean; readonly isWhole?: boolean; readonly rawGrainMs?: number | undefined },
    signal: AbortSignal | undefined,
  ): Promise<Made<Answer>> {
    const { window, resolved, asked } = await this.choose(question, journal, signal, { isWhole, rawGrainMs });
    journal.endPlanning();
    const { plan, planned, nowMs } = window;
    const { steps, hosts } = plan;

    const isNobody = hosts?.length === 0;
    const read = isNobody ? nothing(plan) : await this.read(window, journal, "", signal);
    const earlier = await this.readEarlier(window, resolved, asked, read, journal, signal);
    const further = [...groupsOfRest(window, read), ...(earlier === undefined ? [] : groupsOfRest(earlier.window, earlier.read))];
    const grids = earlier === undefined ? undefined : heatmapGrids(plan, [read.tables, earlier.read.tables]);
    const series = window.series(read, earlier === undefined ? [] : further, grids);
    const shown = read.top?.length ?? 0;
    const sources = isNobody ? [] : sourcesOf(planned.readings);
    const notes = rateNotes(planned, read.reports, nowMs);
    const coverage = window.coverage(read, notes);
    const compared =
      earlier === undefined
        ? undefined
        : { series: withCompared(series, earlier.window.series(earlier.read, further, grids)), meta: earlier.window.meta(earlier.read) };
    const { elapsedMs, plannerMs, assemblyMs } = journal.times();
    const answer: Answer = {
      meta: {
        signal: plan.signal.name,
        from: iso(steps.fromMs),
        to: iso(steps.toMs),
        stepSeconds: steps.stepMs / 1_000,
        points: steps.count,
        unit: plan.selections[0]?.unit ?? "1",
        ...(plan.selections.some((selection) => selection.form === "buckets") ? { errorBound: RELATIVE_ERROR_MAX } : {}),
        coverage,
        truncated: read.groups > shown ? { shown, total: read.groups } : null,
        level: coarsestLevel(sources),
        scope: sources.some((source) => source.scope === "fleet") ? "fleet" : "host",
        sources: sources.map(({ level, scope, fromMs, toMs }) => ({ level, scope, from: iso(fromMs), to: iso(toMs) })),
        ...(compared === undefined ? {} : { compare: compared.meta }),
        rowsRead: journal.rowsRead,
        elapsedMs,
        plannerMs,
        assemblyMs,
        ...(isExplained ? { explain: explanation(planned, journal, question.tenant) } : {}),
      },
      series: compared === undefined ? series : compared.series,
    };
    return { answer, asOfMs: journal.asOfMs, contents: journal.contents, bytes: bytesOf(answer) };
  }

  private async resolve(caller: Caller, query: Query, journal: Journal): Promise<Resolved> {
    requireScope(caller, "metrics:read");
    const nowMs = this.clock.now();
    const tenant = caller.organisationId;
    const enrolled = await journal.wait(() => this.repository.listHosts(tenant));
    return { tenant, nowMs, resolved: resolveQuery(query, nowMs, indexOf(enrolled).tagKeys), enrolled };
  }

  private async choose(
    { tenant, nowMs, resolved, enrolled }: Resolved,
    journal: Journal,
    signal: AbortSignal | undefined,
    { isWhole = false, rawGrainMs }: { readonly isWhole?: boolean; readonly rawGrainMs?: number | undefined } = {},
  ) {
    const known = resolved.signal.source === "server" ? serverHosts : enrolled;
    const { hosts: matching, ids } = matchingOf(known, resolved.hostFilters);
    const hosts = resolved.hostFilters.length === 0 ? null : ids;
    const asked = toAsked(resolved, tenant, hosts, matching, journal);
    const planned = await this.planner.choose(asked, resolved.range, { ...resolved, rawGrainMs }, nowMs, signal);
    // Who knows the windows of the hosts asks for one as soon as it is complete.
    return {
      window: new Window(planned, known, matching, nowMs, rawGrainMs !== undefined ? "never" : isWhole ? "as-a-part" : undefined),
      resolved,
      asked,
    };
  }

  /**
   * What a query of one value over its range reads, and the window it is compared with: names checked, hosts found, levels chosen. For answers that are put together in
   * another way than `query` does.
   * @throws AppError as of `query`; VALIDATION_FAILED for comparisons of groups' values, which only `query` heeds
   */
  async plan(caller: Caller, query: Omit<Query, "explain" | "points">, signal?: AbortSignal): Promise<ChosenPlan> {
    const journal = new Journal();
    const question = await this.resolve(caller, { ...query, points: 1, explain: false }, journal);
    const { window, resolved, asked } = await this.choose(question, journal, signal);
    if (window.planned.compared.length > 0) {
      const detail = "Comparisons of values, such as `count>10`, cannot be used here; filter by dimensions, hosts and tags.";
      throw new AppError("VALIDATION_FAILED", `/where: ${detail}`, { errors: [{ pointer: "/where", detail }] });
    }
    if (resolved.earlier === null) return window;
    const { planned, known, matching, nowMs } = window;
    const earlier = await this.planner.again(asked, earlierSteps(planned.plan.steps, resolved.earlier), nowMs, signal);
    return { planned, known, matching, nowMs, earlier: { planned: earlier, known, matching, nowMs } };
  }

  /** How well a plan's signal is covered over its range. Throws as of `query`. */
  async coverage({ planned, known, matching, nowMs }: ChosenPlan, signal?: AbortSignal): Promise<AskedHosts & { readonly coverage: Coverage }> {
    const { plan, hostSources } = planned;
    const window = new Window(planned, known, matching, nowMs);
    const journal = new Journal();
    const ask = (abort: AbortSignal) => this.hosts(window, hostsStatement(plan, hostSources), journal, "what each host said", abort);
    const hosts = plan.hosts?.length === 0 ? new Map<string, HostReport>() : await ask(signal ?? new AbortController().signal);
    const reports = reportsOfOneStep(hosts, known, "[]", () => Reports.ofOneStep(hosts, undefined));
    return { coverage: window.coverage({ hosts, reports }), hosts, rowsRead: journal.rowsRead };
  }

  private async readEarlier(
    window: Window,
    { earlier }: ResolvedQuery,
    asked: Asked,
    read: ReadRows,
    journal: Journal,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly window: Window; readonly read: ReadRows } | undefined> {
    const { plan } = window;
    if (earlier === null) return undefined;
    const steps = earlierSteps(plan.steps, earlier);
    const again = await this.planner.again({ ...asked, comparisons: [] }, steps, window.nowMs, signal);
    // What passes is what passes now: the same groups are compared.
    const planned: Planned = { ...again, plan: { ...again.plan, ...(read.passing === undefined ? {} : { passing: read.passing }) } };
    const before = new Window(planned, window.known, window.matching, window.nowMs, window.recent);
    const isNothing = plan.hosts?.length === 0 || (plan.by.length === 0 && read.top !== null);
    const rows = isNothing ? nothing(planned.plan) : await this.read(before, journal, "earlier window: ", signal, read);
    return { window: before, read: isNothing ? { ...rows, top: read.top } : rows };
  }

  /** @param prefix of the purpose of each statement */
  private async read(window: Window, journal: Journal, prefix: string, signal: AbortSignal | undefined, shown?: ReadRows): Promise<ReadRows> {
    // One failed statement ends the others: nobody waits for their rows any more.
    const siblings = new AbortController();
    const either = signal === undefined ? siblings.signal : AbortSignal.any([signal, siblings.signal]);
    const isFew = window.plan.hosts !== null && window.plan.hosts.length <= FEW_HOSTS;
    const recentOf = (isOfCoverage: boolean): Recent => (isOfCoverage ? window.recentOfCoverage : window.recent);
    const run: Run = async <Row>(purpose: string, statement: Statement, isOfCoverage = false) => {
      const startedAtMs = performance.now();
      // Of few hosts, all frames that were read are named: what was read of the same ones is as right as what would be read now.
      const recent = statement.asOf === undefined ? recentOf(isOfCoverage) : isFew ? "always" : "never";
      const answer = await journal.wait(() => this.repository.run<Row>(statement, either, { recent, ticket: journal }));
      const { rows, rowsRead, origin, waitedMs } = answer;
      // Coverage that was read for another is not read again because rows have come meanwhile.
      journal.madeOf(isOfCoverage ? { asOfMs: answer.asOfMs } : answer);
      journal.note({ purpose: `${prefix}${purpose}`, statement, origin, rowsRead, waitedMs, elapsedMs: performance.now() - startedAtMs });
      return rows;
    };
    const askHosts = (statement: Statement) => this.hosts(window, statement, journal, `${prefix}what each host said`, either);
    const versionsOf = async (plan: Plan, range: TimeRange, recent: Recent) => {
      const named = await journal.wait(() => this.repository.versionsOf(plan, range, recent));
      journal.madeOf(named);
      return named.nameOf;
    };
    const runSteps: RunSteps = async <Row extends { readonly step: number }>(purpose: string, question: StepQuestion, isOfCoverage = false) => {
      const { plan } = question;
      const recent = recentOf(isOfCoverage);
      // Of the API's own signals no frames tell.
      const isTold = recent !== "never" && plan.signal.source !== "server";
      return readSteps<Row>(question, {
        kept: this.repository.keptSteps as unknown as KeptSteps<Row>,
        ...(isTold ? { versions: (range: TimeRange) => versionsOf(plan, range, recent) } : {}),
        run: (some) => run<Row>(purpose, some, isOfCoverage),
        onKept: (some) => journal.note({ purpose: `${prefix}${purpose}`, statement: some, origin: "kept", rowsRead: 0, waitedMs: 0, elapsedMs: 0 }),
      });
    };
    const runTotals: RunTotals = async <Row extends object>(purpose: string, question: TotalQuestion<Row>) => {
      const { plan } = question;
      if (window.recent === "never" || plan.signal.source === "server") return undefined;
      return readTotals<Row>(question, {
        kept: this.repository.keptTotals as unknown as KeptTotals<Row>,
        nowMs: window.nowMs,
        versions: (range) => versionsOf(plan, range, window.recent),
        run: (some) => run<Row>(purpose, some),
      });
    };
    const askFew = async () => {
      const { plan, hostSources, hostStepSources } = window.planned;
      const sources = plan.steps.count === 1 ? hostSources : hostStepSources;
      const signals = this.together.signalsFor(plan, performance.now());
      const question: StepQuestion = { plan, sources, statement: (of, cut) => fewHostsStatement(of, cut(sources), signals) };
      const purpose = "what each host said";
      // As of the same frames as the values, which are divided by what they say.
      const total: TotalQuestion<FewHostsRow> = { ...question, merge: mergeFewHosts, rowsMax: FEW_HOSTS_ROWS_MAX };
      const rows = plan.steps.count === 1 ? await runTotals<FewHostsRow>(purpose, total) : undefined;
      return window.reportsOfFew(rows ?? (await runSteps<FewHostsRow>(purpose, question)) ?? []);
    };
    try {
      const reader = {
        planned: window.planned,
        run,
        runSteps,
        runTotals,
        askHosts,
        reportsOf: (hosts: ReadonlyMap<string, HostReport>) => window.reportsOf(hosts),
      };
      const togetherOf: WindowReader["togetherOf"] = (plan, reading, form) => this.valuesTogether.of(plan, reading, form, performance.now());
      return await readWindow(isFew ? { ...reader, askFew, togetherOf } : reader, shown);
    } catch (error) {
      siblings.abort(error);
      throw error;
    }
  }

  /** What each host said over the range. Of a whole fleet that is much to read, and every panel of a page asks it: then nobody's alone to cancel. */
  private async hosts(
    { plan, recentOfCoverage }: Window,
    statement: Statement,
    journal: Journal,
    purpose: string,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, HostReport>> {
    const startedAtMs = performance.now();
    let [origin, rowsRead, waitedMs]: [EntryOrigin, number, number] = ["recent", 0, 0];
    const ask = async (abort: AbortSignal | undefined): Promise<SaidHosts> => {
      const answer = await this.repository.run<HostsRow>(statement, abort, { recent: recentOfCoverage, ticket: journal });
      ({ origin, rowsRead, waitedMs } = answer);
      return { reports: toHostReports(answer.rows), asOfMs: answer.asOfMs };
    };
    const { reports, asOfMs } = await journal.wait(() =>
      plan.hosts === null
        ? this.fleetHosts.get(nameOf(statement), () => ask(undefined), performance.now(), this.repository.recentMs(recentOfCoverage, plan.tenant))
        : ask(signal),
    );
    journal.madeOf({ asOfMs });
    journal.note({ purpose, statement, origin, rowsRead, waitedMs, elapsedMs: performance.now() - startedAtMs });
    return reports;
  }
}

/** Numbers lists of hosts, which are the same objects as long as nothing about their hosts has changed. */
const listNumbers = new WeakMap<readonly KnownHost[], number>();
let lists = 0;

function numberOf(list: readonly KnownHost[]): number {
  let number = listNumbers.get(list);
  if (number === undefined) {
    number = ++lists;
    listNumbers.set(list, number);
  }
  return number;
}

/** What a question about all hosts of a large fleet is called, and whether it follows the present; undefined: it is another one, whose answer is its caller's alone. */
function wholeQuestion({ tenant, nowMs, resolved, enrolled }: Resolved): { readonly key: string; readonly following?: Following } | undefined {
  const { signal, selections, by, labels, filters, hostFilters, comparisons, points, stepMs, limit, earlier, range } = resolved;
  if (enrolled.length < LARGE_FLEET_HOSTS || hostFilters.length > 0 || signal.source === "server") return undefined;
  const name = ({ measure, aggregate }: Pick<Selection, "measure" | "aggregate">): readonly string[] => [measure, aggregate];
  const asked = [
    tenant,
    signal.name,
    selections.map(name),
    by,
    labels,
    filters,
    comparisons.map(({ selection, operator, value }) => [...name(selection), operator, value]),
    points,
    stepMs,
    limit,
    earlier,
  ];
  const { fromMs, toMs } = alignedRange(range);
  const key = JSON.stringify([numberOf(enrolled), ...asked, fromMs, toMs]);
  // Of what ended longer ago all windows have come. What was so some seconds ago was so of the hosts there were.
  return nowMs - range.toMs > EARLIER_MS_MAX ? { key } : { key, following: { name: JSON.stringify([...asked, range.toMs - range.fromMs]), toMs } };
}

/** Steps begin and end on marks of windows: who asks some seconds later asks the same. */
function alignedRange({ fromMs, toMs }: TimeRange): TimeRange {
  return { fromMs: Math.floor(fromMs / WINDOW_MS) * WINDOW_MS, toMs: Math.ceil(toMs / WINDOW_MS) * WINDOW_MS };
}

function aligned(question: Resolved): Resolved {
  return { ...question, resolved: { ...question.resolved, range: alignedRange(question.resolved.range) } };
}

/** What an answer takes as objects, about. */
function bytesOf({ series }: Answer): number {
  return series.reduce((sum, one) => sum + 200 + 24 * ("values" in one ? one.values.length : one.cells.length * (one.cells[0]?.length ?? 0)), 0);
}

/** What a query reads. */
export interface ChosenPlan {
  readonly planned: Planned;
  /** All hosts of the organisation. */
  readonly known: readonly KnownHost[];
  /** Those that the filter means. */
  readonly matching: readonly KnownHost[];
  readonly nowMs: number;
  /** The same of the window that it is compared with, if there is one. */
  readonly earlier?: ChosenPlan;
}

export interface AskedHosts {
  /** By host id. */
  readonly hosts: ReadonlyMap<string, HostReport>;
  readonly rowsRead: number;
}

/** A window that was planned, and the hosts it is about. */
class Window {
  readonly plan: Planned["plan"];
  /** Whether its statements may be answered as they were a few seconds ago. */
  readonly recent: Recent;
  private readonly byId: ReadonlyMap<string, KnownHost>;

  constructor(
    readonly planned: Planned,
    /** All of the organisation. */
    readonly known: readonly KnownHost[],
    readonly matching: readonly KnownHost[],
    readonly nowMs: number,
    recent?: Recent,
  ) {
    this.plan = planned.plan;
    const isLargeFleet = planned.plan.hosts === null && known.length >= LARGE_FLEET_HOSTS;
    this.recent = recent ?? (isLargeFleet ? "always" : "rather-than-wait");
    this.byId = indexOf(known).byId;
  }

  /** Every panel of a page asks it again. */
  get recentOfCoverage(): Recent {
    return this.recent === "rather-than-wait" ? "always" : this.recent;
  }

  /** What `by` tells a host apart by. */
  private reportersOf(id: string, keys: readonly string[]): readonly string[] {
    const host = this.byId.get(id);
    return keys.map((key) => (key === "host" ? id : host === undefined ? "" : hostValue(host, key)));
  }

  /** Who reported in a range of one step. */
  reportsOf(hosts: ReadonlyMap<string, HostReport>): Reports {
    const keys = reporterKeys(this.plan.by);
    const reportersOf = keys.length === 0 ? undefined : keys[0] === "host" ? "host" : (id: string) => this.reportersOf(id, keys);
    return reportsOfOneStep(hosts, this.known, JSON.stringify(keys), () => Reports.ofOneStep(hosts, reportersOf));
  }

  /** What few hosts said, and when they reported. */
  reportsOfFew(rows: readonly FewHostsRow[]): { readonly hosts: ReadonlyMap<string, HostReport>; readonly reports: Reports } {
    const { signal, by, steps } = this.plan;
    const { hosts, ofSteps, ofHosts } = fewHostsOf(rows, signal.name);
    const keys = reporterKeys(by);
    return {
      hosts,
      reports: new Reports(
        ofSteps,
        byReporters(ofHosts, (id) => (keys.length === 0 ? undefined : this.reportersOf(id, keys))),
        steps.count,
      ),
    };
  }

  series({ top, tables, totals, reports }: ReadRows, groups: Groups, grids?: HeatmapGrids): Answer["series"] {
    const hostName = (id: string): string => this.byId.get(id)?.name ?? id;
    return assembleSeries(this.plan, top, tables, {
      reports,
      hostName,
      groups,
      ...(totals === undefined ? {} : { totals }),
      ...(grids === undefined ? {} : { grids }),
    });
  }

  coverage({ hosts, reports }: Pick<ReadRows, "hosts" | "reports">, notes: readonly string[] = []): Answer["meta"]["coverage"] {
    return coverageOfMatching(this.plan.steps, this.matching, hosts, reports, this.nowMs, [...this.planned.notes, ...notes]);
  }

  meta(read: ReadRows): NonNullable<Answer["meta"]["compare"]> {
    const { fromMs, toMs } = this.plan.steps;
    return { from: iso(fromMs), to: iso(toMs), coverage: this.coverage(read, rateNotes(this.planned, read.reports, this.nowMs)) };
  }
}

/** By what each host said, by the list that knows their values, by keys. */
const oneSteps = new WeakMap<ReadonlyMap<string, HostReport>, WeakMap<readonly KnownHost[], Map<string, Reports>>>();

/** What the hosts of a large fleet said is the same for the panels of a page: it is added up once for all that tell hosts apart by the same keys. */
function reportsOfOneStep(hosts: ReadonlyMap<string, HostReport>, known: readonly KnownHost[], keys: string, make: () => Reports): Reports {
  const ofLists = oneSteps.get(hosts) ?? new WeakMap<readonly KnownHost[], Map<string, Reports>>();
  oneSteps.set(hosts, ofLists);
  const ofKeys = ofLists.get(known) ?? new Map<string, Reports>();
  ofLists.set(known, ofKeys);
  let reports = ofKeys.get(keys);
  if (reports === undefined) {
    reports = make();
    ofKeys.set(keys, reports);
  }
  return reports;
}

/** `~other`, where rows have it: in one window it may have rows and in the other none. */
function groupsOfRest({ plan }: Window, { tables }: ReadRows): Groups {
  if (plan.by.length === 0) return [];
  const rows = tables.flatMap((table) => table.rows);
  const rest = rows.map((row) => groupOf(plan, row)).find((group) => group.every((value) => value === OTHER));
  return rest === undefined ? [] : [rest];
}

function toAsked(resolved: ResolvedQuery, tenant: string, hosts: readonly string[] | null, matching: readonly KnownHost[], journal: Journal): Asked {
  const { signal, selections, by, labels, filters, comparisons, limit } = resolved;
  const hostValues = hostValuesOf(by, matching);
  return { plan: { tenant, signal, selections, by, labels, hostValues, filters, hosts, limit }, comparisons, hostCount: matching.length, journal };
}

function explanation({ choice, plan }: Planned, journal: Journal, tenant: string): Explanation {
  return {
    step: { seconds: plan.steps.stepMs / 1_000, why: choice.why },
    estimatedRows: choice.rows,
    considered: choice.considered.map(({ level, stepMs, rows, isChosen }) => ({
      level,
      stepSeconds: stepMs / 1_000,
      estimatedRows: rows,
      chosen: isChosen,
    })),
    statements: journal.statements(tenant),
  };
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

/** Who reports the API's own signals: expected since this node runs, and before wherever there are rows. */
const serverHosts: readonly KnownHost[] = [
  {
    id: SERVER_HOST,
    name: SERVER_HOST,
    enrolledAtMs: Date.now(),
    retiredAtMs: null,
    lastWindowEndMs: null,
    tags: {},
    attributes: { kernel: "", distribution: "", architecture: "", agent_version: "" },
  },
];

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
