// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { hostAttributes, hostValue, isHostKey, nearestName } from "@waggle/query";
import { catalogue, type DimensionName, dimensions, type Signal } from "@waggle/signals";
import { AppError } from "../../common/app-error.ts";
import { type Caller, requireScope } from "../../common/caller.ts";
import { measuresOf } from "../query/measures.ts";
import { QueryExecutor } from "../query/query-executor.ts";
import type { DimensionValues, DimensionValuesParameters } from "./dimensions.schemas.ts";
import { valuesStatement } from "./statements.ts";

/** Signals that are looked at for a dimension when none is named: their rows may be missing in a fleet that does not measure them. */
const SIGNALS_TRIED_MAX = 3;
const HOST = "host";

interface Found {
  readonly signal: Signal;
  readonly measure: string;
  readonly rows: readonly ValueRow[];
  readonly fromMs: number;
  readonly toMs: number;
}

interface ValueRow {
  readonly value: string;
  readonly volume: number;
  readonly values: number;
}

/** What may stand behind a filter's colon. */
@Injectable()
export class DimensionsService {
  constructor(@Inject(QueryExecutor) private readonly executor: QueryExecutor) {}

  /** Values of a dimension by volume. Throws DIMENSION_NOT_FOUND, and AppError as of `QueryService.query`. */
  async values(caller: Caller, name: string, parameters: DimensionValuesParameters, signal?: AbortSignal): Promise<DimensionValues> {
    requireScope(caller, "metrics:read");
    const execution = this.executor.begin(caller, signal);
    const isOfHosts = name === HOST || isHostKey(name);
    const having = catalogue.filter((candidate) => isOfHosts || candidate.dimensions.includes(name as DimensionName));
    if (having.length === 0) throw unknownDimension(name);
    const tried = signalsToTry(having, name, parameters.signal);
    const answer = (found: Pick<Found, "fromMs" | "toMs">, rest: Partial<DimensionValues["meta"]>, data: DimensionValues["data"], total: number) => ({
      meta: {
        dimension: name,
        signal: null,
        signals: having.map((candidate) => candidate.name),
        measure: null,
        unit: null,
        ...rest,
        from: new Date(found.fromMs).toISOString(),
        to: new Date(found.toMs).toISOString(),
        truncated: total > data.length ? { shown: data.length, total } : null,
        rowsRead: execution.rowsRead,
        elapsedMs: execution.elapsedMs,
      },
      data,
    });

    if (isOfHosts) {
      const { planned, matching } = await execution.plan(queryOf(tried[0] as Signal, [], parameters));
      const counts = new Map<string, number>();
      for (const host of matching) {
        const value = name === HOST ? host.name : hostValue(host, name);
        counts.set(value, (counts.get(value) ?? 0) + 1);
      }
      const values = [...counts]
        .filter(([value]) => value !== "" && value.startsWith(parameters.prefix) && value.toLowerCase().includes(parameters.q.toLowerCase()))
        .sort(([x, countX], [y, countY]) => countY - countX || (x < y ? -1 : 1))
        .map(([value, hosts]) => ({ value, volume: name === HOST ? null : hosts }));
      return answer(planned.plan.steps, {}, values.slice(0, parameters.limit), values.length);
    }
    let found: Found | undefined;
    for (const candidate of tried) {
      const query = queryOf(candidate, [name], parameters);
      const chosen = await execution.plan(query);
      const { steps } = chosen.planned.plan;
      const measure = query.select[0]?.measure as string;
      const text = { prefix: parameters.prefix, contains: parameters.q };
      const rows = await execution.read<ValueRow>(chosen, (planned) => valuesStatement(planned, measure, text));
      const first = found;
      found = { signal: candidate, measure, rows, fromMs: steps.fromMs, toMs: steps.toMs };
      if (found.rows.length > 0) break;
      // Of several without values the first one speaks.
      found = first ?? found;
    }
    const { signal: of, measure, rows, ...range } = found as Found;
    const unit = measuresOf(of).find((candidate) => candidate.name === measure)?.unit ?? "1";
    const data = rows.map(({ value, volume }) => ({ value, volume: Number(volume) }));
    return answer(range, { signal: of.name, measure, unit }, data, Number(rows[0]?.values ?? 0));
  }
}

function unknownDimension(name: string): AppError {
  const suggestion = nearestName(name, [HOST, ...hostAttributes, ...Object.keys(dimensions)]);
  const detail = `There is no dimension \`${name.slice(0, 64)}\`${suggestion === undefined ? "" : `; did you mean ${suggestion}?`}`;
  return new AppError("DIMENSION_NOT_FOUND", detail, { errors: [{ pointer: "/name", detail, suggestion }] });
}

function signalsToTry(having: readonly Signal[], name: string, asked: string | undefined): readonly Signal[] {
  if (asked === undefined) return having.slice(0, SIGNALS_TRIED_MAX);
  const signal = having.find((candidate) => candidate.name === asked);
  if (signal !== undefined) return [signal];
  const names = having.map((candidate) => candidate.name);
  const isKnown = catalogue.some((candidate) => candidate.name === asked);
  const detail = isKnown
    ? `${asked} has no dimension \`${name}\`; these have: ${names.join(", ")}.`
    : `There is no signal \`${asked.slice(0, 64)}\`; these have the dimension \`${name}\`: ${names.join(", ")}.`;
  throw new AppError(isKnown ? "VALIDATION_FAILED" : "SIGNAL_NOT_FOUND", detail, {
    errors: [{ pointer: "/signal", detail, suggestion: nearestName(asked, names) }],
  });
}

/** A query whose first selection is what adds up: a histogram's count, a counter's first sum. */
function queryOf(signal: Signal, by: string[], { where, from, to, limit }: DimensionValuesParameters) {
  const measures = measuresOf(signal);
  const sum = measures.find((measure) => measure.kind === "sum") ?? measures[0];
  const measure = sum?.name ?? "";
  return { signal: signal.name, select: [{ measure, aggregate: sum?.kind === "sum" ? "sum" : "last" }], by, where, from, to, limit };
}
