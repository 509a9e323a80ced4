// SPDX-License-Identifier: Apache-2.0
import { OTHER } from "@waggle/signals";
import { type FormRows, groupOf, ratesOfFleet, reporterKeys, type SeriesRow } from "./assemble.ts";
import { type HostReport, type HostStepsRow, type HostsRow, hostReports, Reports, type StepsRow } from "./coverage.ts";
import { hostStepsStatement, hostsStatement, stepsStatement } from "./coverage-statements.ts";
import { byStatement } from "./measures.ts";
import type { Planned } from "./planner.ts";
import { type RankedSeries, rankSeries } from "./rank-series.ts";
import { cutTotals, type MergeableForm, mergeableForms, mergeStretches, rankTotals, ratesOfHosts } from "./rank-totals.ts";
import type { StepQuestion, Together } from "./read-steps.ts";
import type { TotalQuestion } from "./read-totals.ts";
import type { Plan, Statement } from "./sql.ts";
import {
  groupsCondition,
  hasRankableSeries,
  isFleet,
  isRankable,
  passesStatement,
  passingStatement,
  type Reading,
  rankedSeriesStatement,
  rankedStatement,
  seriesStatement,
  valueRankStatement,
  volumeStatement,
  withVolume,
} from "./statements.ts";

/** Runs a statement and notes what for. Of coverage an answer of some seconds ago will do: what is asked of it is as old as a host may be late. */
export type Run = <Row>(purpose: string, statement: Statement, isOfCoverage?: boolean) => Promise<readonly Row[]>;

/** The same of a question whose rows are each of one step; of that what has not changed need not be read again. undefined: it has more rows than it wants. */
export type RunSteps = <Row extends { readonly step: number }>(
  purpose: string,
  question: StepQuestion,
  isOfCoverage?: boolean,
) => Promise<readonly Row[] | undefined>;

/** The same of a question of one value over its range; undefined: it is better asked at once. */
export type RunTotals = <Row extends object>(purpose: string, question: TotalQuestion<Row>) => Promise<readonly Row[] | undefined>;

/** Groups in their order. */
export type Groups = readonly (readonly string[])[];

/** All rows of an answer's window. */
export interface ReadRows {
  /** Groups that get a series of their own; null when the query has no `by`. */
  readonly top: Groups | null;
  /** How many groups there are in all. */
  readonly groups: number;
  readonly tables: readonly FormRows[];
  /** Values of all groups together, where the groups in the answer are not all there are; of selections that are shares. */
  readonly totals: readonly FormRows[] | undefined;
  readonly hosts: ReadonlyMap<string, HostReport>;
  readonly reports: Reports;
  /** What picked the groups that may be in the answer: the earlier window has the same. */
  readonly passing: Plan["passing"];
}

export interface WindowReader {
  readonly planned: Planned;
  readonly run: Run;
  readonly runSteps: RunSteps;
  readonly runTotals: RunTotals;
  /** What each host said about the signal over the whole range. */
  readonly askHosts: (statement: Statement) => Promise<ReadonlyMap<string, HostReport>>;
  /** Who reported in a range of one step, by what each host said. */
  readonly reportsOf: (hosts: ReadonlyMap<string, HostReport>) => Reports;
  /** Where the hosts are few: what each said and when they reported, at once. */
  readonly askFew?: () => Promise<{ readonly hosts: ReadonlyMap<string, HostReport>; readonly reports: Reports }>;
  /** How rows of a reading are read together with those of others; undefined: alone. */
  readonly togetherOf?: (plan: Plan, reading: Reading, form: MergeableForm) => Together<SeriesRow> | undefined;
}

/**
 * Reads a window.
 * @param shown groups to show, as of the window it is compared with; undefined: those that rank first in this one
 */
