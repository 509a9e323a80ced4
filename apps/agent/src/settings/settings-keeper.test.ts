// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Settings } from "@waggle/proto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLogger, silentLogger } from "../log.ts";
import { SettingsKeeper } from "./settings-keeper.ts";

const machineKey = "a".repeat(64);
const set: Settings = {
  revision: 5n,
  windowMs: 1_000,
  signalsOff: ["tcp_rtt", "energy"],
  watchedProcesses: ["nginx"],
  cpuBudgetCores: 0.1,
  rowsMax: 500,
};

let stateDirectory: string;
beforeEach(() => {
  stateDirectory = mkdtempSync(join(tmpdir(), "waggle-settings-"));
});
afterEach(() => rmSync(stateDirectory, { recursive: true, force: true }));
const file = () => join(stateDirectory, "settings.json");

/** A keeper, and what its source was told last. */
function make(key = machineKey, log = silentLogger) {
  const told: { off?: string[]; reason?: string; watched?: string[]; budget?: number } = {};
  const source = {
    setDisabled: (signals: ReadonlySet<string>, reason: string) => Object.assign(told, { off: [...signals], reason }),
    setWatched: (processes: ReadonlySet<string>) => Object.assign(told, { watched: [...processes] }),
    setBudget: (budget: number) => Object.assign(told, { budget }),
  };
  const keeper = new SettingsKeeper({ stateDirectory, machineKey: key, source, own: { rowsMax: 2_000, cpuBudget: 0.02 }, log });
  return { keeper, told };
}

describe("SettingsKeeper", () => {
  it("follows what the server told, says so once, and keeps it for the agent's user alone", async () => {
    const { keeper, told } = make();
    expect(keeper.report).toBeUndefined();
    expect(await keeper.accept(set)).toBe(true);
    expect(told).toEqual({ off: ["tcp_rtt", "energy"], reason: "switched off by the server", watched: ["nginx"], budget: 0.1 });
    expect(keeper.report).toEqual({ revision: 5n, problems: [] });
    expect(await keeper.accept({ ...set })).toBe(false);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
  });

  it("goes back to its own configuration in what is not set any more", async () => {
    const { keeper, told } = make();
    await keeper.accept(set);
    expect(
      await keeper.accept({ revision: 6n, windowMs: undefined, signalsOff: [], watchedProcesses: [], cpuBudgetCores: undefined, rowsMax: undefined }),
    ).toBe(true);
    expect(told).toMatchObject({ off: [], watched: [], budget: 0.02 });
    expect(keeper.inForce).toMatchObject({ from: "server", settings: { revision: 6, windowMs: null, rowsMax: null } });
  });

  it("starts with what was kept, and acknowledges the same again when the server says it", async () => {
    await make().keeper.accept(set);
    const { keeper, told } = make();
    keeper.restore();
    expect(told).toMatchObject({ off: ["tcp_rtt", "energy"], watched: ["nginx"], budget: 0.1 });
    expect(keeper.inForce).toMatchObject({ from: "file", settings: { revision: 5, windowMs: 1_000, rowsMax: 500 } });
    expect(await keeper.accept(set)).toBe(true);
    expect(keeper.inForce?.from).toBe("server");
  });

  it("changes nothing for an API that says nothing of settings", async () => {
    await make().keeper.accept(set);
    const { keeper } = make();
    keeper.restore();
    expect(await keeper.accept(undefined)).toBe(false);
    expect(keeper.inForce).toMatchObject({ from: "file", settings: { revision: 5 } });
  });

  it.each([
    ["is torn", (text: string) => text.slice(0, 60)],
    ["another version", (text: string) => text.replace('"formatVersion": 1', '"formatVersion": 9')],
    ["another machine's", (text: string) => text.replace(machineKey, "b".repeat(64))],
    ["does not hold settings", (text: string) => text.replace('"signalsOff"', '"signals"')],
  ])("ignores a file that %s, and warns", async (why, damage) => {
    await make().keeper.accept(set);
    writeFileSync(file(), damage(readFileSync(file(), "utf8")));
    const lines: string[] = [];
    const { keeper, told } = make(
      machineKey,
      createLogger("warn", (line) => lines.push(line)),
    );
    keeper.restore();
    expect(keeper.inForce).toBeUndefined();
    expect(told).toEqual({});
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(why);
  });

  it("does what it can and says in words what it cannot", async () => {
    const { keeper, told } = make();
    await keeper.accept({
      revision: 9n,
      windowMs: 7_000,
      signalsOff: ["tcp_rtt", "of_tomorrow", "agent_coverage"],
      watchedProcesses: ["nginx", "a-name-of-16-byt"],
      cpuBudgetCores: Number.NaN,
      rowsMax: 5_000,
    });
    expect(told).toMatchObject({ off: ["tcp_rtt"], watched: ["nginx"], budget: 0.02 });
    expect(keeper.report?.revision).toBe(9n);
    for (const text of ["7000 ms", "of_tomorrow", "agent_coverage", "a-name-of-16-byt", "NaN cores", "WAGGLE_AGENT_ROWS_MAX of 2000"])
      expect(keeper.report?.problems.filter((problem) => problem.includes(text))).toHaveLength(1);
    expect(keeper.report?.problems).toHaveLength(6);
  });

  it("follows settings that it cannot keep, says so, and tries again with the next Config", async () => {
    const { keeper } = make();
    rmSync(stateDirectory, { recursive: true });
    await keeper.accept(set);
    expect(keeper.report).toEqual({ revision: 5n, problems: [expect.stringContaining("could not be kept")] });
    mkdirSync(stateDirectory);
    expect(await keeper.accept(set)).toBe(true);
    expect(keeper.report).toEqual({ revision: 5n, problems: [] });
  });
});
