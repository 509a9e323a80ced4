// SPDX-License-Identifier: Apache-2.0
import { type Level, levelMs, levels, type RollupLevel, type Scope } from "@waggle/signals";
import type { Steps, TimeRange } from "./time-range.ts";

/** A stretch of time that is read out of one table. */
export interface Source extends TimeRange {
  readonly level: Level;
  readonly scope: Scope;
}

/** Up to where rolled-up rows can be read, Unix milliseconds; 0 = not at all. */
export type CompleteUntil = (level: RollupLevel, scope: Scope) => number;

/** Which tables may be read, in the order in which they are preferred. */
function preferred(scope: Scope, coarsest: Level): readonly Pick<Source, "level" | "scope">[] {
  const allowed = levels.slice(0, levels.indexOf(coarsest) + 1).toReversed();
  return [
    ...(scope === "fleet" ? allowed.filter((level) => level !== "raw").map((level) => ({ level, scope })) : []),
    ...allowed.map((level) => ({ level, scope: "host" as const })),
  ];
}

/**
 * Cuts a range so that each instant is read exactly once: whole hours out of hours, whole minutes out of minutes, what is newer than a level
 * reaches (and an end that cuts a minute) out of the next finer one, at last out of raw rows.
 *
 * A level fits when no step cuts one of its rows: its length divides the step, or there is one step only, whose ends then go to finer levels.
 * @param coarsest no coarser level is read
 * @returns in order of time; empty for an empty range
 */
export function cutSources(steps: Steps, scope: Scope, coarsest: Level, completeUntil: CompleteUntil): readonly Source[] {
  const fits = ({ level }: Pick<Source, "level">): boolean => level === "raw" || steps.count === 1 || steps.stepMs % levelMs[level] === 0;
  const cut = (range: TimeRange, [first, ...rest]: readonly Pick<Source, "level" | "scope">[]): Source[] => {
    if (first === undefined || range.fromMs >= range.toMs) return [];
    if (first.level === "raw") return [{ ...first, ...range }];
    const lengthMs = levelMs[first.level];
    const fromMs = Math.ceil(range.fromMs / lengthMs) * lengthMs;
    const toMs = Math.floor(Math.min(range.toMs, completeUntil(first.level, first.scope)) / lengthMs) * lengthMs;
    if (fromMs >= toMs) return cut(range, rest);
    return [
      ...cut({ fromMs: range.fromMs, toMs: fromMs }, rest),
      { level: first.level, scope: first.scope, fromMs, toMs },
      ...cut({ fromMs: toMs, toMs: range.toMs }, rest),
    ];
  };
  return cut({ fromMs: steps.fromMs, toMs: steps.toMs }, preferred(scope, coarsest).filter(fits));
}

/** The coarsest level among the sources: what most of a long range was read from. */
export function coarsestLevel(sources: readonly Source[]): Level {
  return levels.findLast((level) => sources.some((source) => source.level === level)) ?? "raw";
}