export async function readWindow(
  { planned: given, run, runSteps, runTotals, askHosts, reportsOf, askFew, togetherOf }: WindowReader,
  shown?: Pick<ReadRows, "top" | "groups">,
): Promise<ReadRows> {
  const planned = askFew === undefined ? given : withRatesOfOne(given);
  const { plan } = planned;
  const isOneStep = plan.steps.count === 1;
  const asking = askFew === undefined ? askHosts(hostsStatement(plan, planned.hostSources)) : askFew();
  const hostsSaid = async () => {
    const answer = await asking;
    return "reports" in answer ? answer.hosts : answer;
  };
  const readFound = async () => {
    const narrowed = await withGroups(planned, run);
    const reader = { run, runSteps, runTotals, togetherOf: togetherOf ?? alone, hostsSaid };
    return { ...(await readSeries(narrowed, reader, shown, askFew !== undefined)), passing: narrowed.plan.passing };
  };
  const [said, ofSteps, found] = await Promise.all([
    asking,
    isOneStep || askFew !== undefined ? [] : runSteps<StepsRow>("who reported per step", whoReported(planned), true),
    readFound(),
  ]);
  const { hosts, reports } =
    "reports" in said ? said : { hosts: said, reports: isOneStep ? reportsOf(said) : new Reports(ofSteps ?? [], found.hostSteps, plan.steps.count) };
  const tables = found.tables.map((table) => (table.isFleet ? ratesOfFleet(table, reports) : table));
  return { top: found.top, groups: found.groups, tables, totals: found.totals, hosts, reports, passing: found.passing };
}

/** One host's rate is its sum over the time in which it reported, which is known beside: then sums are read, which stretches have too. */
function withRatesOfOne(planned: Planned): Planned {
  if (planned.plan.hosts?.length !== 1) return planned;
  return { ...planned, readings: planned.readings.map((reading) => (reading.form === "sums" ? { ...reading, isOfFleet: true } : reading)) };
}

function whoReported({ plan, stepSources }: Planned): StepQuestion {
  return { plan, sources: stepSources, statement: (of, cut) => stepsStatement(of, cut(stepSources)) };
}

/** No host matches, so nothing has to be read. */
export function nothing(plan: Plan): ReadRows {
  const tables = [...byStatement(plan.selections)].map(([form, selections]) => ({ form, selections, rows: [] }));
  return {
    top: plan.by.length > 0 ? [] : null,
    groups: 0,
    tables,
    totals: undefined,
    hosts: new Map(),
    reports: new Reports([], [], plan.steps.count),
    passing: undefined,
  };
}

/** Most groups that are listed in statements. Looked for once, few groups cost each further table a look-up instead of the whole comparison. */
const GROUPS_LISTED_MAX = 10_000;

/** The same with the groups that pass its comparisons looked up, unless they are too many to be listed. */
async function withGroups(planned: Planned, run: Run): Promise<Planned> {
  const { plan, compared } = planned;
  if (plan.by.length === 0 || compared.length === 0) return planned;
  const found = await Promise.all(
    compared.map((one) =>
      run<SeriesRow>("groups that pass the comparison", passingStatement({ ...plan, passing: undefined }, one, GROUPS_LISTED_MAX)),
    ),
  );
  if (found.some((rows) => rows.length > GROUPS_LISTED_MAX)) return planned;
  const [first = [], ...rest] = found.map((rows) => new Map(rows.map((row) => [JSON.stringify(groupOf(plan, row)), groupOf(plan, row)])));
  const groups = [...first].filter(([key]) => rest.every((others) => others.has(key))).map(([, group]) => group);
  return { ...planned, plan: { ...plan, passing: groupsCondition(plan, groups) } };
}

type FoundTable = FormRows & { readonly isFleet: boolean };

interface Found extends Pick<ReadRows, "top" | "groups" | "totals"> {
  readonly tables: readonly FoundTable[];
  readonly hostSteps: readonly HostStepsRow[];
}

const alone = (): undefined => undefined;

interface SeriesReader extends Pick<WindowReader, "run" | "runSteps" | "runTotals">, Required<Pick<WindowReader, "togetherOf">> {
  /** What each host said over the range, which is read beside. */
  readonly hostsSaid: () => Promise<ReadonlyMap<string, HostReport>>;
}

