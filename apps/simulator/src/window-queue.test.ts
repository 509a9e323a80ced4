// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { WindowQueue } from "./window-queue.ts";

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
  queue.retry(30);
  queue.retry(50);
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
