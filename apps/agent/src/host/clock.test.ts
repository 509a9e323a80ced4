// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SystemClock } from "./clock.ts";

describe("SystemClock", () => {
  let root: string;
  let wallMs: number;
  /** What the kernel says the machine has been up, ahead of the clock that stands still while it sleeps. */
  const sleep = (ms: number): void => writeFileSync(join(root, "proc/uptime"), `${(Number(process.hrtime.bigint()) / 1e6 + ms) / 1_000} 0.00\n`);
  /** Time since boot ahead of that clock, as it is told. */
  const sleptMs = (clock: SystemClock): number => clock.elapsedMs() - Number(process.hrtime.bigint()) / 1e6;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "waggle-clock-"));
    mkdirSync(join(root, "proc"));
    wallMs = 0;
    vi.spyOn(Date, "now").mockImplementation(() => 1_800_000_000_000 + Number(process.hrtime.bigint()) / 1e6 + wallMs);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    rmSync(root, { recursive: true });
  });

  it("counts what the machine slept, before and since", () => {
    sleep(7_000);
    const clock = new SystemClock(root);
    expect(sleptMs(clock) / 1_000).toBeCloseTo(7, 0);
    wallMs += 60_000;
    sleep(67_000);
    expect(sleptMs(clock) / 1_000).toBeCloseTo(67, 0);
  });

  it("takes a stepped wall clock for no sleep", () => {
    sleep(0);
    const clock = new SystemClock(root);
    expect(sleptMs(clock) / 1_000).toBeCloseTo(0, 0);
    wallMs -= 3_600_000;
    sleep(0);
    expect(sleptMs(clock) / 1_000).toBeCloseTo(0, 0);
  });
});
