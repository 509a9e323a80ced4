// SPDX-License-Identifier: Apache-2.0
import { OTHER } from "@waggle/signals";
import { type FormRows, groupOf, ratesOfFleet, reporterKeys, type SeriesRow } from "./assemble.ts";
import { type HostReport, type HostStepsRow, type HostsRow, hostReports, Reports, type StepsRow } from "./coverage.ts";
import { hostStepsStatement, hostsStatement, stepsStatement } from "./coverage-statements.ts";
import { byStatement } from "./measures.ts";
import type { Planned } from "./planner.ts";
import type { Plan, Statement } from "./sql.ts";
import {
  groupsCondition,
  isFleet,
  isRankable,
  passesStatement,
  passingStatement,
  type Reading,
  rankedStatement,
  seriesStatement,
  valueRankStatement,
  volumeStatement,
} from "./statements.ts";

/** Runs a statement and notes what for. Of coverage an answer of some seconds ago will do: what is asked of it is as old as a host may be late. */
export type Run = <Row>(purpose: string, statement: Statement, isOfCoverage?: boolean) => Promise<readonly Row[]>;

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
  /** What each host said about the signal over the whole range. */
  readonly askHosts: (statement: Statement) => Promise<ReadonlyMap<string, HostReport>>;
  /** Who reported in a range of one step, by what each host said. */
  readonly reportsOf: (hosts: ReadonlyMap<string, HostReport>) => Reports;
}

/**
 * Reads a window.
 * @param shown groups to show, as of the window it is compared with; undefined: those that rank first in this one
 */
export async function readWindow({ planned, run, askHosts, reportsOf }: WindowReader, shown?: Pick<ReadRows, "top" | "groups">): Promise<ReadRows> {
  const { plan } = planned;
  const isOneStep = plan.steps.count === 1;
  const [hosts, ofSteps, found] = await Promise.all([
    askHosts(hostsStatement(plan, planned.hostSources)),
    isOneStep ? [] : run<StepsRow>("who reported per step", stepsStatement(plan, planned.stepSources), true),
    withGroups(planned, run).then(async (narrowed) => ({ ...(await readSeries(narrowed, run, shown)), passing: narrowed.plan.passing })),
  ]);
  const reports = isOneStep ? reportsOf(hosts) : new Reports(ofSteps, found.hostSteps, plan.steps.count);
  const tables = found.tables.map((table) => (table.isFleet ? ratesOfFleet(table, reports) : table));
  return { top: found.top, groups: found.groups, tables, totals: found.totals, hosts, reports, passing: found.passing };
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

async function readSeries(planned: Planned, run: Run, shown: Pick<ReadRows, "top" | "groups"> | undefined): Promise<Found> {
  const { plan, readings, compared } = planned;
  const first = readings.find((reading) => reading.selections.includes(plan.selections[0] as Reading["selections"][number])) as Reading;
  const tableOf = (reading: Reading, rows: readonly SeriesRow[]): FoundTable => ({
    form: reading.form,
    selections: reading.selections,
    rows,
    isFleet: isFleet(reading),
  });
  const valuesOf = (of: Plan, top: Groups | null, purpose = "values") =>
    Promise.all(readings.map(async (reading) => tableOf(reading, await run<SeriesRow>(purpose, seriesStatement(of, reading, top)))));
  if (plan.by.length === 0) {
    const passes = await Promise.all(compared.map((one) => run<{ passes: number }>("does it pass the comparison", passesStatement(plan, one))));
    // Its one group is not in the answer: as if it had groups, and none of them passed.
    if (passes.some(([row]) => row?.passes !== 1)) return { top: [], groups: 0, tables: [], totals: undefined, hostSteps: [] };
    return { top: null, groups: 0, tables: await valuesOf(plan, null), totals: undefined, hostSteps: [] };
  }
  const totals = async (): Promise<readonly FormRows[] | undefined> => {
    if (plan.passing === undefined || !plan.selections.some((selection) => selection.aggregate === "share")) return undefined;
    return valuesOf({ ...plan, by: [], passing: undefined }, null, "what all groups add up to");
  };
  if (shown !== undefined) {
    const top = shown.top ?? [];
    const [hostSteps, tables, ofAll] = await Promise.all([readHostSteps(planned, top, run), valuesOf(plan, top), totals()]);
    return { top, groups: shown.groups, tables, totals: ofAll, hostSteps };
  }
  const isRanked = isRankable(plan, first);
  const ranked = await run<SeriesRow>(isRanked ? "rank and values" : "rank", rankStatement(planned, first));
  const groups = Number(ranked[0]?.["groups"] ?? 0);
  const top = ranked.map((row) => groupOf(plan, row)).filter((group) => group.some((value) => value !== OTHER));
  // Where everything is shown, nothing has to be looked up per row; the agent's own overflow is called ~other already.
  const merged = groups > top.length ? top : null;
  const [hostSteps, tables, ofAll] = await Promise.all([
    readHostSteps(planned, top, run),
    Promise.all(
      readings.map(async (reading) =>
        tableOf(reading, isRanked && reading === first ? ranked : await run<SeriesRow>("values", seriesStatement(plan, reading, merged))),
      ),
    ),
    totals(),
  ]);
  return { top, groups, tables, totals: ofAll, hostSteps };
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
