// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { parseInstant, parseTimeRange, planSteps, RANGE_MS_MAX } from "./time-range.ts";

const now = Date.UTC(2026, 10, 20, 12, 0, 7);
const problem = (from: string | number, to: string | number) => {
  const parsed = parseTimeRange(from, to, now);
  return "problems" in parsed ? parsed.problems[0] : undefined;
};

describe("an instant", () => {
  it.each([
    ["now", now],
    ["now-15m", now - 900_000],
    ["now - 2 h", now - 7_200_000],
    ["now-1d", now - 86_400_000],
    ["2026-11-20T12:00:00Z", now - 7_000],
    ["2026-11-20T13:00:00+01:00", now - 7_000],
    ["2026-11-20T12:00:00.500Z", now - 6_500],
    [String(now), now],
  ])("is read from %s", (text, expected) => {
    expect(parseInstant(text, now)).toBe(expected);
  });

  it.each(["", "yesterday", "now-", "now-15", "now-1y", "2026-11-20T12:00:00", "2026-13-40T12:00:00Z", "2026-02-30T12:00:00Z", "15m", "1763640000"])(
    "is not guessed from %j",
    (text) => {
      expect(parseInstant(text, now)).toBeUndefined();
    },
  );
});

describe("a range", () => {
  it("names the field that cannot be read and suggests what was meant", () => {
    expect(problem("15m", "now")).toMatchObject({ pointer: "/from", suggestion: "now-15m" });
    expect(problem("now-1h", "2026-11-20T12:00:00")).toMatchObject({ pointer: "/to", suggestion: "2026-11-20T12:00:00Z" });
    expect(problem(Math.floor(now / 1000), "now")).toMatchObject({ pointer: "/from", suggestion: `${Math.floor(now / 1000)}000` });
  });

  it("must not be empty, reversed, in the future or longer than 400 days", () => {
    expect(problem("now", "now")?.detail).toContain("empty");
    expect(problem("now", "now-1h")?.detail).toContain("empty");
    expect(problem("now+1h", "now+2h")?.detail).toContain("future");
    expect(problem("now-401d", "now")?.detail).toContain("401 days");
    expect(problem("now-400d", "now")).toBeUndefined();
  });
});

describe("the steps of a range", () => {
  it("are 10 s where the points suffice", () => {
    expect(planSteps({ fromMs: now - 900_000, toMs: now }, 300)).toMatchObject({ stepMs: 10_000, count: 91 });
  });

  it("lie on multiples of their length and cover the range", () => {
    for (const hours of [0.1, 1, 3, 7, 24, 100, 744, 9_600]) {
      for (const points of [1, 2, 7, 60, 300, 600]) {
        const range = { fromMs: now - hours * 3_600_000, toMs: now };
        const steps = planSteps(range, points);
        expect(steps.count).toBeLessThanOrEqual(points);
        expect(steps.count).toBe((steps.toMs - steps.fromMs) / steps.stepMs);
        expect(steps.fromMs).toBeLessThanOrEqual(range.fromMs);
        expect(steps.toMs).toBeGreaterThanOrEqual(range.toMs);
        expect(steps.stepMs % 10_000).toBe(0);
        if (steps.count > 1) expect(steps.fromMs % steps.stepMs).toBe(0);
      }
    }
  });

  it("are one for points 1, whatever the length", () => {
    expect(planSteps({ fromMs: now - RANGE_MS_MAX, toMs: now }, 1)).toMatchObject({ count: 1 });
    expect(planSteps({ fromMs: now - 3_600_000, toMs: now }, 1)).toEqual({
      fromMs: now - 7_000 - 3_600_000,
      toMs: now + 3_000,
      stepMs: 3_610_000,
      count: 1,
    });
  });

  it("are the same for all who ask within one window: their statements are the same", () => {
    const mark = Math.floor(now / 60_000) * 60_000;
    for (const points of [1, 180, 300]) {
      const [first, ...others] = [1, 2_345, 5_001, 9_999].map((ms) => planSteps({ fromMs: mark + ms - 3_600_000, toMs: mark + ms }, points));
      for (const other of others) expect(other).toEqual(first);
    }
  });

  it("are no shorter than rows of a coarser level, and one step ends at their marks", () => {
    const range = { fromMs: now - 900_000, toMs: now };
    expect(planSteps(range, 300, 60_000)).toMatchObject({ stepMs: 60_000, count: 16 });
    expect(planSteps(range, 300, 3_600_000)).toMatchObject({ stepMs: 3_600_000, count: 2 });
    const hour = Math.floor(now / 3_600_000) * 3_600_000;
    expect(planSteps(range, 1, 3_600_000)).toMatchObject({ fromMs: hour - 3_600_000, toMs: hour + 3_600_000 });
    // The open hour is not rolled up: its end stays where it was asked.
    expect(planSteps(range, 1, 3_600_000, hour)).toMatchObject({ fromMs: hour - 3_600_000, toMs: now + 3_000 });
  });
});
