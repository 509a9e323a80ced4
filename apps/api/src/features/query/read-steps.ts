// SPDX-License-Identifier: Apache-2.0
import type { KeptStep, KeptSteps } from "./kept-steps.ts";
import type { Source } from "./sources.ts";
import type { Plan, Statement } from "./sql.ts";
import { nameOf } from "./statement-name.ts";
import { type Steps, type TimeRange, WINDOW_MS } from "./time-range.ts";

/** A question whose rows are each of one step, and depend on what was stored of that step alone. */
export interface StepQuestion {
  readonly plan: Plan;
  /** All that it reads, of the whole range. */
  readonly sources: readonly Source[];
  /**
   * The statement about some of the plan's steps.
   * @param plan with these steps
   * @param cut gives what lies in them
   */
  readonly statement: (plan: Plan, cut: (sources: readonly Source[]) => readonly Source[]) => Statement;
  /** More rows are not wanted. The statement gives one more at most. */
  readonly rowsMax?: number;
  /** Left out: nobody else asks. */
  readonly together?: Together<unknown>;
}

/** A statement that several questions about a stretch have in common. */
export interface Together<Row> {
  readonly statement: StepQuestion["statement"];
  /** Of longer stretches it is not asked. */
  readonly stretchMsMax: number;
  /** It gives one row more at most. */
  readonly rowsMax: number;
  /** The question's own rows, out of those of the statement. */
  readonly own: (rows: readonly Row[]) => readonly Row[];
  /** Hears that there were too many rows. */
  readonly giveUp: () => void;
}

export interface StepReader<Row> {
  readonly kept: KeptSteps<Row & object>;
  /** What names the rows that are stored of a stretch. Left out: nobody tells, or rows must be in the answer that have come in since. */
  readonly versions?: (range: TimeRange) => Promise<(fromMs: number, toMs: number) => string>;
  /** Runs a statement about some steps. */
  readonly run: (statement: Statement) => Promise<readonly Row[]>;
  /** Hears that nothing had to be read. */
  readonly onKept: (statement: Statement) => void;
}

/**
 * The rows of a question, of which those steps are read that have changed since they were read last.
 *
 * That is known of what is read out of raw rows, by what was accepted of their time. What is rolled up is one statement, which whoever runs it keeps (docs/adr/0015).
 * @returns in no order; undefined where there are more rows than are wanted
 */
export async function readSteps<Row extends { readonly step: number }>(
  asked: StepQuestion,
  { kept, versions, run, onKept }: StepReader<Row>,
): Promise<readonly Row[] | undefined> {
  const { plan, sources, statement, rowsMax = Number.POSITIVE_INFINITY } = asked;
  const { steps } = plan;
  const question = questionName(asked);
  if (kept.isWide(question)) return undefined;
  const bounded = (rows: readonly Row[]): readonly Row[] | undefined => {
    if (rows.length <= rowsMax) return rows;
    kept.setWide(question);
    return undefined;
  };
  const whole = async (asOf?: string) => bounded(await run({ ...statement(plan, (all) => all), ...(asOf === undefined ? {} : { asOf }) }));
  if (versions === undefined || plan.passing !== undefined || (plan.hostValues?.size ?? 0) > 0) return whole();
  const rawFrom = firstRawStep(steps, sources);
  if (rawFrom === undefined) return whole(await versionOfRaw(sources, versions));
  const startOf = (step: number): number => steps.fromMs + step * steps.stepMs;
  const about = (from: number, to: number) => {
    const range = { fromMs: startOf(from), toMs: startOf(to) };
    const some: Plan = { ...plan, steps: { ...range, stepMs: steps.stepMs, count: to - from } };
    return { some, cut: (all: readonly Source[]) => within(all, range), lengthMs: range.toMs - range.fromMs };
  };
  const read = async (from: number, to: number, asOf?: string): Promise<Row[]> => {
    if (from >= to) return [];
    const { some, cut, lengthMs } = about(from, to);
    const rows = asOf === undefined ? await run(statement(some, cut)) : (await readStretch<Row>(asked, some, cut, { lengthMs, asOf, run })).rows;
    return from === 0 ? [...rows] : rows.map((row) => ({ ...row, step: row.step + from }));
  };
  const readRaw = async (): Promise<Row[]> => {
    // Before anything is read: what comes later has another version and is read again.
    const version = await versions({ fromMs: startOf(rawFrom), toMs: steps.toMs });
    const versionOf = (step: number): string => version(startOf(step), startOf(step + 1));
    const known: Row[] = [];
    const missing: number[] = [];
    for (let step = rawFrom; step < steps.count; step++) {
      const rows = kept.get(question, startOf(step), versionOf(step));
      if (rows === undefined) missing.push(step);
      else for (const row of rows) known.push({ ...row, step });
    }
    const [first] = missing;
    if (first === undefined) {
      const { some, cut } = about(rawFrom, steps.count);
      onKept(statement(some, cut));
      return known;
    }
    const end = (missing.at(-1) as number) + 1;
    const rows = await read(first, end, version(startOf(first), startOf(end)));
    if (rows.length > rowsMax) return rows;
    const byStep = Map.groupBy(rows, (row) => row.step);
    const found = new Map<number, KeptStep<Row>>();
    for (let step = first; step < end; step++) found.set(startOf(step), { version: versionOf(step), rows: byStep.get(step) ?? [] });
    kept.put(question, found);
    return [...known.filter(({ step }) => step < first || step >= end), ...rows];
  };
  const [before, raw] = await Promise.all([read(0, rawFrom), readRaw()]);
  return bounded([...before, ...raw]);
}

