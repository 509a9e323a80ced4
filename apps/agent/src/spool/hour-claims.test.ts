// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { HourClaims } from "./hour-claims.ts";

const hour = 3_600_000;
const start = 400_000 * hour;
const starts = (claims: HourClaims, since?: Parameters<HourClaims["list"]>[0]) =>
  claims.list(since).map((claim) => (claim.hourStartMs - start) / hour);

describe("HourClaims", () => {
  it("adds up what became of the windows that started in an hour", () => {
    const claims = new HourClaims();
    for (const ms of [0, 10_000, hour - 1]) claims.add(start + ms, { windows: 1, rows: 30, frames: 1 });
    claims.add(start + hour, { windows: 1, rows: 5, frames: 1 });
    claims.add(start + 10_000, { droppedWindows: 1, rows: -30, frames: -1 });
    claims.add(start + hour, { refusedWindows: 1, rows: -5, frames: -1 });
    expect(claims.list()).toEqual([
      { hourStartMs: start, windows: 3, rows: 60, frames: 2, droppedWindows: 1, refusedWindows: 0 },
      { hourStartMs: start + hour, windows: 1, rows: 0, frames: 0, droppedWindows: 0, refusedWindows: 1 },
    ]);
    expect(HourClaims.fromJSON(JSON.parse(JSON.stringify(claims))).list()).toEqual(claims.list());
  });

  it("names the newest two hours, what changed, and what was asked for", () => {
    const claims = new HourClaims();
    for (let index = 0; index < 6; index++) claims.add(start + index * hour, { windows: 1 });
    const { revision } = claims;
    expect(starts(claims, { revision })).toEqual([4, 5]);
    claims.add(start + hour, { droppedWindows: 1 });
    expect(starts(claims, { revision })).toEqual([1, 4, 5]);
    expect(starts(claims, { revision, fromMs: start + 3 * hour })).toEqual([1, 3, 4, 5]);
    expect(starts(claims)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("forgets hours that are two days old, unless something of them waits", () => {
    const claims = new HourClaims();
    for (let index = 0; index < 100; index++) claims.add(start + index * hour, { windows: 1 });
    claims.forget(start + 20 * hour + 5);
    expect(starts(claims)[0]).toBe(20);
    claims.forget(start + 99 * hour);
    expect(starts(claims)[0]).toBe(52);
  });

  it("refuses figures that are none", () => {
    for (const value of [undefined, {}, [1], [[1, 2]], [[1, 2, 3, 4, 5, "6"]], [[1, 2, 3, 4, 5, 6.5]]])
      expect(() => HourClaims.fromJSON(value)).toThrow(TypeError);
  });
});
