// SPDX-License-Identifier: Apache-2.0
import { type Level, levelMs } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { factSources } from "./fact-sources.ts";
import { cutSources, type Source } from "./sources.ts";
import type { Plan } from "./sql.ts";
import type { TimeRange } from "./time-range.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const MINUTE = 60_000;
const now = Date.UTC(2026, 10, 20, 21, 7, 30);
const plan = {} as Plan;

/** What is read is what a statement's condition leaves: rows whose `ts` lies in a source, of a table with a row for each of its buckets. */
const rowsIn = ({ level, fromMs, toMs }: Source): readonly number[] => {
  const lengthMs = level === "raw" ? 10_000 : levelMs[level];
  const first = Math.ceil(fromMs / lengthMs) * lengthMs;
  return Array.from({ length: Math.max(0, Math.ceil((toMs - first) / lengthMs)) }, (_, index) => first + index * lengthMs);
};

/** How often each window of ten seconds is told of. */
function timesTold(sources: readonly Source[]): ReadonlyMap<number, number> {
  const told = new Map<number, number>();
  for (const source of sources) {
    const windows = source.level === "raw" ? 1 : levelMs[source.level] / 10_000;
    for (const ts of rowsIn(source))
      for (let index = 0; index < windows; index++) told.set(ts + index * 10_000, (told.get(ts + index * 10_000) ?? 0) + 1);
  }
  return told;
}

const whole = ({ fromMs, toMs }: TimeRange) => ({ fromMs, toMs, stepMs: toMs - fromMs, count: 1 });
/** As the planner cuts a range of facts: hours up to the last that is complete, then minutes, then windows. */
const hoursOf = (range: TimeRange, { hourMs, minuteMs }: { hourMs: number; minuteMs: number }): readonly Source[] =>
  cutSources(whole(range), "host", "1h", (level) => (level === "1h" ? hourMs : minuteMs));
const reads = (rows: Partial<Record<Level, number>>) => ({
  estimateRows: async (_: Plan, sources: readonly Source[]) => sources.reduce((sum, { level }) => sum + (rows[level] ?? 0), 0),
});
const fewMinutes = reads({ "1m": 1, "1h": 1_000 });
const fewHours = reads({ "1m": 1_000, "1h": 1 });
const complete = { hourMs: Date.UTC(2026, 10, 20, 20), minuteMs: Date.UTC(2026, 10, 20, 21, 5) };
const kept = { nowMs: now, minutesKeptDays: 30 };

describe("facts out of minutes", () => {
  const ranges: readonly [string, TimeRange][] = [
    ["whole hours", { fromMs: complete.hourMs - 3 * HOUR, toMs: complete.hourMs }],
    ["hours that the present cuts", { fromMs: complete.hourMs - 2 * HOUR, toMs: Date.UTC(2026, 10, 20, 22) }],
    ["ends within hours", { fromMs: complete.hourMs - 3 * HOUR + 7 * MINUTE, toMs: complete.hourMs - 5 * MINUTE }],
    ["ends within minutes", { fromMs: complete.hourMs - 3 * HOUR + 20_000, toMs: complete.hourMs + 30_000 }],
    ["less than an hour", { fromMs: complete.hourMs - 50 * MINUTE, toMs: complete.hourMs - 10 * MINUTE }],
    ["one hour", { fromMs: complete.hourMs - HOUR, toMs: complete.hourMs }],
    ["what is not rolled up", { fromMs: complete.minuteMs, toMs: complete.minuteMs + 2 * MINUTE }],
    ["two days over midnight", { fromMs: complete.hourMs - 2 * DAY + 30_000, toMs: complete.minuteMs + 10_000 }],
  ];

  it.each(ranges)("tell of each window of %s once, whichever level is read", async (_, range) => {
    for (const repository of [fewMinutes, fewHours]) {
      const sources = await factSources(repository, plan, hoursOf(range, complete), kept, undefined);
      const told = timesTold(sources);
      const windows = Array.from({ length: (range.toMs - range.fromMs) / 10_000 }, (_, index) => range.fromMs + index * 10_000);
      expect([...told.keys()].sort((a, b) => a - b)).toEqual(windows);
      expect(new Set(told.values())).toEqual(new Set([1]));
    }
  });

  it("are read where that reads fewer rows, hours where they do, and of as many the hours", async () => {
    const hours = hoursOf({ fromMs: complete.hourMs - 3 * HOUR, toMs: complete.hourMs + 2 * MINUTE }, complete);
    const levels = async (repository: Parameters<typeof factSources>[0]) =>
      (await factSources(repository, plan, hours, kept, undefined)).map(({ level }) => level);
    expect(await levels(fewMinutes)).toEqual(["1m", "1m"]);
    expect(await levels(fewHours)).toEqual(["1h", "1m"]);
    expect(await levels(reads({ "1m": 5, "1h": 5 }))).toEqual(["1h", "1m"]);
  });

  it("are not read of times of which minutes are not kept, to the moment", async () => {
    const minutesFrom = complete.hourMs - DAY;
    const keptOneDay = { nowMs: complete.hourMs, minutesKeptDays: 1 };
    const hour = (fromMs: number): Source => ({ level: "1h", scope: "host", fromMs, toMs: fromMs + HOUR });
    const chosen = await factSources(fewMinutes, plan, [hour(minutesFrom - HOUR), hour(minutesFrom)], keptOneDay, undefined);
    expect(chosen.map(({ level, fromMs }) => [level, fromMs])).toEqual([
      ["1h", minutesFrom - HOUR],
      ["1m", minutesFrom],
    ]);
    // An hour that began before is read as an hour, not as the minutes that are left of it.
    const cut = await factSources(fewMinutes, plan, [hour(minutesFrom)], { ...keptOneDay, nowMs: complete.hourMs + 1 }, undefined);
    expect(cut.map(({ level }) => level)).toEqual(["1h"]);
  });

  it("are not weighed where there are no hours to read", async () => {
    const asked: (readonly Source[])[] = [];
    const repository = {
      estimateRows: async (_: Plan, sources: readonly Source[]) => {
        asked.push(sources);
        return 0;
      },
    };
    const minutes = hoursOf({ fromMs: complete.hourMs + MINUTE, toMs: complete.hourMs + 3 * MINUTE }, complete);
    expect(await factSources(repository, plan, minutes, kept, undefined)).toBe(minutes);
    expect(asked).toEqual([]);
  });
});