/** @param isFew the hosts are few, and it is known already when they reported */
async function readSeries(
  planned: Planned,
  { run, runSteps, runTotals, togetherOf, hostsSaid }: SeriesReader,
  shown: Pick<ReadRows, "top" | "groups"> | undefined,
  isFew: boolean,
): Promise<Found> {
  const { plan, readings, compared } = planned;
  const first = readings.find((reading) => reading.selections.includes(plan.selections[0] as Reading["selections"][number])) as Reading;
  const tableOf = (reading: Reading, rows: readonly SeriesRow[]): FoundTable => ({
    form: reading.form,
    selections: reading.selections,
    rows,
    isFleet: isFleet(reading),
  });
  const hostStepsOf = async (top: Groups): Promise<readonly HostStepsRow[]> => (isFew ? [] : readHostSteps(planned, top, run));
  const rowsOf = async (of: Plan, reading: Reading, top: Groups | null, purpose = "values"): Promise<readonly SeriesRow[]> => {
    // How long a moment is depends on the windows of the whole range.
    if (of.steps.count === 1 || reading.form === "gaugesByWindow") return run<SeriesRow>(purpose, seriesStatement(of, reading, top));
    const question = seriesQuestion(of, reading, (some, part) => seriesStatement(some, part, top));
    const asked = top === null ? withOthers(question, of, reading, togetherOf) : question;
    return (await runSteps<SeriesRow & { readonly step: number }>(purpose, asked)) ?? [];
  };
  const valuesOf = (of: Plan, top: Groups | null, purpose?: string) =>
    Promise.all(readings.map(async (reading) => tableOf(reading, await rowsOf(of, reading, top, purpose))));
  if (plan.by.length === 0) {
    const passes = await Promise.all(compared.map((one) => run<{ passes: number }>("does it pass the comparison", passesStatement(plan, one))));
    // Its one group is not in the answer: as if it had groups, and none of them passed.
    if (passes.some(([row]) => row?.passes !== 1)) return { top: [], groups: 0, tables: [], totals: undefined, hostSteps: [] };
    const merged = await totalsOf(plan, readings, { runTotals, togetherOf, hostsSaid });
    return { top: null, groups: 0, tables: merged?.tables ?? (await valuesOf(plan, null)), totals: undefined, hostSteps: [] };
  }
  const totals = async (): Promise<readonly FormRows[] | undefined> => {
    if (plan.passing === undefined || !plan.selections.some((selection) => selection.aggregate === "share")) return undefined;
    return valuesOf({ ...plan, by: [], passing: undefined }, null, "what all groups add up to");
  };
  if (shown !== undefined) {
    const top = shown.top ?? [];
    const [hostSteps, tables, ofAll] = await Promise.all([hostStepsOf(top), valuesOf(plan, top), totals()]);
    return { top, groups: shown.groups, tables, totals: ofAll, hostSteps };
  }
  const merged = await totalsOf(plan, readings, { runTotals, togetherOf, hostsSaid });
  if (merged !== undefined) return { ...merged, totals: undefined, hostSteps: [] };
  const isRankedSeries = isFew && hasRankableSeries(plan, first);
  const small = isRankedSeries ? await rankedFew(plan, first, { runSteps, togetherOf }) : undefined;
  const isRanked = isRankedSeries || isRankable(plan, first);
  const readRanked = async (): Promise<RankedSeries> => {
    const statement = isRankedSeries ? rankedSeriesStatement(plan, first) : rankStatement(planned, first);
    const rows = await run<SeriesRow>(isRanked ? "rank and values" : "rank", statement);
    return { rows, top: groupsIn(plan, rows), groups: Number(rows[0]?.["groups"] ?? 0) };
  };
  const { rows: ranked, top, groups } = small ?? (await readRanked());
  // Where everything is shown, nothing has to be looked up per row; the agent's own overflow is called ~other already.
  const listed = groups > top.length ? top : null;
  const [hostSteps, tables, ofAll] = await Promise.all([
    hostStepsOf(top),
    Promise.all(readings.map(async (reading) => tableOf(reading, isRanked && reading === first ? ranked : await rowsOf(plan, reading, listed)))),
    totals(),
  ]);
  return { top, groups, tables, totals: ofAll, hostSteps };
}

