// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { hostState } from "./host-state.ts";

const now = 1_800_000_000_000;

describe("a host", () => {
  it.each([
    [null, 10_000, "waiting"],
    [now, 10_000, "reporting"],
    [now + 5_000, 10_000, "reporting"],
    [now - 30_000, 10_000, "reporting"],
    [now - 40_000, 10_000, "late"],
    [now - 120_000, 10_000, "late"],
    [now - 120_001, 10_000, "offline"],
    // Nor are those that somebody looks at, whose windows are short meanwhile.
    [now - 30_000, 1_000, "reporting"],
    // Hosts with longer windows are not late after a single one.
    [now - 120_000, 60_000, "reporting"],
    [now - 300_000, 60_000, "late"],
  ])("whose newest window ended at %s, of %s ms, is %s", (end, windowMs, state) => {
    expect(hostState(end, windowMs, now)).toBe(state);
  });
});
