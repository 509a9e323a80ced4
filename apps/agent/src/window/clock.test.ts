// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { WindowClock, windowLengthMsMax } from "./clock.ts";

const base = 1_700_000_000_000;

/** A host whose wall clock can be set and whose time since boot cannot. */
class Host {
  wall: number;
  elapsed = 5_000;
  constructor(wall: number) {
    this.wall = wall;
  }
  pass(ms: number): this {
    this.wall += ms;
    this.elapsed += ms;
    return this;
  }
  step(ms: number): this {
    this.wall += ms;
    return this;
  }
  clock(lastStartMs?: number): WindowClock {
    return new WindowClock({ windowMs: 10_000, wallMs: this.wall, elapsedMs: this.elapsed, lastStartMs });
  }
}

describe("WindowClock", () => {
  it("starts with a partial window that ends at the next multiple", () => {
    const host = new Host(base + 3_200);
    const clock = host.clock();
    expect(clock.delayMs(host.wall)).toBe(6_800);
    host.pass(6_803);
    expect(clock.close(host.wall, host.elapsed)).toEqual({ startMs: base + 3_200, lengthMs: 6_800, shiftMs: base - 1_800, steppedMs: 0 });
    expect(clock.delayMs(host.wall)).toBe(9_997);
  });

  it("records the boundary that was meant although timers are late, and never drifts", () => {
    const host = new Host(base);
    const clock = host.clock();
    for (let window = 0; window < 50; window++) {
      host.pass(clock.delayMs(host.wall) + (window % 7) * 3);
      expect(clock.close(host.wall, host.elapsed)).toMatchObject({ startMs: base + window * 10_000, lengthMs: 10_000, steppedMs: 0 });
    }
  });

  it("ends the window at the boundary it began for when another length is asked for meanwhile, and the next one at a multiple of that", () => {
    const host = new Host(base + 20_000);
    const clock = host.clock();
    clock.windowMs = 60_000;
    expect(clock.delayMs(host.wall)).toBe(10_000);
    host.pass(10_004);
    expect(clock.close(host.wall, host.elapsed)).toMatchObject({ startMs: base + 20_000, lengthMs: 10_000 });
    const delayMs = clock.delayMs(host.wall);
    expect((host.wall + delayMs) % 60_000).toBe(0);
    clock.windowMs = 1_000;
    host.pass(delayMs + 2);
    const { startMs, lengthMs } = clock.close(host.wall, host.elapsed);
    expect([startMs, (startMs + lengthMs) % 60_000]).toEqual([base + 30_000, 0]);
    expect(clock.delayMs(host.wall)).toBe(998);
  });

  it("ends a window early at the second that was meant, and what is left of it where it was to end, without gap or overlap", () => {
    const host = new Host(base);
    const clock = host.clock();
    const windows = [3_000, 5_000, 9_000, 10_000, 14_000, 20_000].map((atMs) => {
      host.pass(base + atMs - host.wall + 4);
      return clock.close(host.wall, host.elapsed, atMs % 10_000 !== 0);
    });
    expect(windows.map(({ startMs, lengthMs }) => [startMs - base, lengthMs])).toEqual([
      [0, 3_000],
      [3_000, 2_000],
      [5_000, 4_000],
      [9_000, 1_000],
      [10_000, 4_000],
      [14_000, 6_000],
    ]);
    expect(windows.every(({ steppedMs }) => steppedMs === 0)).toBe(true);
  });

  it("ends what is left of a window at the boundary however little that is, and starts the tenth that a whole one would leave to the next as before", () => {
    const host = new Host(base);
    const clock = host.clock();
    host.pass(9_004);
    clock.close(host.wall, host.elapsed, true);
    expect(clock.delayMs(host.wall)).toBe(996);
    expect(clock.lengthMs(host.wall)).toBe(1_000);
    host.pass(997);
    expect(clock.close(host.wall, host.elapsed)).toMatchObject({ startMs: base + 9_000, lengthMs: 1_000 });
    expect(clock.lengthMs(host.wall)).toBe(10_000);
    expect(new Host(base + 9_400).clock().lengthMs(base + 9_400)).toBe(10_600);
  });

  it("records a window that ended well after the second that was meant as it was", () => {
    const host = new Host(base);
    const clock = host.clock();
    host.pass(3_300);
    expect(clock.close(host.wall, host.elapsed, true)).toMatchObject({ startMs: base, lengthMs: 3_300 });
    expect(clock.delayMs(host.wall)).toBe(6_700);
  });

  it("leaves a sliver before the first boundary to the next window", () => {
    const host = new Host(base + 9_800);
    expect(host.clock().delayMs(host.wall)).toBe(10_200);
  });

  it("gives one longer window after a sleep", () => {
    const host = new Host(base);
    const clock = host.clock();
    host.pass(300_004);
    expect(clock.close(host.wall, host.elapsed)).toMatchObject({ startMs: base, lengthMs: 300_000, steppedMs: 0 });
  });

  it("keeps to the longest window the wire can say, ending when it ended", () => {
    const host = new Host(base);
    const clock = host.clock();
    host.pass(8 * 3_600_000);
    const window = clock.close(host.wall, host.elapsed);
    expect(window.lengthMs).toBe(windowLengthMsMax);
    expect(window.startMs + window.lengthMs).toBe(base + 8 * 3_600_000);
  });

  it("keeps the true length when the clock is stepped forward, leaves a gap and lines up again", () => {
    const host = new Host(base);
    const clock = host.clock();
    host.pass(10_000).step(3_723_456);
    expect(clock.close(host.wall, host.elapsed)).toMatchObject({ startMs: base, lengthMs: 10_000, steppedMs: 3_723_456 });
    const realigned = host.wall;
    host.pass(clock.delayMs(host.wall));
    const next = clock.close(host.wall, host.elapsed);
    expect(next.startMs).toBe(realigned);
    expect((next.startMs + next.lengthMs) % 10_000).toBe(0);
    expect(next.shiftMs - (base - 5_000)).toBe(3_723_456);
  });

  it("goes on from the new time after a step back shorter than a window", () => {
    const host = new Host(base);
    const clock = host.clock();
    host.pass(10_000).step(-1_500);
    expect(clock.close(host.wall, host.elapsed)).toMatchObject({ startMs: base, lengthMs: 10_000, steppedMs: -1_500 });
    host.pass(clock.delayMs(host.wall));
    expect(clock.close(host.wall, host.elapsed)).toMatchObject({ startMs: base + 8_500, steppedMs: 0 });
  });

  it("never repeats a start after a step back by an hour, and returns to the wall clock once that has caught up", () => {
    const host = new Host(base);
    const clock = host.clock();
    host.pass(10_000);
    const starts = [clock.close(host.wall, host.elapsed).startMs];
    const stepsSeen: number[] = [];
    host.pass(5_000).step(-3_600_000).pass(5_000);
    for (let window = 0; window < 370; window++) {
      const startedAt = host.elapsed;
      const closed = clock.close(host.wall, host.elapsed);
      starts.push(closed.startMs);
      if (closed.steppedMs !== 0) stepsSeen.push(closed.steppedMs);
      // The start's true time can be told from the shift whatever the start says.
      expect(closed.startMs - closed.shiftMs + closed.lengthMs).toBe(startedAt);
      host.pass(clock.delayMs(host.wall));
    }
    expect(starts.every((start, index) => index === 0 || start > (starts[index - 1] as number))).toBe(true);
    expect(stepsSeen).toEqual([-3_600_000]);
    const last = clock.close(host.wall, host.elapsed);
    expect(last.startMs + last.lengthMs).toBe(host.wall);
    expect(last.lengthMs).toBe(10_000);
  });

  it("starts behind what an earlier run recorded although the clock now shows an earlier time", () => {
    const host = new Host(base);
    const clock = host.clock(base + 100_000);
    host.pass(10_000);
    expect(clock.close(host.wall, host.elapsed)).toMatchObject({ startMs: base + 100_001, lengthMs: 10_000 });
  });
});
