// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { bucketIndex, bucketUpper, dimensions, getSignal, type Signal } from "@waggle/signals";
import { AppError } from "../../common/app-error.ts";
import type { Caller } from "../../common/caller.ts";
import { withPointers } from "../../common/validation.ts";
import { alignedEnds } from "../query/aligned-range.ts";
import type { KnownHost } from "../query/coverage.ts";
import { measuresOf, quantiles, type Selection } from "../query/measures.ts";
import { type Coverage, LIMIT_MAX_ONE_POINT, type ValueSeries } from "../query/query.schemas.ts";
import type { AskedHosts, ChosenPlan } from "../query/query.service.ts";
import { type Execution, hostNames, QueryExecutor } from "../query/query-executor.ts";
import { ADDRESS_FACT } from "../topology/address-book.ts";
import { compareDimensions, compareFacts, type Side, withoutSelection } from "./compare.ts";
import type { ExplainQuery, Explanation } from "./explain.schemas.ts";
import { type FactRow, factsStatement, hostsWithRowsStatement, type Quantity, type ValueRow, valuesStatement } from "./statements.ts";

const HOUR_MS = 3_600_000;
/** Dimensions that fleet rows lack are read host by host: of more hosts than these that takes too long. */
const HOSTS_READ_MAX = 1_000;

interface Span {
  readonly where: string;
  readonly from: string | number;
  readonly to: string | number;
}

/** One side, as far as it is known without its values. */
interface Planned {
  readonly span: Span;
  readonly chosen: ChosenPlan;
  readonly asked: AskedHosts & { readonly coverage: Coverage };
}

/** What differs between two selections, and which hosts' facts go with it. */
@Injectable()
export class ExplainService {
  constructor(@Inject(QueryExecutor) private readonly executor: QueryExecutor) {}