/** Rows of series that are ranked here; of more the ranking is done where they are. */
const RANKED_HERE_MAX = 8_000;

/** The series of few hosts, ranked; undefined: there are too many groups. The values of all groups are not much more than those of the first, and steps do not depend on each other. */
async function rankedFew(
  plan: Plan,
  first: Reading,
  { runSteps, togetherOf }: Pick<SeriesReader, "runSteps" | "togetherOf">,
): Promise<RankedSeries | undefined> {
  const reading = withVolume(plan, first);
  const question = seriesQuestion(plan, reading, (of, part) => seriesStatement(of, part, null, RANKED_HERE_MAX + 1));
  const asked = { ...withOthers(question, plan, reading, togetherOf), rowsMax: RANKED_HERE_MAX };
  const rows = await runSteps<SeriesRow & { readonly step: number }>("values of all groups", asked);
  return rows === undefined ? undefined : rankSeries(plan, rows, first.selections.length);
}

/** @param statement of a stretch of the plan and the reading */
function seriesQuestion(plan: Plan, reading: Reading, statement: (plan: Plan, part: Reading) => Statement): StepQuestion {
  const { sources, coverage } = reading;
  return {
    plan,
    sources: [...sources, ...coverage],
    statement: (of, cut) => statement(of, { ...reading, sources: cut(sources), coverage: cut(coverage), isOfFleet: isFleet(reading) }),
  };
}

/** The question, and how it is asked together with others where its rows are such that groups of them can be put together. */
function withOthers(question: StepQuestion, plan: Plan, reading: Reading, togetherOf: SeriesReader["togetherOf"]): StepQuestion {
  const form = mergeableForm(reading);
  const together = form === undefined || form !== reading.form ? undefined : togetherOf(plan, reading, form);
  return together === undefined ? question : { ...question, together: together as Together<unknown> };
}

/** Groups and minutes' buckets that are put together here. */
const MERGED_HERE_MAX = 30_000;

/** Values over one step, put together out of stretches, ranked and cut here; undefined: they are asked for at once. */
async function totalsOf(
  plan: Plan,
  readings: readonly Reading[],
  { runTotals, togetherOf, hostsSaid }: Pick<SeriesReader, "runTotals" | "togetherOf" | "hostsSaid">,
): Promise<Pick<Found, "top" | "groups" | "tables"> | undefined> {
  if (plan.steps.count !== 1) return undefined;
  const parts = readings.flatMap((reading): readonly TotalPart[] => {
    if (hasRatesOfHosts(reading)) return hasRatesHere(plan) ? [{ reading, form: "sums", isByHost: true }] : [];
    const form = mergeableForm(reading);
    return form === undefined ? [] : [{ reading, form, isByHost: false }];
  });
  if (parts.length < readings.length) return undefined;
  const found = await Promise.all(
    parts.map(async ({ reading, form, isByHost }) => {
      const of: Reading = { ...reading, form, ...(isByHost ? { isOfFleet: true } : {}) };
      const asked = isByHost ? withHost(plan) : plan;
      const own = seriesQuestion(asked, of, (some, part) => seriesStatement(some, part, null, MERGED_HERE_MAX + 1));
      const question = withOthers(own, asked, of, togetherOf);
      const merge = (rows: readonly SeriesRow[]): readonly SeriesRow[] => mergeStretches(asked, form, rows);
      const purpose = isByHost ? "sums of hosts" : "values of stretches";
      const rows = await runTotals<SeriesRow>(purpose, {
        ...question,
        sources: reading.sources,
        merge,
        rowsMax: MERGED_HERE_MAX,
        isOnlyHere: isByHost,
      });
      if (rows === undefined) return [];
      return [{ form, reading, rows: isByHost ? ratesOfHosts(plan, asked, reading.selections, rows, await hostsSaid()) : rows }];
    }),
  );
  const all = found.flat();
  if (all.length < parts.length) return undefined;
  const selection = plan.selections[0] as Reading["selections"][number];
  const first = all.find(({ reading }) => reading.selections.includes(selection)) as (typeof all)[number];
  // A heat map is no value to rank by.
  const rankedBy = first.reading.form === "buckets" ? null : selection;
  const ranked = plan.by.length === 0 ? { top: [], groups: 0 } : rankTotals(plan, first.rows, rankedBy, first.reading.selections.indexOf(selection));
  const tables = all.map(({ form, rows, reading }) => ({
    form,
    selections: reading.selections,
    rows: cutTotals(plan, form, rows, ranked.top),
    isFleet: isFleet(reading),
  }));
  return { ...ranked, top: plan.by.length === 0 ? null : ranked.top, tables };
}

