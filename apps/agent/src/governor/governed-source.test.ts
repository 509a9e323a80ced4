// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, it, vi } from "vitest";
import { ProgramCosts } from "../snapshot/program-costs.ts";
import { exactMode, unwantedPrograms, type WindowMode } from "../snapshot/window-mode.ts";
import { type Governed, GovernedSource, type GovernedWindow } from "./governed-source.ts";

const BUDGET = 0.1;
const PROGRAMS = ["on_sys_enter", "on_sys_exit", "on_sched_switch", "on_mark_victim"];
const NS = 200;

/** A kernel whose hooks are run as often as a test says, by a clock that a test moves. */
class Host {
  nowMs = 1_000;
  mode: WindowMode = exactMode;
  readonly #next = { mode: exactMode as WindowMode };
  readonly #runs = new Map(PROGRAMS.map((program) => [program, { runs: 0, ns: 0 }]));
  #rates: Readonly<Record<string, number>> = {};

  readonly source = {
    costs: () => {
      const figures = PROGRAMS.flatMap((program) => {
        const { runs, ns } = this.#runs.get(program) as { runs: number; ns: number };
        return [runs, runs / 1_000, ns / 1_000];
      });
      return new ProgramCosts(this.nowMs, PROGRAMS, Float64Array.from(figures));
    },
    programs: () => PROGRAMS.map((program) => ({ program, attached: !unwantedPrograms(this.mode).has(program) })),
    setSavings: (mode: WindowMode) => {
      this.#next.mode = mode;
    },
    readWindow: async (_rowsMax: number | undefined, beforeFlip: () => void) => {
      beforeFlip();
      this.mode = this.#next.mode;
      const off = PROGRAMS.filter((program) => unwantedPrograms(this.mode).has(program));
      return { maps: [], savedRates: new Map(off.map((program) => [program, this.#rates[program] ?? 0])), costs: this.source.costs() };
    },
  };

  pass(seconds: number, rates: Readonly<Record<string, number>> = {}): void {
    this.nowMs += seconds * 1_000;
    this.#rates = rates;
    for (const [program, perSecond] of Object.entries(rates)) {
      const known = this.#runs.get(program) as { runs: number; ns: number };
      if (unwantedPrograms(this.mode).has(program)) continue;
      const shift = program.startsWith("on_sys") ? (this.mode.sampling.get("calls")?.shift ?? 0) : 0;
      known.runs += perSecond * seconds;
      known.ns += perSecond * seconds * (15 + (NS - 15) / 2 ** shift);
    }
  }
}

let host: Host;
let governed: GovernedSource;
let changes: string[];
const calm = { on_sys_enter: 10_000, on_sys_exit: 10_000 };
/** Takes all that programs can take of two CPUs. */
const flood = { on_sys_enter: 2_500_000, on_sys_exit: 2_500_000 };
/** Of what can never be given up. */
const lasting = { on_mark_victim: 5_000_000 };

beforeEach(() => {
  host = new Host();
  changes = [];
  vi.spyOn(performance, "now").mockImplementation(() => host.nowMs);
  governed = new GovernedSource(host.source as unknown as Governed, {
    budget: BUDGET,
    cpuNs: () => 0,
    onChange: ({ steps }) => changes.push(steps.map(({ name }) => name).join()),
  });
  return () => vi.restoreAllMocks();
});

/** Runs a window as the loop does, looking at each second; returns its length in seconds. */
async function runWindow(
  load: (second: number) => Readonly<Record<string, number>>,
  lengthS = 10,
): Promise<{ seconds: number; window: GovernedWindow }> {
  governed.beginWindow({ lengthMs: lengthS * 1_000, regularMs: 10_000 });
  let seconds = 0;
  while (seconds < lengthS) {
    host.pass(1, load(seconds++));
    if (seconds < lengthS && "endNow" in governed.look()) break;
  }
  return { seconds, window: await governed.readWindow() };
}
const stepsOf = ({ governor }: GovernedWindow): string[] => governor.steps.map(({ name }) => name);

describe("GovernedSource", () => {
  it("has what was decided at the end of a window in force in the one that follows", async () => {
    await runWindow(() => calm);
    const { window } = await runWindow(() => flood, 1);
    expect(stepsOf(window)).toEqual(["off-calls"]);
    expect(host.mode.off.get("syscalls")?.state).toBe("shed");
    expect(changes).toEqual(["off-calls"]);
  });

  it("ends a window as soon as it is sure to be far over the budget, and decides by what the load costs, however late it began", async () => {
    await runWindow(() => calm);
    const { seconds, window } = await runWindow((second) => (second < 5 ? calm : flood));
    expect(seconds).toBe(7);
    expect(window.governor.endedEarly).toContain("over twice the budget");
    expect(stepsOf(window)).toEqual(["off-calls"]);
    const rest = await runWindow(() => flood, 3);
    expect(rest.seconds).toBe(3);
    expect(rest.window.governor).toMatchObject({ endedEarly: null, isExhausted: false });
    expect(changes).toEqual(["off-calls"]);
  });

  it("leaves a window alone that may still keep to twice the budget", async () => {
    await runWindow(() => calm);
    // 0.18 of a core.
    const { seconds, window } = await runWindow(() => ({ on_sys_enter: 340_000, on_sys_exit: 340_000 }));
    expect([seconds, window.governor.endedEarly, stepsOf(window)]).toEqual([10, null, []]);
  });

  it("corrects as fast what did not suffice", async () => {
    await runWindow(() => calm);
    const first = await runWindow(() => ({ on_sys_enter: 1_000_000, on_sys_exit: 1_000_000 }));
    expect(first.seconds).toBeLessThan(10);
    const sampled = stepsOf(first.window);
    const second = await runWindow(() => ({ on_sys_enter: 5_000_000, on_sys_exit: 5_000_000, on_sched_switch: 3_000_000 }));
    expect(second.seconds).toBeLessThan(first.seconds);
    expect(stepsOf(second.window)).not.toEqual(sampled);
    expect(changes).toHaveLength(2);
  });

  it("ends no window early where nothing is left that would help, however long that lasts", async () => {
    await runWindow(() => calm);
    for (let window = 0; window < 30; window++) {
      const { seconds, window: read } = await runWindow(() => ({ ...flood, ...lasting }));
      if (window > 0) expect(seconds).toBe(10);
      if (window > 0) expect(read.governor.isExhausted).toBe(true);
    }
  });

  it("ends at most three windows early before one ends at its boundary, whatever comes", async () => {
    const early: boolean[] = [];
    let left = 10;
    for (let window = 0; window < 200; window++) {
      // Another load in each window: what was found for the last one is of no use.
      const load = Object.fromEntries(PROGRAMS.slice(0, 3).map((program, index) => [program, (window + index) % 3 === 0 ? 6_000_000 : 0]));
      const { seconds } = await runWindow(() => load, left);
      early.push(seconds < left);
      left = seconds < left ? left - seconds : 10;
    }
    expect(early.join().includes("true,true,true,true")).toBe(false);
    expect(early).toContain(true);
  });

  it("needs no look that cannot show anything: on a few CPUs even a flood takes a while, and a window of a second is over before", () => {
    expect(governed.beginWindow({ lengthMs: 1_000, regularMs: 1_000 })).toBeGreaterThan(0);
    const whole = governed.beginWindow({ lengthMs: 10_000, regularMs: 10_000 });
    host.pass(1, calm);
    const looked = governed.look();
    expect(looked).toEqual({ againInMs: expect.any(Number) });
    expect((looked as { againInMs: number }).againInMs).toBeLessThan(whole);
  });
});