  /** Throws AppError as of `QueryService.query`. */
  async explain(caller: Caller, asked: ExplainQuery, signal?: AbortSignal): Promise<Explanation> {
    const execution = this.executor.begin(caller, signal);
    const query = withAlignedEnds(asked, execution.nowMs);
    const base = defaultsOf(query);
    const plan = async (span: Span, by: readonly string[], pointer: string): Promise<Planned> => {
      try {
        const chosen = await execution.plan(queryOf(base, span, by));
        return { span, chosen, asked: await execution.coverage(chosen) };
      } catch (error) {
        return withPointers(error, (inner) => ownPointer(inner) ?? `${pointer}${inner}`);
      }
    };

    const known = getSignal(query.signal);
    const fleet = known?.dimensions.filter((name) => dimensions[name].fleet) ?? [];
    const others = known?.dimensions.filter((name) => !dimensions[name].fleet) ?? [];
    // Planned by the dimensions of fleet rows, which are read where no host is named.
    const selection = await plan(query.selection, fleet, "/selection");
    const { signal: of, selections } = selection.chosen.planned.plan;
    const [wanted] = selections as [Selection];
    const isPercentile = wanted.aggregate in quantiles;
    // Said before anything is read: what cannot be added up cannot be taken apart.
    quantityOf(of, wanted, isPercentile ? 0 : undefined);
    const [passing, [baseline, above]] = await Promise.all([
      query.threshold === undefined ? undefined : hostsByThreshold(execution, base, query),
      (async (): Promise<readonly [Planned, Cut | undefined]> => {
        const planned = query.baseline === undefined ? selection : await plan(query.baseline, fleet, "/baseline");
        return [planned, isPercentile ? await cutAtPercentile(execution, base, planned.span) : undefined];
      })(),
    ]);
    const quantity = quantityOf(of, wanted, above?.bucket);
    const sides = passing === undefined ? { a: selection, b: baseline } : undefined;

    // Dimensions of fleet rows first; the others, and hosts themselves, where that is little to read.
    const skipped: Explanation["meta"]["skipped"] = [];
    const hostCount = Math.max(hostsOf(selection), hostsOf(baseline));
    const fine = ["host", ...others];
    const isFine = hostCount <= HOSTS_READ_MAX;
    if (!isFine) {
      for (const dimension of fine) {
        const reason = `It is read host by host, and there are ${hostCount} hosts; at most ${HOSTS_READ_MAX} are. Narrow both sides by \`where\`.`;
        skipped.push({ dimension, reason });
      }
    }
    const compared = [...fleet, ...(isFine ? fine : [])];
    const values = async (planned: Planned, only: readonly string[] | undefined): Promise<ValueRow[]> => {
      const read = async (names: readonly string[], by: readonly string[]): Promise<ValueRow[]> => {
        if (names.length === 0) return [];
        // Both sides are planned by the dimensions of fleet rows; of named hosts the same rows are read, whatever they are planned by.
        const isPlanned = by === fleet || planned.chosen.planned.plan.hosts !== null;
        const chosen = isPlanned ? planned.chosen : await execution.plan(queryOf(base, planned.span, by));
        const { plan: asked } = chosen.planned;
        const narrowed = only === undefined ? chosen.planned : { ...chosen.planned, plan: { ...asked, hosts: only } };
        return execution.read<ValueRow>({ planned: narrowed }, (one) => valuesStatement(one, names, quantity));
      };
      // Of named hosts there are no fleet rows to read: then all at once.
      if (only !== undefined || planned.chosen.planned.plan.hosts !== null) return read(compared, ["host"]);
      return (await Promise.all([read(fleet, fleet), isFine ? read(fine, ["host"]) : []])).flat();
    };
    const reportedMs = (asked: AskedHosts, ids?: ReadonlySet<string>): number =>
      [...asked.hosts].reduce((sum, [id, { coveredMs }]) => sum + (ids === undefined || ids.has(id) ? coveredMs : 0), 0);

    const sidesOf = async (): Promise<readonly [Side, Side]> => {
      if (passing === undefined) {
        const [rowsA, rowsB] = await Promise.all([values(selection, undefined), values(baseline, undefined)]);
        return [
          { rows: rowsA, hostMs: reportedMs(selection.asked) },
          { rows: rowsB, hostMs: reportedMs(baseline.asked) },
        ];
      }
      const ids = new Set(passing.a);
      const [rowsA, all] = await Promise.all([values(selection, passing.a), values(selection, undefined)]);
      const hostMs = reportedMs(selection.asked, ids);
      return [
        { rows: rowsA, hostMs },
        { rows: withoutSelection(all, rowsA), hostMs: reportedMs(selection.asked) - hostMs },
      ];
    };
    const nameOf = hostNames(selection.chosen);
    const named = (side: Side): Side => ({
      ...side,
      rows: side.rows.map((row) => (row.dimension === "host" ? { ...row, value: nameOf(row.value) } : row)),
    });

    const notes = [...(passing?.notes ?? [])];
    const setApart = async (): Promise<{ readonly hostsA: readonly string[]; readonly facts: Explanation["facts"] }> => {
      const [hostsA, all] =
        passing === undefined ? await Promise.all([selection, baseline].map((side) => hostsOfSide(execution, base, side))) : [passing.a, passing.b];
      const hostsB = without(all as readonly string[], hostsA as readonly string[]);
      if (hostsA === undefined || hostsA.length === 0) {
        notes.push("No host of the selection reported the signal.");
        return { hostsA: [], facts: [] };
      }
      if (hostsB.length === 0) {
        notes.push("Both sides are the same hosts: facts that set hosts apart cannot explain the difference.");
        return { hostsA, facts: [] };
      }
      const isAllOthers = hostsA.length + hostsB.length >= selection.chosen.known.length;
      const told = await readFacts(execution, selection, hostsA, isAllOthers ? null : hostsB);
      const tags = tagRows(selection.chosen.known, hostsA, hostsB);
      const found = compareFacts([...told, ...tags], query.limit);
      if (found.note !== undefined) notes.push(found.note);
      return { hostsA, facts: found.facts };
    };
    const [[sideA, sideB], { hostsA, facts }] = await Promise.all([sidesOf().then((both) => both.map(named) as [Side, Side]), setApart()]);
    const totalOf = ({ rows }: Side): number => Number(rows.find((row) => row.dimension === compared[0])?.total ?? 0);
    const side = ({ span, chosen, asked }: Planned, { hostMs, ...rest }: Side, hosts: number) => {
      const { steps } = chosen.planned.plan;
      const { steps: _, stepHosts: __, ...coverage } = asked.coverage;
      const total = totalOf({ hostMs, ...rest });
      return {
        where: span.where,
        from: new Date(steps.fromMs).toISOString(),
        to: new Date(steps.toMs).toISOString(),
        hosts,
        hostSeconds: hostMs / 1_000,
        total,
        perHostSecond: hostMs === 0 ? null : (total * 1_000) / hostMs,
        coverage,
      };
    };
    const [a, b] = [side(selection, sideA, hostsA.length), side(baseline, sideB, passing?.b.length ?? reporting((sides ?? { b: baseline }).b))];
    return {
      meta: {
        signal: of.name,
        measure: wanted.measure,
        aggregate: wanted.aggregate,
        quantity: wordsOf(of, wanted, above?.value),
        unit:
          quantity.kind === "above"
            ? (of.distribution?.countUnit ?? "1")
            : quantity.kind === "time"
              ? `${wanted.unit}·ms`
              : wanted.unit.replace(/\/s$/, ""),
        above: quantity.kind === "above" ? bucketUpper(quantity.bucket) : null,
        selection: a,
        baseline: b,
        change: a.perHostSecond === null || b.perHostSecond === null ? null : a.perHostSecond - b.perHostSecond,
        skipped,
        notes,
        rowsRead: execution.rowsRead,
        elapsedMs: execution.elapsedMs,
      },
      dimensions: compareDimensions(compared, sideA, sideB, query.limit),
      facts,
    };
  }
}

