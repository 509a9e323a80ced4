// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { getSignalOrThrow, OTHER } from "@waggle/signals";
import type { Caller } from "../../common/caller.ts";
import { measuresOf } from "../query/measures.ts";
import { QueryRepository } from "../query/query.repository.ts";
import { type Coverage, POINTS_MAX } from "../query/query.schemas.ts";
import { type AskedHosts, type ChosenPlan, QueryService } from "../query/query.service.ts";
import { type ProcessColumn, processColumns } from "./process-columns.ts";
import type { ProcessesParameters, ProcessTable } from "./processes.schemas.ts";
import { processRanking, processValues } from "./statements.ts";

type Row = Readonly<Record<string, unknown>>;

interface OfSignal {
  readonly chosen: ChosenPlan;
  readonly columns: readonly ProcessColumn[];
  readonly rows: readonly Row[];
  readonly asked: AskedHosts & { readonly coverage: Coverage };
}

/** Everything that is known by process in one table: who used it? */
@Injectable()
export class ProcessesService {
  constructor(
    @Inject(QueryService) private readonly queries: QueryService,
    @Inject(QueryRepository) private readonly repository: QueryRepository,
  ) {}

  /** Throws AppError as of `QueryService.query`. */
  async table(caller: Caller, parameters: ProcessesParameters, signal?: AbortSignal): Promise<ProcessTable> {
    const startedAt = performance.now();
    const by = parameters.by.split(",");
    let rowsRead = 0;
    const run = async (statement: Parameters<QueryRepository["run"]>[0]): Promise<Row[]> => {
      const answer = await this.repository.run<Row>(statement, signal);
      rowsRead += answer.rowsRead;
      return answer.rows;
    };
    const sort = processColumns.find((column) => column.name === parameters.sort) as ProcessColumn;
    const ofSort = await this.queries.plan(caller, queryOf(sort.signal, by, parameters), signal);
    const { fromMs, toMs } = ofSort.planned.plan.steps;
    const isNobody = ofSort.planned.plan.hosts?.length === 0;
    const ranked = isNobody ? [] : await run(processRanking(ofSort.planned, sort, parameters.limit));
    const top = ranked.map((row) => by.map((_, index) => String(row[`g${index}`])));
    const total = Number(ranked[0]?.["groups"] ?? 0);

    const bySignal = [...Map.groupBy(processColumns, (column) => column.signal)];
    const found = await Promise.all(
      bySignal.map(async ([name, columns]): Promise<OfSignal> => {
        // The same range for all of them, whatever ends the first one's levels gave it.
        const chosen =
          name === sort.signal ? ofSort : await this.queries.plan(caller, queryOf(name, by, { ...parameters, from: fromMs, to: toMs }), signal);
        const [rows, asked] = await Promise.all([
          isNobody ? [] : run(processValues(chosen.planned, columns, top)),
          this.queries.coverage(chosen, signal),
        ]);
        rowsRead += asked.rowsRead;
        return { chosen, columns, rows, asked };
      }),
    );
    const names = new Map(ofSort.known.map((host) => [host.id, host.name]));
    const groups = [...top, ...(found.some(({ rows }) => rows.some((row) => isOther(row, by))) ? [by.map(() => OTHER)] : [])];
    return {
      meta: {
        from: new Date(fromMs).toISOString(),
        to: new Date(toMs).toISOString(),
        by,
        sort: sort.name,
        truncated: total > top.length ? { shown: top.length, total } : null,
        rowsRead,
        elapsedMs: Math.round((performance.now() - startedAt) * 10) / 10,
      },
      columns: processColumns.map(({ name, signal: of, unit, help }) => {
        const { asked } = found.find(({ columns }) => columns.some((column) => column.name === name)) as OfSignal;
        const { hosts, reporting, note } = asked.coverage;
        return { name, signal: of, unit, help, coverage: { hosts, reporting, note } };
      }),
      data: groups.map((group) => ({
        labels: Object.fromEntries(
          by.map((name, index) => [
            name,
            name === "host" ? (names.get(group[index] as string) ?? (group[index] as string)) : (group[index] as string),
          ]),
        ),
        values: Object.fromEntries(found.flatMap((of) => valuesOf(of, by, group))),
      })),
    };
  }
}

/** A plan of one value over the range. */
function queryOf(name: string, by: readonly string[], { where, from, to }: { where: string; from: string | number; to: string | number }) {
  const [measure] = measuresOf(getSignalOrThrow(name)).filter((candidate) => candidate.kind === "sum");
  if (measure === undefined) throw new TypeError(`${name} has no sum`);
  return { signal: name, select: [{ measure: measure.name, aggregate: "sum" }], by: [...by], where, from, to, limit: POINTS_MAX };
}

function isOther(row: Row, by: readonly string[]): boolean {
  return by.every((_, index) => row[`g${index}`] === OTHER);
}

/** A reported signal without a row for the group counted nothing; one that nobody reported is not known. */
function valuesOf({ columns, rows, asked }: OfSignal, by: readonly string[], group: readonly string[]): [string, number | null][] {
  const row = rows.find((candidate) => by.every((_, index) => candidate[`g${index}`] === group[index]));
  const hostAt = by.indexOf("host");
  const host = hostAt < 0 ? OTHER : (group[hostAt] as string);
  const isReported = host === OTHER ? [...asked.hosts.values()].some((report) => report.coveredMs > 0) : (asked.hosts.get(host)?.coveredMs ?? 0) > 0;
  return columns.map(({ name, part }) => [name, row === undefined ? (isReported ? 0 : null) : Number(row[part.name])]);
}
