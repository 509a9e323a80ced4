// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { BufferPool } from "./buffer-pool.ts";

it("hands a buffer that was given back to the next one it is large enough for, with the length asked for", () => {
  const pool = new BufferPool(1_000_000);
  const first = pool.take(100_000);
  expect(first).toHaveLength(100_000);
  const other = pool.take(100_000);
  expect(other.buffer).not.toBe(first.buffer);
  pool.give(first);
  const second = pool.take(130_000);
  expect(second.buffer).toBe(first.buffer);
  expect(second).toHaveLength(130_000);
  pool.give(second);
  expect(pool.take(200_000).buffer).not.toBe(first.buffer);
});

it("keeps no more than it may", () => {
  const pool = new BufferPool(200_000);
  const [a, b] = [pool.take(100_000), pool.take(100_000)];
  pool.give(a);
  pool.give(b);
  expect(pool.take(100_000).buffer).toBe(a.buffer);
  expect(pool.take(100_000).buffer).not.toBe(b.buffer);
});