interface TotalPart {
  readonly reading: Reading;
  readonly form: MergeableForm;
  /** Host by host, as each one's time makes its rate. */
  readonly isByHost: boolean;
}

/** Of shorter ranges the window that may come between sums and the time they are divided by is more than a half percent. */
const RATES_HERE_MS_MIN = 30 * 60_000;

/** Whether rates of several hosts are made here of their sums and of what each said, which is read anyhow: of a rare signal reading it once more is most of the work. */
function hasRatesHere({ steps }: Plan): boolean {
  return steps.toMs - steps.fromMs >= RATES_HERE_MS_MIN;
}

function hasRatesOfHosts(reading: Reading): boolean {
  return reading.form === "sums" && !isFleet(reading) && reading.selections.some(({ aggregate }) => aggregate === "rate");
}

function withHost(plan: Plan): Plan {
  return plan.by.includes("host") ? plan : { ...plan, by: [...plan.by, "host"] };
}

/** The form in which rows of stretches can be put together; undefined: in none. Percentiles are put together out of buckets; a rate over several hosts would need each one's time in each stretch. */
function mergeableForm(reading: Reading): MergeableForm | undefined {
  if (reading.form === "quantiles") return "buckets";
  return hasRatesOfHosts(reading) ? undefined : mergeableForms.find((name) => name === reading.form);
}

/** The groups of ranked rows but for `~other`, each once, first first. */
function groupsIn(plan: Plan, ranked: readonly SeriesRow[]): Groups {
  const groups = ranked.map((row) => groupOf(plan, row)).filter((group) => group.some((value) => value !== OTHER));
  return plan.steps.count === 1 ? groups : [...new Map(groups.map((group) => [JSON.stringify(group), group])).values()];
}

/** One value per group ranks the groups itself; over many steps their volume does. */
function rankStatement({ plan, volumeSources }: Planned, first: Reading): Statement {
  if (isRankable(plan, first)) return rankedStatement(plan, first);
  return plan.steps.count === 1 && first.form === "gaugesByWindow" ? valueRankStatement(plan, first) : volumeStatement(plan, volumeSources);
}

/** Hosts, or groups of hosts, that have a series each are told apart step by step. */
async function readHostSteps({ plan, hostStepSources }: Planned, top: Groups, run: Run): Promise<readonly HostStepsRow[]> {
  const keys = reporterKeys(plan.by);
  if (keys.length === 0 || plan.steps.count === 1 || top.length === 0) return [];
  const at = plan.by.indexOf("host");
  const of = at < 0 ? plan : { ...plan, hosts: [...new Set(top.map((group) => group[at] as string))] };
  return run<HostStepsRow>("when shown hosts reported", hostStepsStatement(of, hostStepSources, keys), true);
}

/** The answer to `hostsStatement`. */
export function toHostReports(rows: readonly HostsRow[]): ReadonlyMap<string, HostReport> {
  return hostReports(rows[0]);
}
