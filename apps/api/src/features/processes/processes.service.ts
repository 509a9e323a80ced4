// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { getSignalOrThrow, OTHER } from "@waggle/signals";
import type { Caller } from "../../common/caller.ts";
import { measuresOf } from "../query/measures.ts";
import { type Coverage, POINTS_MAX, type Query } from "../query/query.schemas.ts";
import type { AskedHosts, ChosenPlan } from "../query/query.service.ts";
import { type Execution, hostNames, QueryExecutor } from "../query/query-executor.ts";
import { type ProcessColumn, processColumns } from "./process-columns.ts";
import type { ProcessesParameters, ProcessTable } from "./processes.schemas.ts";
import { processRanking, processValues } from "./statements.ts";

type Row = Readonly<Record<string, unknown>>;
type Group = readonly string[];

/** What one signal's columns are in one window. */
interface OfWindow {
  readonly columns: readonly ProcessColumn[];
  readonly rows: readonly Row[];
  readonly asked: AskedHosts & { readonly coverage: Coverage };
}

/** Everything that is known by process in one table: who used it? */
@Injectable()
export class ProcessesService {
  constructor(@Inject(QueryExecutor) private readonly executor: QueryExecutor) {}

  /** Throws AppError as of `QueryService.query`. */
  async table(caller: Caller, parameters: ProcessesParameters, signal?: AbortSignal): Promise<ProcessTable> {
    const execution = this.executor.begin(caller, signal);
    const { where, from, to, compare } = parameters;
    const by = parameters.by.split(",");
    const sort = processColumns.find((column) => column.name === parameters.sort) as ProcessColumn;
    const ofSort = await execution.plan(queryOf(sort.signal, by, { where, from, to, compare }));
    const range = rangeOf(ofSort);
    const earlierRange = ofSort.earlier === undefined ? undefined : rangeOf(ofSort.earlier);
    const ranked = await execution.read<Row>(ofSort, (planned) => processRanking(planned, sort, parameters.limit));
    const top = ranked.map((row) => by.map((_, index) => String(row[`g${index}`])));
    const total = Number(ranked[0]?.["groups"] ?? 0);

    const bySignal = [...Map.groupBy(processColumns, (column) => column.signal)];
    const read = await Promise.all(
      bySignal.map(async ([name, columns]) => {
        // The same range for all of them, whatever ends the first one's levels gave it.
        const chosen = name === sort.signal ? ofSort : await execution.plan(queryOf(name, by, { where, ...range, compare: earlierRange }));
        const [now, before] = await Promise.all(
          [chosen, chosen.earlier].map((window) => (window === undefined ? undefined : readWindow(execution, window, columns, top))),
        );
        return { now: now as OfWindow, before };
      }),
    );
    const now = read.map((one) => one.now);
    const before = read.flatMap((one) => one.before ?? []);
    const isRest = ({ rows }: OfWindow): boolean => rows.some((row) => by.every((_, index) => row[`g${index}`] === OTHER));
    const groups = [...top, ...([...now, ...before].some(isRest) ? [by.map(() => OTHER)] : [])];
    const nameOf = hostNames(ofSort);
    const valuesOf = (windows: readonly OfWindow[], group: Group) =>
      Object.fromEntries(windows.flatMap((window) => valuesOfGroup(window, by, group)));
    return {
      meta: {
        from: new Date(range.from).toISOString(),
        to: new Date(range.to).toISOString(),
        by,
        sort: sort.name,
        ...(earlierRange === undefined
          ? {}
          : { compare: { from: new Date(earlierRange.from).toISOString(), to: new Date(earlierRange.to).toISOString() } }),
        truncated: total > top.length ? { shown: top.length, total } : null,
        rowsRead: execution.rowsRead,
        elapsedMs: execution.elapsedMs,
      },
      columns: processColumns.map((column) => ({
        name: column.name,
        signal: column.signal,
        unit: column.unit,
        help: column.help,
        coverage: coverageOf(now, column),
        ...(earlierRange === undefined ? {} : { compared: coverageOf(before, column) }),
      })),
      data: groups.map((group) => ({
        labels: Object.fromEntries(by.map((name, index) => [name, name === "host" ? nameOf(group[index] as string) : (group[index] as string)])),
        values: valuesOf(now, group),
        ...(earlierRange === undefined ? {} : { compared: valuesOf(before, group) }),
      })),
    };
  }
}

async function readWindow(execution: Execution, window: ChosenPlan, columns: readonly ProcessColumn[], top: readonly Group[]): Promise<OfWindow> {
  const [rows, asked] = await Promise.all([
    execution.read<Row>(window, (planned) => processValues(planned, columns, top)),
    execution.coverage(window),
  ]);
  return { columns, rows, asked };
}

/** A plan of one value over the range. */
function queryOf(name: string, by: readonly string[], { compare, ...range }: Pick<Query, "where" | "from" | "to"> & { compare: Query["compare"] }) {
  const [measure] = measuresOf(getSignalOrThrow(name)).filter((candidate) => candidate.kind === "sum");
  if (measure === undefined) throw new TypeError(`${name} has no sum`);
  const select = [{ measure: measure.name, aggregate: "sum" }];
  return { signal: name, select, by: [...by], ...range, limit: POINTS_MAX, ...(compare === undefined ? {} : { compare }) };
}

function rangeOf({ planned }: ChosenPlan): { readonly from: number; readonly to: number } {
  const { fromMs, toMs } = planned.plan.steps;
  return { from: fromMs, to: toMs };
}

function coverageOf(windows: readonly OfWindow[], column: ProcessColumn): ProcessTable["columns"][number]["coverage"] {
  const { asked } = windows.find(({ columns }) => columns.includes(column)) as OfWindow;
  const { hosts, reporting, note } = asked.coverage;
  return { hosts, reporting, note };
}

/** A reported signal without a row for the group counted nothing; one that nobody reported is not known. */
function valuesOfGroup({ columns, rows, asked }: OfWindow, by: readonly string[], group: Group): [string, number | null][] {
  const row = rows.find((candidate) => by.every((_, index) => candidate[`g${index}`] === group[index]));
  const hostAt = by.indexOf("host");
  const host = hostAt < 0 ? OTHER : (group[hostAt] as string);
  const isReported = host === OTHER ? [...asked.hosts.values()].some((report) => report.coveredMs > 0) : (asked.hosts.get(host)?.coveredMs ?? 0) > 0;
  return columns.map(({ name, part }) => [name, row === undefined ? (isReported ? 0 : null) : Number(row[part.name])]);
}