/** Hosts of the selection by whether their own value passes the threshold. Hosts without a value are on neither side. */
async function hostsByThreshold(execution: Execution, base: Base, { selection, threshold }: ExplainQuery) {
  const answer = await execution.answer({ ...queryOf(base, selection, ["host"]), limit: LIMIT_MAX_ONE_POINT });
  const { known } = await execution.plan(queryOf(base, selection, []));
  const ids = new Map(known.map((host) => [host.name, host.id]));
  const a: string[] = [];
  const b: string[] = [];
  for (const { labels, values } of answer.series as ValueSeries[]) {
    const id = ids.get(labels["host"] ?? "");
    const value = values[0];
    if (id === undefined || value === undefined || value === null) continue;
    (passes(value, threshold) ? a : b).push(id);
  }
  const { truncated } = answer.meta;
  return { a, b, notes: truncated === null ? [] : [`Only the ${truncated.shown} hosts with the largest values were held against the threshold.`] };
}

/** A value, and the bucket it is in. */
interface Cut {
  readonly value: number;
  readonly bucket: number;
}

/** The bucket of the baseline's percentile: what lies above it is what makes the percentile larger. */
async function cutAtPercentile(execution: Execution, base: Base, span: Span): Promise<Cut> {
  const answer = await execution.answer(queryOf(base, span, []));
  const value = (answer.series as ValueSeries[])[0]?.values[0] ?? 0;
  return { value, bucket: bucketIndex(BigInt(Math.max(0, Math.round(value)))) };
}

/** Hosts that reported; where the filter is on more than hosts, those that have rows. */
async function hostsOfSide(execution: Execution, base: Base, { span, chosen, asked }: Planned): Promise<readonly string[]> {
  const { filters, hosts } = chosen.planned.plan;
  if (filters.length === 0) return reportingIds(asked);
  const ofHosts = hosts !== null ? chosen : await execution.plan(queryOf(base, span, ["host"]));
  return (await execution.read<{ host_id: string }>(ofHosts, hostsWithRowsStatement)).map((row) => row.host_id);
}

async function readFacts(execution: Execution, { chosen }: Planned, hostsA: readonly string[], hostsB: readonly string[] | null): Promise<FactRow[]> {
  // Told once an hour: the last whole hour of the range and what came after it say it all.
  const { toMs } = chosen.planned.plan.steps;
  const fromMs = Math.floor((toMs - 1) / HOUR_MS) * HOUR_MS - HOUR_MS;
  // Addresses are a host's own and set no group apart.
  const { plan, sources } = await execution.facts({ where: `-fact:${ADDRESS_FACT}*`, fromMs, toMs });
  return execution.run<FactRow>(factsStatement(plan, sources, hostsA, hostsB));
}

function withAlignedEnds(query: ExplainQuery, nowMs: number): ExplainQuery {
  const aligned = <S extends Span>(span: S): S => ({ ...span, ...alignedEnds(span, nowMs, "down") });
  return { ...query, selection: aligned(query.selection), ...(query.baseline === undefined ? {} : { baseline: aligned(query.baseline) }) };
}

/** What both sides have in common stands in the request itself; undefined: it is of one side. */
function ownPointer(pointer: string): string | undefined {
  return pointer === "/signal" ? pointer : /^\/select\/0(\/.*)$/.exec(pointer)?.[1];
}

