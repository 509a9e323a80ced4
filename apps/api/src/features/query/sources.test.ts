// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { type CompleteUntil, cutSources } from "./sources.ts";

const hour = 3_600_000;
const minute = 60_000;
const day = Date.UTC(2026, 10, 20);
const at = (hours: number, minutes = 0, seconds = 0): number => day + hours * hour + minutes * minute + seconds * 1_000;

/** 12:07:30: hours until 12:00, host minutes until 12:05, fleet minutes until 12:00. */
const complete: CompleteUntil = (level, scope) => (level === "1h" ? at(scope === "fleet" ? 11 : 12) : scope === "fleet" ? at(12) : at(12, 5));
const one = (fromMs: number, toMs: number) => ({ fromMs, toMs, stepMs: toMs - fromMs, count: 1 });
const many = (fromMs: number, toMs: number, stepMs: number) => ({ fromMs, toMs, stepMs, count: (toMs - fromMs) / stepMs });

describe("the sources of a range", () => {
  it("are hours in the middle, minutes around them and raw rows at the ends", () => {
    expect(cutSources(one(at(9, 58, 20), at(12, 7, 30)), "host", "1h", complete)).toEqual([
      { level: "raw", scope: "host", fromMs: at(9, 58, 20), toMs: at(9, 59) },
      { level: "1m", scope: "host", fromMs: at(9, 59), toMs: at(10) },
      { level: "1h", scope: "host", fromMs: at(10), toMs: at(12) },
      { level: "1m", scope: "host", fromMs: at(12), toMs: at(12, 5) },
      { level: "raw", scope: "host", fromMs: at(12, 5), toMs: at(12, 7, 30) },
    ]);
  });

  it("of the whole fleet go over to host rows where the fleet's are not made yet", () => {
    expect(cutSources(many(at(8), at(13), hour), "fleet", "1h", complete)).toEqual([
      { level: "1h", scope: "fleet", fromMs: at(8), toMs: at(11) },
      { level: "1m", scope: "fleet", fromMs: at(11), toMs: at(12) },
      { level: "1m", scope: "host", fromMs: at(12), toMs: at(12, 5) },
      { level: "raw", scope: "host", fromMs: at(12, 5), toMs: at(13) },
    ]);
  });

  it("never are of a level whose rows a step would cut", () => {
    const levelsOf = (stepMs: number) => cutSources(many(at(8), at(12), stepMs), "host", "1h", complete).map((source) => source.level);
    expect(levelsOf(hour)).toEqual(["1h"]);
    expect(levelsOf(5 * minute)).toEqual(["1m"]);
    expect(levelsOf(30_000)).toEqual(["raw"]);
  });

  it("cover each instant exactly once, whatever is asked and however far the levels have come", () => {
    for (let seed = 0; seed < 500; seed++) {
      const pick = (salt: number, below: number): number => Math.floor(Math.abs(Math.sin(seed * 37 + salt) * 1e6) % below);
      const until: CompleteUntil = (level, scope) => day + pick(level.length + scope.length, 30 * 60) * minute;
      const fromMs = day + pick(1, 8_640) * 10_000;
      const steps =
        seed % 2 === 0 ? one(fromMs, fromMs + 10_000 + pick(2, 8_640) * 10_000) : many(at(0), at(24), [10_000, minute, hour][seed % 3] as number);
      const sources = cutSources(steps, seed % 4 < 2 ? "host" : "fleet", (["raw", "1m", "1h"] as const)[seed % 3] as "raw", until);
      expect(sources[0]?.fromMs).toBe(steps.fromMs);
      expect(sources.at(-1)?.toMs).toBe(steps.toMs);
      for (const [index, source] of sources.entries()) {
        expect(source.toMs).toBeGreaterThan(source.fromMs);
        if (index > 0) expect(source.fromMs).toBe(sources[index - 1]?.toMs);
        if (source.level !== "raw") expect(source.toMs).toBeLessThanOrEqual(until(source.level, source.scope));
      }
    }
  });

  it("are no coarser than allowed", () => {
    expect(cutSources(one(at(1), at(11)), "host", "1m", complete).map((source) => source.level)).toEqual(["1m"]);
    expect(cutSources(one(at(1), at(11)), "host", "raw", complete).map((source) => source.level)).toEqual(["raw"]);
    expect(cutSources(one(at(1), at(11)), "fleet", "raw", complete).map((source) => source.level)).toEqual(["raw"]);
  });
});
