// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { FrameSlabs, type HeldBytes } from "./frame-slabs.ts";

const message = (value: number, length: number): Buffer => Buffer.alloc(length, value);

describe("memory of waiting messages", () => {
  it("holds each message's bytes unchanged until it is released, in whatever order that happens", () => {
    const slabs = new FrameSlabs();
    const held: { value: number; length: number; own: HeldBytes }[] = [];
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed % below;
    };
    for (let round = 0; round < 1_000; round++) {
      const value = round % 251;
      const length = 1 + random(60_000);
      held.push({ value, length, own: slabs.hold(message(value, length), random(2) === 0) });
      while (held.length > 200) held.splice(random(held.length), 1)[0]?.own.release();
      const looked = held[random(held.length)] as (typeof held)[number];
      expect(looked.own.bytes.length).toBe(looked.length);
      expect(looked.own.bytes.every((byte) => byte === looked.value)).toBe(true);
    }
    for (const { value, own } of held) expect(own.bytes.every((byte) => byte === value)).toBe(true);
  });

  it("uses memory again once all messages in it are released", () => {
    const slabs = new FrameSlabs();
    const memories = new Set<ArrayBufferLike>();
    for (let round = 0; round < 1_000; round++) {
      const { bytes, release } = slabs.hold(message(1, 100_000), true);
      memories.add(bytes.buffer);
      release();
    }
    expect(memories.size).toBeLessThanOrEqual(2);
  });

  it("does not count a second release, so that nobody else's bytes are given away", () => {
    const slabs = new FrameSlabs();
    const first = slabs.hold(message(1, 200_000), true);
    const second = slabs.hold(message(2, 200_000), true);
    first.release();
    first.release();
    for (let round = 0; round < 50; round++) slabs.hold(message(3, 200_000), true).release();
    expect(second.bytes.every((byte) => byte === 2)).toBe(true);
  });

  it("takes no more of it for a few frames of the past among many of the present that come and go", () => {
    const slabs = new FrameSlabs();
    const memories = new Set<ArrayBufferLike>();
    for (let round = 0; round < 500; round++) {
      // Nobody stores the past; each of these stays.
      if (round % 50 === 0) memories.add(slabs.hold(message(1, 10_000), false).bytes.buffer);
      const { bytes, release } = slabs.hold(message(2, 100_000), true);
      memories.add(bytes.buffer);
      release();
    }
    expect(memories.size).toBeLessThanOrEqual(3);
  });

  it("leaves the message itself to whoever had it, of whatever size", () => {
    for (const length of [1, 100_000, 3_000_000]) {
      const mine = message(1, length);
      const { bytes } = new FrameSlabs().hold(mine, true);
      mine.fill(2);
      expect(bytes.every((byte) => byte === 1)).toBe(true);
    }
  });
});
