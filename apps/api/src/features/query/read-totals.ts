// SPDX-License-Identifier: Apache-2.0
import { FEW_HOSTS } from "./asked-together.ts";
import type { KeptTotals } from "./kept-totals.ts";
import { readStretch, type StepQuestion } from "./read-steps.ts";
import type { Source } from "./sources.ts";
import type { Plan, Statement } from "./sql.ts";
import { nameOf } from "./statement-name.ts";
import { type TimeRange, WINDOW_MS } from "./time-range.ts";

/** Windows that ended longer ago have come, but for late ones: the newest are read each time. */
const SETTLED_MS = 30_000;

/** A question of one value over its range, whose rows are those of its stretches put together. */
export interface TotalQuestion<Row> extends StepQuestion {
  /** Puts rows of stretches together. */
  readonly merge: (rows: readonly Row[]) => readonly Row[];
  /** Of a stretch; of more putting them together takes longer than reading does. */
  readonly rowsMax: number;
  /** Its rows are put together here in any case: also of what is all rolled up. */
  readonly isOnlyHere?: boolean;
}

export interface TotalReader<Row> {
  readonly kept: KeptTotals<Row & object>;
  readonly nowMs: number;
  /** What names the raw rows of stretches. */
  readonly versions: (range: TimeRange) => Promise<(fromMs: number, toMs: number) => string>;
  /** Runs a statement about some stretches. */
  readonly run: (statement: Statement) => Promise<readonly Row[]>;
}

/**
 * The rows of a question about a range that reaches the present, put together out of three: what is rolled up is one statement, which whoever runs it keeps as long as the range's first and last whole
 * minute are the same (docs/adr/0015); of the raw rows behind it the settled ones are kept as they were put together last, by what was accepted of their time; and the newest are read.
 * @returns one row per group, the same rows as long as nothing came; undefined where the question is better asked at once
 */
