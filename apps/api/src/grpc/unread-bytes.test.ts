// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { BufferPool } from "../common/buffer-pool.ts";
import { UNREAD_BYTES_MIN, UnreadBytes } from "./unread-bytes.ts";

const makeUnread = (pool = new BufferPool(1_000_000, UNREAD_BYTES_MIN)) => new UnreadBytes(pool);

describe("UnreadBytes", () => {
  it("gives back what came, in order, however it came and is read", () => {
    let seed = 3;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (let round = 0; round < 50; round++) {
      const unread = makeUnread();
      let [written, read] = [0, 0];
      for (let step = 0; step < 100; step++) {
        const chunk = Buffer.from(Array.from({ length: random(random(4) === 0 ? 20_000 : 300) }, (_, index) => (written + index) % 251));
        const before = random(5);
        unread.append(Buffer.concat([Buffer.alloc(before, 0xff), chunk]), before);
        written += chunk.length;
        // The transport's memory is others' again.
        chunk.fill(0xee);
        expect(unread.length).toBe(written - read);
        const view = unread.view();
        const taken = random(view.length + 1);
        for (let at = 0; at < taken; at++) if (view[at] !== (read + at) % 251) throw new Error(`byte ${read + at} is ${view[at]}`);
        unread.skip(taken);
        read += taken;
      }
      expect(read).toBeGreaterThan(10_000);
    }
  });

  it("holds no more memory for a chunk of one byte after the other than for all at once", () => {
    const taken: number[] = [];
    const pool = new BufferPool(0, UNREAD_BYTES_MIN);
    const take = pool.take.bind(pool);
    pool.take = (length) => {
      const buffer = take(length);
      taken.push(buffer.buffer.byteLength);
      return buffer;
    };
    const unread = makeUnread(pool);
    for (let byte = 0; byte < 65_535; byte++) unread.append(Buffer.from([byte & 0xff]), 0);
    expect(Math.max(...taken)).toBe(65_536);
    expect(unread.length).toBe(65_535);
  });

  it("lets go of its memory when all is read, and when it is cleared", () => {
    const pool = new BufferPool(1_000_000, UNREAD_BYTES_MIN);
    const first = makeUnread(pool);
    first.append(Buffer.alloc(50_000, 1), 0);
    const { buffer } = first.view();
    first.skip(50_000);
    const second = makeUnread(pool);
    second.append(Buffer.alloc(50_000, 2), 0);
    expect(second.view().buffer).toBe(buffer);
    second.clear();
    expect(second.length).toBe(0);
    first.append(Buffer.alloc(50_000, 3), 0);
    expect(first.view().buffer).toBe(buffer);
  });
});
