// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { beforeLabel, parseInstant, parseTypedRange, pointsFor, rangeBefore, rangeLabel, resolveRange, shifted, zoomedOut } from "./time-range";

const now = Date.UTC(2026, 7, 16, 14, 12, 7, 500);
const iso = (ms: number) => new Date(ms).toISOString();

describe("parseInstant", () => {
  it("reads the three forms a link may hold", () => {
    expect(parseInstant("now-15m", now)).toBe(now - 900_000);
    expect(parseInstant("2026-08-16T13:00:00Z", now)).toBe(Date.UTC(2026, 7, 16, 13));
    expect(parseInstant(String(now), 0)).toBe(now);
  });
  it("refuses everything else", () => {
    for (const text of ["", "soon", "now+5m", "12", "2026-08-16"]) expect(parseInstant(text, now)).toBeNull();
  });
});

describe("resolveRange", () => {
  it("ends a live range at the last window that can be stored already", () => {
    const range = resolveRange({ from: "now-15m", to: "now" }, now);
    expect(iso(range.toMs)).toBe("2026-08-16T14:12:00.000Z");
    expect(range.toMs - range.fromMs).toBe(900_000);
    expect(range.live).toBe(true);
    expect(iso(resolveRange({ from: "now-15m", to: "now" }, now - 5000).toMs)).toBe("2026-08-16T14:11:50.000Z");
  });
  it("opens a mangled link on the default range", () => {
    expect(resolveRange({ from: "garbage", to: "now" }, now)).toEqual(resolveRange({ from: "now-15m", to: "now" }, now));
    expect(resolveRange({ from: "2026-08-16T14:00:00Z", to: "2026-08-16T13:00:00Z" }, now).live).toBe(true);
  });
  it("widens an absolute range to whole windows", () => {
    const range = resolveRange({ from: "2026-08-16T13:00:04Z", to: "2026-08-16T13:05:04Z" }, now);
    expect([iso(range.fromMs), iso(range.toMs)]).toEqual(["2026-08-16T13:00:00.000Z", "2026-08-16T13:05:10.000Z"]);
  });
});

it("asks for whole windows per step", () => {
  const points = (minutes: number) => pointsFor({ fromMs: 0, toMs: minutes * 60_000, live: false });
  expect([points(5), points(15), points(60), points(1440)]).toEqual([30, 90, 180, 144]);
});

describe("moving around", () => {
  const range = resolveRange({ from: "2026-08-16T13:00:00Z", to: "2026-08-16T13:30:00Z" }, now);
  it("shifts by one length and never past now", () => {
    expect(shifted(range, -1, now)).toEqual({ from: "2026-08-16T12:30:00.000Z", to: "2026-08-16T13:00:00.000Z" });
    expect(shifted(range, 1, now).to).toBe("2026-08-16T14:00:00.000Z");
    expect(shifted({ ...range, toMs: now }, 1, now).to).toBe("2026-08-16T14:12:00.000Z");
  });
  it("zooms out around the middle, back to live when now is inside", () => {
    expect(zoomedOut(range, now)).toEqual({ from: "2026-08-16T12:45:00.000Z", to: "2026-08-16T13:45:00.000Z" });
    expect(zoomedOut(resolveRange({ from: "now-15m", to: "now" }, now), now)).toEqual({ from: "now-30m", to: "now" });
  });
  it("names the range before", () => {
    expect(beforeLabel({ fromMs: 0, toMs: 3_600_000, live: false })).toBe("the hour before");
    expect(beforeLabel({ fromMs: 0, toMs: 900_000, live: false })).toBe("the 15 min before");
    expect(rangeBefore(range).toMs).toBe(range.fromMs);
  });
  it("labels presets and other lengths", () => {
    expect(rangeLabel({ from: "now-1h", to: "now" })).toBe("Last 1 h");
    expect(rangeLabel({ from: "now-90m", to: "now" })).toBe("Last 90 min");
    expect(rangeLabel({ from: "2026-08-16T13:00:00Z", to: "now-1m" })).toBeNull();
  });
});

describe("parseTypedRange", () => {
  it.each([
    ["15m", "now-15m", "now"],
    ["last 2 h", "now-2h", "now"],
    ["now-2h to now-1h", "now-2h", "now-1h"],
    ["13:00-14:00", "2026-08-16T13:00:00.000Z", "2026-08-16T14:00:00.000Z"],
    ["yesterday 14:00-15:00", "2026-08-15T14:00:00.000Z", "2026-08-15T15:00:00.000Z"],
    ["yesterday 23:30 – 00:30", "2026-08-15T23:30:00.000Z", "2026-08-16T00:30:00.000Z"],
    ["2026-08-01 13:00 to 2026-08-02 01:00", "2026-08-01T13:00:00.000Z", "2026-08-02T01:00:00.000Z"],
  ])("reads %s", (text, from, to) => {
    expect(parseTypedRange(text, now, "utc")).toEqual({ from, to });
  });
  it("refuses what it can't read", () => {
    for (const text of ["", "0m", "25:00-26:00", "tomorrow", "13-14"]) expect(parseTypedRange(text, now, "utc")).toBeNull();
  });
});
