// SPDX-License-Identifier: Apache-2.0

import type { StorageState } from "@waggle/signals";
import { expect, it } from "vitest";
import { nextState, usageOf } from "./pressure.ts";

const GB = 1e9;
const disk = (totalBytes: number, freeBytes: number, node = "1") => ({ node, disk: "default", totalBytes, freeBytes });

it("rises at 70, 80 and 90 % and falls 3 points lower, however fast", () => {
  const states: StorageState[] = [];
  let state: StorageState = "ok";
  for (const percent of [69, 70, 68, 66, 81, 78, 76, 95, 88, 86, 50, 91]) {
    state = nextState(state, { share: percent / 100, urgency: percent / 100, what: "" });
    states.push(state);
  }
  expect(states).toEqual(["ok", "warn", "warn", "ok", "coarsen", "coarsen", "warn", "drop", "drop", "coarsen", "ok", "drop"]);
});

it("counts the fullest disk, of whichever server", () => {
  expect(usageOf([disk(10 * GB, 9 * GB), disk(10 * GB, 1.5 * GB, "2")], 0, null)).toMatchObject({
    share: 0.85,
    what: 'the disk "default" of server 2 is 85 % full',
  });
});

it("does not give rows up for a large disk that has room left, and asks for less before it does", () => {
  const stateOf = (totalGB: number, freeGB: number, before: StorageState = "ok") =>
    nextState(before, usageOf([disk(totalGB * GB, freeGB * GB)], 0, null));
  expect([700, 500, 100, 41, 39, 21, 19].map((freeGB) => stateOf(2_000, freeGB))).toEqual([
    "ok",
    "warn",
    "warn",
    "warn",
    "coarsen",
    "coarsen",
    "drop",
  ]);
  expect([61, 59, 41, 39, 21, 19].map((freeGB) => stateOf(200, freeGB))).toEqual(["ok", "warn", "warn", "coarsen", "coarsen", "drop"]);
  expect([31, 29, 21, 19, 11, 9].map((freeGB) => stateOf(100, freeGB))).toEqual(["ok", "warn", "warn", "coarsen", "coarsen", "drop"]);
  expect([3.1, 2.9, 2.1, 1.9, 1.1, 0.9].map((freeGB) => stateOf(10, freeGB))).toEqual(["ok", "warn", "warn", "coarsen", "coarsen", "drop"]);
  // Merges take and give back: a state does not come and go with them on a large disk either.
  expect([25, 27].map((freeGB) => stateOf(2_000, freeGB, "drop"))).toEqual(["drop", "coarsen"]);
  expect([45, 47].map((freeGB) => stateOf(2_000, freeGB, "coarsen"))).toEqual(["coarsen", "warn"]);
});

it("counts a limit of the tables' own, also beside a fuller disk with room", () => {
  expect(nextState("ok", usageOf([disk(2_000 * GB, 100 * GB)], 9.1 * GB, 10 * GB))).toBe("drop");
  expect(nextState("ok", usageOf([disk(100 * GB, 50 * GB)], 9 * GB, null))).toBe("ok");
});
