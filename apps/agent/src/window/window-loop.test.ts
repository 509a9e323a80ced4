// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Snapshot } from "@waggle/proto";
import { hostSignals } from "@waggle/signals";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { silentLogger } from "../log.ts";
import { Spool } from "../spool/spool.ts";
import { ServerClock } from "../stream/server-clock.ts";
import type { WindowPlan, WindowSource } from "./source.ts";
import { UnavailableSource } from "./unavailable-source.ts";
import { type SpooledWindow, WindowLoop } from "./window-loop.ts";

let stateDirectory: string;
let spool: Spool;
/** 3.2 s into a ten-second window. */
const clock = { wall: 0, elapsed: 0, wallMs: () => clock.wall, elapsedMs: () => clock.elapsed };
const identity = { machineKey: "a".repeat(64), machineKeySource: "machine-id", bootId: "boot", bootTag: 7n } as const;

beforeEach(() => {
  stateDirectory = mkdtempSync(join(tmpdir(), "waggle-loop-"));
  spool = Spool.open({ stateDirectory, bytesMax: 1e8, framesMax: 100, log: silentLogger });
  Object.assign(clock, { wall: 1_700_000_003_200, elapsed: 50_000 });
});
afterEach(() => rmSync(stateDirectory, { recursive: true, force: true }));

function startLoop(source: WindowSource, windows: SpooledWindow[] = [], sleep?: (ms: number) => Promise<void>): WindowLoop {
  const loop = new WindowLoop({
    source,
    spool,
    clock,
    serverClock: new ServerClock(7n),
    identity,
    windowMs: 10_000,
    log: silentLogger,
    onWindow: (window) => windows.push(window),
    ...(sleep && { sleep }),
  });
  loop.start();
  return loop;
}

const pass = (ms: number) => Object.assign(clock, { wall: clock.wall + ms, elapsed: clock.elapsed + ms });
const snapshot = async (sequence: number) => Snapshot.decode((await spool.read(sequence))?.payload as Uint8Array);

/** From the start of a window to the boundary of 10 s after it. */
const lengthOfPlan = (extents: readonly (readonly number[])[], index: number): number => 10_000 - ((extents[index]?.[0] ?? 0) % 10_000);