/** Tags as facts. */
function tagRows(known: readonly KnownHost[], hostsA: readonly string[], hostsB: readonly string[]): FactRow[] {
  const tags = new Map(known.map((host) => [host.id, host.tags]));
  const rows = new Map<string, { fact: string; value: string; a: number; b: number }>();
  const totals = new Map<string, { a: number; b: number }>();
  const count = (hosts: readonly string[], side: "a" | "b"): void => {
    for (const host of hosts) {
      for (const [key, value] of Object.entries(tags.get(host) ?? {})) {
        const name = JSON.stringify([key, value]);
        const row = rows.get(name) ?? { fact: `tag.${key}`, value, a: 0, b: 0 };
        rows.set(name, row);
        row[side]++;
        const total = totals.get(key) ?? { a: 0, b: 0 };
        totals.set(key, total);
        total[side]++;
      }
    }
  };
  count(hostsA, "a");
  count(hostsB, "b");
  return [...rows.values()].map((row) => {
    const total = totals.get(row.fact.slice("tag.".length));
    return { ...row, a_total: total?.a ?? 0, b_total: total?.b ?? 0 };
  });
}

interface Base {
  readonly signal: string;
  readonly measure: string;
  readonly aggregate: string;
}

/** What is compared where the request leaves it open. Names that do not exist are left for the planner to refuse. */
function defaultsOf({ signal: name, measure, aggregate }: ExplainQuery): Base {
  const measures = measuresOf(getSignal(name) ?? noSignal);
  const wanted = measures.find((candidate) => candidate.name === (measure ?? measures[0]?.name));
  const usual = { distribution: "p99", sum: "sum", gauge: "avg", minimum: "min", maximum: "max" } as const;
  return { signal: name, measure: measure ?? wanted?.name ?? "?", aggregate: aggregate ?? usual[wanted?.kind ?? "sum"] };
}

const noSignal: Pick<Signal, "distribution" | "measures"> & Signal = {
  name: "",
  family: "host",
  kind: "counter",
  question: "",
  help: "",
  dimensions: [],
  measures: [],
  distribution: null,
  hooks: [],
  bpf: null,
  caveats: [],
};

function queryOf({ signal, measure, aggregate }: Base, { where, from, to }: Span, by: readonly string[]) {
  return { signal, select: [{ measure, aggregate }], by: [...by], where, from, to, limit: 1 };
}

function quantityOf(signal: Signal, { measure, aggregate, form }: Selection, bucket: number | undefined): Quantity {
  if (bucket !== undefined) return { kind: "above", bucket };
  const isHistogram = signal.kind === "histogram";
  if (form === "sums") return { kind: "sum", column: measure };
  if (form === "gaugesByHost") return { kind: "time", column: measure };
  if (isHistogram && aggregate === "count") return { kind: "sum", column: "count" };
  if (isHistogram && aggregate === "avg") return { kind: "sum", column: "sum" };
  const detail = `${aggregate} cannot be taken apart into its dimensions: use a percentile, count or avg of a histogram, sum or rate of sums, avg of gauges.`;
  throw new AppError("VALIDATION_FAILED", `/aggregate: ${detail}`, { errors: [{ pointer: "/aggregate", detail }] });
}

function wordsOf(signal: Signal, { measure, aggregate }: Selection, above: number | undefined): string {
  if (above !== undefined) return `How many values of ${signal.name}.${measure} lie above the baseline's ${aggregate}.`;
  if (aggregate === "count") return `How many values of ${signal.name}.${measure} there were.`;
  if (aggregate === "avg" && signal.kind !== "histogram") return `${signal.name}.${measure} × time.`;
  return `${signal.name}.${measure}, added up.`;
}

function passes(value: number, threshold: ExplainQuery["threshold"]): boolean {
  switch (threshold?.operator) {
    case ">":
      return value > threshold.value;
    case ">=":
      return value >= threshold.value;
    case "<":
      return value < threshold.value;
    case "<=":
      return value <= threshold.value;
    case undefined:
      return false;
  }
}

const reportingIds = (asked: AskedHosts): string[] => [...asked.hosts].filter(([, { coveredMs }]) => coveredMs > 0).map(([id]) => id);
const reporting = ({ asked }: Planned): number => reportingIds(asked).length;
const hostsOf = ({ chosen }: Planned): number => chosen.matching.length;

function without(some: readonly string[], others: readonly string[]): string[] {
  const set = new Set(others);
  return some.filter((entry) => !set.has(entry));
}