/** The first step from which on there is nothing but raw rows to read; undefined: there is none, or versions are not told of such steps. */
function firstRawStep({ fromMs, stepMs, count }: Steps, sources: readonly Source[]): number | undefined {
  if (count === 1 || stepMs % WINDOW_MS !== 0 || fromMs % WINDOW_MS !== 0) return undefined;
  const rolledUpUntilMs = sources.reduce((latest, source) => (source.level === "raw" ? latest : Math.max(latest, source.toMs)), fromMs);
  const step = Math.ceil((rolledUpUntilMs - fromMs) / stepMs);
  return step < count ? step : undefined;
}

/** What names the rows of sources that are all raw; undefined: they are not, or it is not told of them. */
async function versionOfRaw(sources: readonly Source[], versions: NonNullable<StepReader<unknown>["versions"]>): Promise<string | undefined> {
  const isTold = ({ level, fromMs, toMs }: Source): boolean => level === "raw" && fromMs % WINDOW_MS === 0 && toMs % WINDOW_MS === 0;
  if (sources.length === 0 || !sources.every(isTold)) return undefined;
  const ends = { fromMs: Math.min(...sources.map(({ fromMs }) => fromMs)), toMs: Math.max(...sources.map(({ toMs }) => toMs)) };
  return (await versions(ends))(ends.fromMs, ends.toMs);
}

function within(sources: readonly Source[], { fromMs, toMs }: TimeRange): readonly Source[] {
  return sources
    .map((source) => ({ ...source, fromMs: Math.max(source.fromMs, fromMs), toMs: Math.min(source.toMs, toMs) }))
    .filter((source) => source.fromMs < source.toMs);
}

/**
 * A question's rows of a stretch, together with who else asks about it where it can be.
 * @param cut gives what is read
 * @param lengthMs what one row per group and step is asked of
 * @param asOf left out: of what is rolled up
 * @returns its rows, and those they are made of, which are the same object as long as whoever runs statements has nothing else to say
 */
export async function readStretch<Row>(
  { statement, together }: Pick<StepQuestion, "statement" | "together">,
  plan: Plan,
  cut: (sources: readonly Source[]) => readonly Source[],
  { lengthMs, asOf, run }: { readonly lengthMs: number; readonly asOf?: string; readonly run: StepReader<Row>["run"] },
): Promise<{ readonly rows: readonly Row[]; readonly madeOf: readonly Row[] }> {
  const named = (asked: Statement): Statement => (asOf === undefined ? asked : { ...asked, asOf });
  if (together !== undefined && lengthMs <= together.stretchMsMax) {
    const madeOf = await run(named(together.statement(plan, cut)));
    if (madeOf.length <= together.rowsMax) return { rows: together.own(madeOf) as readonly Row[], madeOf };
    together.giveUp();
  }
  const rows = await run(named(statement(plan, cut)));
  return { rows, madeOf: rows };
}

/** What is asked, but for the time. */
function questionName({ plan, statement }: StepQuestion): string {
  const { stepMs } = plan.steps;
  const anywhere = { fromMs: 0, toMs: stepMs };
  return nameOf(statement({ ...plan, steps: { ...anywhere, stepMs, count: 1 } }, () => [{ level: "raw", scope: "host", ...anywhere }]));
}