export async function readTotals<Row extends object>(
  question: TotalQuestion<Row>,
  { kept, nowMs, versions, run }: TotalReader<Row>,
): Promise<readonly Row[] | undefined> {
  const { plan, sources, statement, merge, rowsMax } = question;
  const cut = partsOf(sources);
  if (cut === undefined || plan.passing !== undefined || (plan.hostValues?.size ?? 0) > 0) return undefined;
  const { rolled, head, tail } = cut;
  // What is all rolled up is kept as it is; only who asks together with others, or for rows that are but a part of the answer, has something to put together.
  if (tail.fromMs === tail.toMs && question.together === undefined && question.isOnlyHere !== true) return undefined;
  const name = nameOf(statement(about(plan, ANYWHERE, WINDOW_MS), () => [{ level: "raw", scope: "host", ...ANYWHERE }]));
  if (kept.isWide(name)) return undefined;
  // One row per group, however long it is.
  const readRolled = () => readStretch<Row>(question, about(plan, rolled, rolled.toMs - rolled.fromMs), () => rolled.sources, { lengthMs: 0, run });
  if (head === undefined && tail.fromMs === tail.toMs) {
    const { rows } = await readRolled();
    if (rows.length <= rowsMax) return merge(rows);
    kept.setWide(name);
    return undefined;
  }
  // Of few hosts there are not many lines between both ends.
  const isHeadTold = head !== undefined && plan.hosts !== null && plan.hosts.length <= FEW_HOSTS;
  const version = await versions(isHeadTold ? { ...tail, fromMs: head.fromMs } : tail);
  const headVersion = isHeadTold ? version(head.fromMs, head.toMs) : "";
  const readBefore = readRolled();
  const settledMs = Math.max(tail.fromMs, Math.min(tail.toMs, Math.floor((nowMs - SETTLED_MS) / WINDOW_MS) * WINDOW_MS));
  const known = kept.get(name, tail.fromMs);
  const asOf = `${plan.steps.fromMs} ${plan.steps.toMs} ${headVersion} ${version(tail.fromMs, tail.toMs)}`;
  // Everybody who looks at a fleet's page asks it within the seconds until the next window.
  if (known?.whole.asOf === asOf && known.whole.before === (await readBefore).madeOf) return known.whole.rows;
  const isRight = known !== undefined && known.untilMs <= settledMs && version(tail.fromMs, known.untilMs) === known.version;
  const fromMs = isRight ? known.untilMs : tail.fromMs;
  const raw = [...(head === undefined ? [] : [head]), ...(fromMs < tail.toMs ? [{ ...tail, fromMs }] : [])];
  // As steps of a window each, so that settled ones are told from those that are not.
  const readRaw = async (): Promise<readonly (Row & { readonly step: number })[]> => {
    if (raw.length === 0) return [];
    const range = { fromMs: raw[0]?.fromMs as number, toMs: tail.toMs };
    const lengthMs = raw.reduce((sum, part) => sum + part.toMs - part.fromMs, 0);
    const { rows } = await readStretch<Row>(question, about(plan, range, WINDOW_MS), () => raw, {
      lengthMs,
      asOf: `${headVersion} ${version(fromMs, tail.toMs)}`,
      run,
    });
    return rows.map((row) => ({ ...row, step: range.fromMs + (row as Row & { step: number }).step * WINDOW_MS }));
  };
  const [before, newest] = await Promise.all([readBefore, readRaw()]);
  if (before.rows.length > rowsMax || newest.length > rowsMax) {
    kept.setWide(name);
    return undefined;
  }
  const isSettled = ({ step }: { readonly step: number }): boolean => step >= tail.fromMs && step < settledMs;
  const settled = [...(isRight ? known.rows : []), ...newest.filter(isSettled)];
  const together = settled.length === 0 ? [] : merge(settled as readonly Row[]);
  const rows = merge([...before.rows, ...together, ...newest.filter((row) => !isSettled(row))]);
  kept.put(name, {
    fromMs: tail.fromMs,
    untilMs: settledMs,
    version: version(tail.fromMs, settledMs),
    rows: together,
    whole: { asOf, before: before.madeOf, rows },
  });
  return rows;
}

const ANYWHERE: TimeRange = { fromMs: 0, toMs: 2 * WINDOW_MS };

function about(plan: Plan, { fromMs, toMs }: TimeRange, stepMs: number): Plan {
  return { ...plan, steps: { fromMs, toMs, stepMs, count: Math.round((toMs - fromMs) / stepMs) } };
}

interface Parts {
  readonly rolled: TimeRange & { readonly sources: readonly Source[] };
  /** Raw rows before it, of less than a minute. */
  readonly head: Source | undefined;
  /** Raw rows behind it; of no length where there are none. */
  readonly tail: Source;
}

/** undefined: there is nothing rolled up, or raw rows are cut at no window's mark. */
function partsOf(sources: readonly Source[]): Parts | undefined {
  const isRaw = ({ level }: Source): boolean => level === "raw";
  const rolled = sources.filter((source) => !isRaw(source));
  const [first, last] = [sources[0], sources.at(-1)];
  if (rolled.length === 0 || first === undefined || last === undefined) return undefined;
  const head = isRaw(first) ? first : undefined;
  const tail: Source = isRaw(last) ? last : { level: "raw", scope: "host", fromMs: last.toMs, toMs: last.toMs };
  if (sources.length !== rolled.length + (head === undefined ? 0 : 1) + (isRaw(last) ? 1 : 0)) return undefined;
  if ([tail, ...(head === undefined ? [] : [head])].some(({ fromMs, toMs }) => fromMs % WINDOW_MS !== 0 || toMs % WINDOW_MS !== 0)) return undefined;
  return {
    rolled: { fromMs: Math.min(...rolled.map(({ fromMs }) => fromMs)), toMs: Math.max(...rolled.map(({ toMs }) => toMs)), sources: rolled },
    head,
    tail,
  };
}