describe("WindowLoop", () => {
  it("spools the last, partial window with its true start and length when it stops", async () => {
    const windows: SpooledWindow[] = [];
    const loop = startLoop(new UnavailableSource("unsupported", "no BTF"), windows);
    pass(1_234);
    await loop.stop();
    expect(windows).toHaveLength(1);
    expect(await snapshot(1)).toMatchObject({ sequence: 1n, windowStartMs: 1_700_000_003_200n, windowMs: 1_234, bootId: "boot", clockOffsetMs: 0n });
    expect((await snapshot(1)).blocks.find((block) => block.signal === "agent_coverage")?.rows).toBe(hostSignals.length);
    expect(await spool.read(1)).toMatchObject({ bootTag: 7n, shiftMs: 1_700_000_003_200 - 50_000 });
  });

  it("ends the window when the source cut its counters, not when it was asked to", async () => {
    const data = await new UnavailableSource("failed", "").readWindow();
    const loop = startLoop({ readWindow: async () => ({ ...data, endedAtMs: clock.wall + 70 }), close: () => {} });
    pass(2_000);
    await loop.stop();
    expect((await snapshot(1)).windowMs).toBe(2_070);
  });

  it("reports a window that could not be read as failed, and goes on", async () => {
    const windows: SpooledWindow[] = [];
    const loop = startLoop({ readWindow: () => Promise.reject(new Error("EBADF")), close: () => {} }, windows);
    pass(1_000);
    await loop.stop();
    expect(windows[0]?.assembled.coverage.find((entry) => entry.signal === "syscalls")).toMatchObject({
      state: "failed",
      reason: expect.stringContaining("EBADF"),
    });
  });

  it("starts behind the last window of an earlier run", async () => {
    const first = startLoop(new UnavailableSource("failed", ""));
    pass(1_000);
    await first.stop();
    spool = Spool.open({ stateDirectory, bytesMax: 1e8, framesMax: 100, log: silentLogger });
    clock.wall -= 500_000;
    const second = startLoop(new UnavailableSource("failed", ""));
    pass(1_000);
    await second.stop();
    expect((await snapshot(2)).windowStartMs).toBeGreaterThan((await snapshot(1)).windowStartMs);
  });

  it("cuts at multiples of the length the API asks for, without gap, and claims each window, with a clock that runs at its own pace", async () => {
    const windows: SpooledWindow[] = [];
    const asked = new Map([
      [3, 60_000],
      [5, 1_000],
      [20, 10_000],
    ]);
    const loop: WindowLoop = startLoop(new UnavailableSource("failed", ""), windows, async (ms) => {
      const windowMs = asked.get(windows.length);
      if (windowMs !== undefined) loop.configure({ frameBytesMax: 0, refusedSignals: [], rowsMax: 0, windowMs });
      pass(ms);
      if (windows.length === 30) void loop.stop();
    });
    await loop.finished;
    const ends = windows.map(({ window }) => window.startMs + window.lengthMs);
    expect(windows.slice(1).map(({ window }) => window.startMs)).toEqual(ends.slice(0, -1));
    expect(ends.slice(0, 4).every((end) => end % 10_000 === 0)).toBe(true);
    expect(ends.slice(4, 6).every((end) => end % 60_000 === 0)).toBe(true);
    expect(ends.slice(6, 21).every((end) => end % 1_000 === 0)).toBe(true);
    expect(ends.slice(21, 30).every((end) => end % 10_000 === 0)).toBe(true);
    expect(spool.claims().reduce((sum, claim) => sum + claim.windows, 0)).toBe(windows.length);
    expect(spool.claims().reduce((sum, claim) => sum + claim.rows, 0)).toBe(
      windows.flatMap(({ assembled }) => assembled.blocks).reduce((sum, block) => sum + block.rows, 0),
    );
  });

  it("ends a window when the source wants it, at a second, and the next one at the boundary, without gap or overlap", async () => {
    const data = await new UnavailableSource("failed", "").readWindow();
    const windows: SpooledWindow[] = [];
    const plans: WindowPlan[] = [];
    const looksAt: number[] = [];
    const wanted = new Set([14_000, 19_000, 24_000, 26_000, 27_000]);
    const source: WindowSource = {
      beginWindow: (plan) => {
        plans.push(plan);
        return 0;
      },
      look: () => {
        const late = clock.wall % 1_000;
        expect(late).toBeLessThan(10);
        const at = clock.wall - late - 1_700_000_000_000;
        looksAt.push(at);
        return wanted.has(at) ? { endNow: "a test wants it" } : { againInMs: at < 30_000 ? 0 : Number.POSITIVE_INFINITY };
      },
      readWindow: async () => data,
      close: () => {},
    };
    const loop: WindowLoop = startLoop(source, windows, async (ms) => {
      // Timers are late.
      pass(Math.ceil(ms));
      if (windows.length === 9) void loop.stop();
    });
    await loop.finished;
    const extents = windows.slice(0, 9).map(({ window }) => [window.startMs - 1_700_000_000_000, window.lengthMs]);
    expect(extents).toEqual([
      [3_200, 6_800],
      [10_000, 4_000],
      [14_000, 5_000],
      [19_000, 1_000],
      [20_000, 4_000],
      [24_000, 2_000],
      [26_000, 1_000],
      [27_000, 3_000],
      [30_000, 10_000],
    ]);
    expect(plans.slice(0, 9)).toEqual(
      extents.map((_, index) => ({ regularMs: 10_000, lengthMs: index === 0 ? 6_800 : lengthOfPlan(extents, index) })),
    );
    // Not right after the start, nor when no look is worth while.
    expect(looksAt.slice(0, 3)).toEqual([4_000, 5_000, 6_000]);
    expect(looksAt.filter((at) => at >= 30_000 && at < 40_000)).toEqual([31_000]);
    expect(looksAt.every((at) => at % 10_000 !== 0)).toBe(true);
    for (const [index, { window }] of windows.entries()) expect(await snapshot(index + 1)).toMatchObject({ windowMs: window.lengthMs });
  });

  it("ends a window that cannot be looked at where it was to end", async () => {
    const data = await new UnavailableSource("failed", "").readWindow();
    const windows: SpooledWindow[] = [];
    const look = (): never => {
      throw new Error("EBADF");
    };
    const loop: WindowLoop = startLoop({ beginWindow: () => 0, look, readWindow: async () => data, close: () => {} }, windows, async (ms) => {
      pass(Math.ceil(ms));
      if (windows.length === 2) void loop.stop();
    });
    await loop.finished;
    expect(windows.slice(0, 2).map(({ window }) => window.lengthMs)).toEqual([6_800, 10_000]);
  });

  it("tells the source to keep to the rows the API asks for, until it asks no more", async () => {
    const data = await new UnavailableSource("failed", "").readWindow();
    const asked: (number | undefined)[] = [];
    const windows: SpooledWindow[] = [];
    const source = {
      readWindow: async (rowsMax?: number) => {
        asked.push(rowsMax);
        return data;
      },
      close: () => {},
    };
    const loop: WindowLoop = startLoop(source, windows, async (ms) => {
      if (windows.length > 0) loop.configure({ frameBytesMax: 0, refusedSignals: [], rowsMax: windows.length === 1 ? 50 : 0, windowMs: 0 });
      pass(ms);
      if (windows.length === 2) void loop.stop();
    });
    await loop.finished;
    expect(asked).toEqual([undefined, 50, undefined]);
  });

  it("takes a window length from the API, unless it makes no sense", () => {
    const loop = startLoop(new UnavailableSource("failed", ""));
    const config = { frameBytesMax: 0, refusedSignals: [], rowsMax: 0 };
    loop.configure({ ...config, windowMs: 1_000 });
    expect(loop.windowMs).toBe(1_000);
    for (const windowMs of [0, 5, 10_000_000]) loop.configure({ ...config, windowMs });
    expect(loop.windowMs).toBe(1_000);
    return loop.stop();
  });
});
