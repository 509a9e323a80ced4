// SPDX-License-Identifier: Apache-2.0
import type { Settings } from "@waggle/proto";
import { describe, expect, it } from "vitest";
import { settingsAnswer } from "./settings-answer.ts";

const settings: Settings = {
  revision: 3n,
  windowMs: 20_000,
  signalsOff: ["tcp_rtt"],
  watchedProcesses: [],
  cpuBudgetCores: undefined,
  rowsMax: 100,
};
const lengthFor = (askedMs: number) => Math.max(1, Math.ceil(askedMs / 10_000)) * 10_000;

describe("settingsAnswer", () => {
  it("acknowledges what a simulated host follows, and names what it does not", () => {
    expect(settingsAnswer(settings, { lengthFor, isReplay: false })).toEqual({ revision: 3n, problems: [] });
    const { problems } = settingsAnswer(
      { ...settings, windowMs: 1_000, signalsOff: ["tcp_rtt", "tcp_charm"], watchedProcesses: ["nginx"], cpuBudgetCores: 0.1 },
      { lengthFor, isReplay: false },
    );
    expect(problems).toHaveLength(4);
    expect(problems.join()).toMatch(/1000 ms become 10000 ms.*does not know tcp_charm/);
  });

  it("says that windows stay as they are on a host that goes on with an earlier run", () => {
    expect(settingsAnswer(settings, { lengthFor, isReplay: true }).problems).toEqual([expect.stringContaining("earlier run")]);
    expect(settingsAnswer({ ...settings, windowMs: undefined, signalsOff: [], rowsMax: undefined }, { lengthFor, isReplay: true }).problems).toEqual(
      [],
    );
  });
});
