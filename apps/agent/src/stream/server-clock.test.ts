// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { ServerClock } from "./server-clock.ts";

const day = 86_400_000;
const now = 1_700_000_000_000;
const elapsed = 1_000_000;
/** Shift of a window measured while the wall clock was right. */
const rightShift = now - elapsed;

function measured(serverTimeMs = now, roundTripMs = 10): ServerClock {
  const clock = new ServerClock(1n);
  clock.observe(serverTimeMs, elapsed - roundTripMs / 2, elapsed + roundTripMs / 2);
  return clock;
}

describe("ServerClock", () => {
  it("changes nothing while the clocks agree within two seconds", () => {
    expect(measured(now + 1_900).offsetNowMs(now, elapsed)).toBe(0);
    expect(measured(now - 1_900).offsetOfFrameMs({ bootTag: 1n, shiftMs: rightShift }, now, elapsed)).toBe(0);
  });

  it("moves windows of a host whose clock is a day off by exactly that day", () => {
    expect(measured(now - day).offsetNowMs(now, elapsed)).toBe(-day);
    expect(measured(now + day).offsetOfFrameMs({ bootTag: 1n, shiftMs: rightShift }, now, elapsed)).toBe(day);
  });

  it("knows windows measured before and after a step of the host's clock apart", () => {
    const clock = measured(now);
    const wrong = { bootTag: 1n, shiftMs: rightShift + day };
    const right = { bootTag: 1n, shiftMs: rightShift };
    expect([clock.offsetOfFrameMs(wrong, now, elapsed), clock.offsetOfFrameMs(right, now, elapsed)]).toEqual([-day, 0]);
    expect([clock.offsetOfFrameMs(wrong, now + day, elapsed), clock.offsetOfFrameMs(right, now + day, elapsed)]).toEqual([-day, 0]);
  });

  it("sends a frame again with the offset it was first sent with", () => {
    expect(measured(now - day).offsetOfFrameMs({ bootTag: 1n, shiftMs: rightShift, sentOffsetMs: 0 }, now, elapsed)).toBe(0);
  });

  it("corrects a frame that was refused for its offset", () => {
    expect(measured(now - day).correctedOffsetMs({ bootTag: 1n, shiftMs: rightShift, sentOffsetMs: 0 }, now, elapsed)).toBe(-day);
  });

  it("goes by what was known then for a frame of an earlier boot", () => {
    const clock = measured(now - day);
    expect(clock.offsetOfFrameMs({ bootTag: 2n, shiftMs: 5, knownOffsetMs: -3_000 }, now, elapsed)).toBe(-3_000);
    expect(clock.offsetOfFrameMs({ bootTag: 2n, shiftMs: 5 }, now, elapsed)).toBe(-day);
  });

  it("takes no delay of the network for a difference of the clocks", () => {
    const late = new ServerClock(1n);
    // Asked, and answered after 7 s of which nobody knows where they were spent: the clocks may agree.
    late.observe(now - 6_000, elapsed - 7_000, elapsed);
    expect(late.offsetNowMs(now, elapsed)).toBe(0);
    // A message that nobody asked for, 2.5 s under way.
    const clock = measured();
    clock.observe(now - 2_500, undefined, elapsed);
    expect(clock.offsetNowMs(now, elapsed)).toBe(0);
    // One from the future was not under way for less than no time.
    clock.observe(now + 2_500, undefined, elapsed);
    expect(clock.offsetNowMs(now, elapsed)).toBe(2_500);
  });

  it("is the surer of a difference the quicker it is answered", () => {
    const clock = new ServerClock(1n);
    clock.observe(now - 4_000, elapsed - 6_000, elapsed);
    expect(clock.offsetNowMs(now, elapsed)).toBe(0);
    clock.observe(now - 4_000, elapsed - 100, elapsed);
    expect(clock.offsetNowMs(now, elapsed)).toBe(-3_950);
  });

  it("does not follow the jitter of the network, but a change of the clock", () => {
    const clock = measured(now - day);
    clock.observe(now - day + 180, elapsed, elapsed);
    expect(clock.offsetNowMs(now, elapsed)).toBe(-day);
    clock.observe(now - day + 3_000, elapsed - 4_000, elapsed + 4_000);
    expect(clock.offsetNowMs(now, elapsed)).toBe(-day);
    clock.observe(now - day + 3_000, elapsed, elapsed);
    expect(clock.offsetNowMs(now, elapsed)).toBe(-day + 3_000);
  });
});
