// SPDX-License-Identifier: Apache-2.0
import type { Settings } from "@waggle/proto";
import { describe, expect, it } from "vitest";
import { settingsAnswer } from "./settings-answer.ts";

const settings: Settings = {
  revision: 3n,
  windowMs: 20_000,
  signalsOff: [],
  watchedProcesses: [],
  cpuBudgetCores: undefined,
  rowsMax: 100,
};
const tens = (askedMs: number) => Math.max(1, Math.ceil(askedMs / 10_000)) * 10_000;

describe("settingsAnswer", () => {
  it("acknowledges what a simulated host follows, and names what it does not", () => {
    expect(settingsAnswer(settings, tens)).toEqual({ revision: 3n, problems: [] });
    const { problems } = settingsAnswer(
      { ...settings, windowMs: 1_000, signalsOff: ["tcp_rtt"], watchedProcesses: ["nginx"], cpuBudgetCores: 0.1 },
      tens,
    );
    expect(problems).toHaveLength(4);
    expect(problems.join()).toMatch(/1000 ms become 10000 ms.*tcp_rtt/);
  });
});
