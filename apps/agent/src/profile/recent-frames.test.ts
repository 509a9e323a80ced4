// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { Mappings } from "./address-spaces.ts";
import { RecentFrames } from "./recent-frames.ts";

it("keeps a frame for its address until another one takes the slot, and for the window", () => {
  const recent = new RecentFrames();
  const mappings = new Mappings(1);
  const address = 0x7f12_3456_789a;
  const slot = recent.slotOf(address);
  expect(recent.addresses[slot]).not.toBe(address);
  recent.set(slot, address, mappings, "main [a]");
  expect([recent.addresses[slot], recent.mappings[slot], recent.frames[slot]]).toEqual([address, mappings, "main [a]"]);
  recent.clear();
  expect([recent.addresses[slot] === address, recent.mappings[slot], recent.frames[slot]]).toEqual([false, undefined, ""]);
});

it("has a slot for every address", () => {
  const recent = new RecentFrames();
  const slots = Array.from({ length: 10_000 }, (_, index) => recent.slotOf(0x5555_0000_0000 + index * 4_099));
  expect(slots.every((slot) => slot >= 0 && slot < recent.addresses.length)).toBe(true);
  expect(new Set(slots).size).toBeGreaterThan(2_000);
});
