// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { compareRaw, type StoredFrame } from "./equation.ts";

const scene = { fromMs: 0, untilMs: 40_000, windowMs: 10_000 };
const sums = { syscalls: { rows: 2, count: "5" }, agent_coverage: { rows: 11, windows: "11" } };
const frame = (startMs: number, changes: Partial<StoredFrame> = {}): StoredFrame => ({
  host: "a",
  startMs,
  lengthMs: 10_000,
  isAccepted: true,
  signals: sums,
  ...changes,
});
const compare = (frames: readonly StoredFrame[], declared: readonly number[] = []) =>
  compareRaw(
    frames,
    ["a"],
    scene,
    () => sums,
    (_, startMs) => declared.includes(startMs),
  );

describe("what is stored held against what was sent", () => {
  it("is equal when every window is there once, merged or not", () => {
    const merged = frame(20_000, { lengthMs: 20_000, signals: { syscalls: { rows: 2, count: "10" }, agent_coverage: { rows: 11, windows: "22" } } });
    expect(compare([frame(0), frame(10_000), merged])).toMatchObject({ windows: 4, lostWindows: 0, doubledWindows: 0, differences: [], lost: {} });
  });

  it("tells a window that is lost from one that was declared lost, and says how much went with it", () => {
    const frames = [frame(0), frame(10_000), frame(20_000)];
    expect(compare(frames)).toMatchObject({ lostWindows: 1, declaredWindows: 0, differences: [{ stored: "not at all" }] });
    const declared = compare(frames, [30_000]);
    expect(declared).toMatchObject({ lostWindows: 0, declaredWindows: 1, remnantWindows: 0, differences: [] });
    expect(declared.sent["syscalls"]).toMatchObject({ count: "20" });
    expect(declared.lost["syscalls"]).toMatchObject({ count: "5" });
  });

  it("knows a window that was given up after it was sent, of which some tables have the rows", () => {
    const frames = [frame(0), frame(10_000), frame(20_000), frame(30_000, { isAccepted: false, signals: { syscalls: sums.syscalls } })];
    const declared = compare(frames, [30_000]);
    expect(declared).toMatchObject({ declaredWindows: 1, remnantWindows: 1, differences: [] });
    expect(declared.lost).toEqual(sums);
    // Nobody said that it was given up: then it was acknowledged or is on its way, and must be whole.
    expect(compare(frames).differences).toEqual([
      expect.objectContaining({ expected: "accepted, or declared lost" }),
      expect.objectContaining({ stored: "not at all" }),
    ]);
    // Half of a table's rows is never right.
    const half = frame(30_000, { isAccepted: false, signals: { syscalls: { rows: 1, count: "2" } } });
    expect(compare([...frames.slice(0, 3), half], [30_000]).differences).toHaveLength(2);
  });

  it("sees an accepted window that lacks a table, and one that is there twice", () => {
    expect(compare([frame(0, { signals: { syscalls: sums.syscalls } }), frame(10_000), frame(20_000), frame(30_000)], [0]).differences).toHaveLength(
      2,
    );
    const twice = frame(20_000, { lengthMs: 20_000, signals: { syscalls: { rows: 2, count: "10" }, agent_coverage: { rows: 11, windows: "22" } } });
    expect(compare([frame(0), frame(10_000), frame(20_000), twice])).toMatchObject({ doubledWindows: 1 });
  });
});
