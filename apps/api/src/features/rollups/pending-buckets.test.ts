// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { PendingBuckets } from "./pending-buckets.ts";

const arrival = (bucketMs: number, arrivals: number, lastArrivalMs: number) => ({ tenant: "t", bucketMs, arrivals, lastArrivalMs });
const starts = (pending: PendingBuckets, nowMs = 1_000, closedUntilMs = 900, completeUntilMs = 0, lateIntervalMs = 0) =>
  pending.due(nowMs, closedUntilMs, completeUntilMs, lateIntervalMs).map(({ bucketMs }) => bucketMs);
const settleAll = (pending: PendingBuckets) => {
  for (const bucket of pending.due(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 0, 0)) pending.settle(bucket);
};

it("what a level lacks comes first and oldest first, then late arrivals, newest first; open buckets wait", () => {
  const pending = new PendingBuckets();
  pending.merge(
    [300, 100, 500, 200, 900, 700].map((bucketMs) => arrival(bucketMs, 1, 1)),
    0,
  );
  expect(starts(pending, 1_000, 900, 400)).toEqual([500, 700, 300, 200, 100]);
  expect(pending.dueCount(900)).toBe(5);
});

it("a bucket whose arrivals look the same is not checked again until they have left the stretch, and then once", () => {
  const pending = new PendingBuckets();
  pending.merge([arrival(100, 2, 5)], 0);
  settleAll(pending);
  pending.merge([arrival(100, 2, 5)], 10);
  expect(starts(pending)).toEqual([]);
  pending.merge([], 20);
  expect(starts(pending)).toEqual([100]);
  settleAll(pending);
  pending.merge([], 30);
  expect(starts(pending)).toEqual([]);
});

it("an arrival that became visible later than a newer one is noticed by the count", () => {
  const pending = new PendingBuckets();
  pending.merge([arrival(100, 2, 5)], 0);
  settleAll(pending);
  pending.merge([arrival(100, 3, 5)], 10);
  expect(starts(pending)).toEqual([100]);
});

it("a level is complete up to the first bucket that is not taken in, late ones aside", () => {
  const pending = new PendingBuckets();
  pending.merge([arrival(100, 1, 1), arrival(600, 1, 1)], 0);
  expect(pending.completeUntil(300, 900)).toBe(600);
  settleAll(pending);
  expect(pending.completeUntil(300, 900)).toBe(900);
});

it("a restart begins to look where the oldest of what is not taken in was found", () => {
  const pending = new PendingBuckets();
  pending.merge([arrival(100, 1, 1)], 40);
  pending.merge([arrival(100, 2, 2), arrival(200, 1, 1)], 50);
  expect(pending.scannedUntil(60)).toBe(40);
  settleAll(pending);
  expect(pending.scannedUntil(60)).toBe(60);
  pending.merge([arrival(200, 2, 2)], 60);
  expect(pending.scannedUntil(70)).toBe(60);
});

it("late arrivals of one bucket wait for the interval, a bucket the level lacks does not, and failures wait for their time", () => {
  const pending = new PendingBuckets();
  pending.merge([arrival(100, 1, 1), arrival(600, 1, 1)], 0);
  for (const bucket of pending.due(1_000, 900, 0, 0)) bucket.rolledAtMs = 950;
  expect(starts(pending, 1_000, 900, 400, 60)).toEqual([600]);
  expect(starts(pending, 1_010, 900, 400, 60)).toEqual([600, 100]);
  for (const bucket of pending.due(1_010, 900, 400, 60)) bucket.notBeforeMs = 2_000;
  expect(starts(pending, 1_999)).toEqual([]);
  expect(starts(pending, 2_000)).toEqual([100, 600]);
});
