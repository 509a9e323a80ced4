// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { WindowQueue } from "./window-queue.ts";

const form = { rowsMax: 0, signalsOff: new Set<string>() };

const takeAll = (queue: WindowQueue, withBacklog = true) => {
  const taken: number[] = [];
  for (let window = queue.take(withBacklog); window !== undefined; window = queue.take(withBacklog)) taken.push(window.startMs);
  return taken;
};

it("sends the two newest windows first and then the backlog, oldest first, each once", () => {
  const queue = new WindowQueue(10, 0);
  queue.extend(59);
  expect(queue.length).toBe(5);
  expect(takeAll(queue)).toEqual([30, 40, 0, 10, 20]);
  expect(queue.isEmpty).toBe(true);
});

it("keeps the backlog while only live windows may go", () => {
  const queue = new WindowQueue(10, 0);
  queue.extend(50);
  expect(takeAll(queue, false)).toEqual([30, 40]);
  queue.extend(70);
  queue.retry({ startMs: 30, lengthMs: 10, form });
  queue.retry({ startMs: 50, lengthMs: 10, form });
  expect(takeAll(queue, false)).toEqual([50, 60, 50]);
  expect(takeAll(queue)).toEqual([30, 0, 10, 20]);
});

it("leaves out what an earlier run delivered", () => {
  const queue = new WindowQueue(10, 0);
  queue.extend(50, (startMs) => startMs === 20 || startMs === 40);
  expect(takeAll(queue).sort((a, b) => a - b)).toEqual([0, 10, 30]);
});

it("never sends a window twice or loses one, however it grows and is emptied", () => {
  const queue = new WindowQueue(10, 0);
  const taken: number[] = [];
  for (let step = 1; step <= 60; step++) {
    queue.extend(step * 17);
    for (let count = (step * 7) % 4; count > 0; count--) {
      const window = queue.take(step % 3 !== 0);
      if (window !== undefined) taken.push(window.startMs);
    }
  }
  taken.push(...takeAll(queue));
  expect(taken.sort((a, b) => a - b)).toEqual(Array.from({ length: Math.floor((60 * 17) / 10) }, (_, index) => index * 10));
});

const takeShapes = (queue: WindowQueue) => {
  const taken: [start: number, length: number][] = [];
  for (let window = queue.take(true); window !== undefined; window = queue.take(true)) taken.push([window.startMs, window.lengthMs]);
  return taken.sort(([a], [b]) => a - b);
};

it("makes longer windows from the next boundary on, leaves those due as they are, and ends where it is to end", () => {
  const queue = new WindowQueue(10, 0, 410);
  queue.extend(20);
  queue.lengthMs = 60;
  queue.extend(119);
  queue.extend(185);
  expect(takeShapes(queue)).toEqual([
    [0, 10],
    [10, 10],
    [20, 40],
    [60, 60],
    [120, 60],
  ]);
  queue.lengthMs = 10;
  queue.extend(215);
  queue.lengthMs = 60;
  queue.extend(409);
  queue.extend(410);
  expect(takeShapes(queue)).toEqual([
    [180, 10],
    [190, 10],
    [200, 10],
    [210, 30],
    [240, 60],
    [300, 60],
    [360, 50],
  ]);
});

it("covers all of its time once, whatever length is asked for and when", () => {
  const queue = new WindowQueue(10, 30, 9_990);
  const taken: { startMs: number; lengthMs: number }[] = [];
  for (let step = 1; step <= 400; step++) {
    queue.lengthMs = [10, 60, 30, 20][(step * 7) % 4] as number;
    queue.extend(Math.min(9_990, step * 31));
    for (let count = (step * 5) % 3; count > 0; count--) {
      const window = queue.take(step % 3 !== 0);
      if (window === undefined) break;
      if (step % 11 === 0) queue.retry({ ...window, form });
      else taken.push(window);
    }
  }
  for (let window = queue.take(true); window !== undefined; window = queue.take(true)) taken.push(window);
  let endMs = 30;
  for (const { startMs, lengthMs } of taken.sort((a, b) => a.startMs - b.startMs)) {
    expect(startMs).toBe(endMs);
    endMs = startMs + lengthMs;
  }
  expect(endMs).toBe(9_990);
});
