// SPDX-License-Identifier: Apache-2.0
import { catalogue } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { unwantedPrograms } from "../snapshot/window-mode.ts";
import { entryNs, Governor, type ProgramPaces, type WindowCost } from "./governor.ts";
import { ladder, signalsOfStep } from "./ladder.ts";

const BUDGET = 0.02;
/** What a run costs in full and when it is passed over, as on a real host. */
const fullNs: Readonly<Record<string, number>> = {
  on_sys_enter: 60,
  on_sys_exit: 130,
  on_sched_switch: 140,
  on_softirq_raise: 30,
  on_softirq_entry: 90,
};
const families: Readonly<Record<string, readonly string[]>> = {
  calls: ["on_sys_enter", "on_sys_exit"],
  switches: ["on_sched_switch"],
  softirqs: ["on_softirq_raise", "on_softirq_entry"],
};

/** Events a second by program, and the agent's share of a core. */
interface Load {
  readonly rates: Readonly<Record<string, number>>;
  readonly agent: number;
}
const calls = (perSecond: number): Load => ({ rates: { on_sys_enter: perSecond, on_sys_exit: perSecond, on_sched_switch: 2_000 }, agent: 0.004 });

/** A host whose windows are measured as the governor wanted it at the end of the one before. */
class Host {
  readonly governor = new Governor(BUDGET);

  /** Returns the true cost of the window. */
  window({ rates, agent }: Load): number {
    const mode = this.governor.mode;
    const unwanted = unwantedPrograms(mode);
    let kernel = 0;
    const programs = Object.entries(rates).map(([program, eventsPerSecond]) => {
      if (unwanted.has(program)) return { program, eventsPerSecond, nsPerEvent: 0 };
      const family = Object.keys(families).find((name) => families[name]?.includes(program)) as "calls";
      const shift = mode.sampling.get(family)?.shift ?? 0;
      const full = fullNs[program] as number;
      const nsPerEvent = 15 + (full - 15) / 2 ** shift;
      kernel += (eventsPerSecond * (nsPerEvent + entryNs(program))) / 1e9;
      return { program, eventsPerSecond, nsPerEvent };
    });
    const cost: WindowCost = { windowMs: 10_000, programs, agentNs: agent * 10_000 * 1e6 };
    this.governor.observe(cost);
    this.governor.observeMaps([{ map: "syscall_latency", entries: 400 }]);
    return kernel + agent;
  }

  run(load: Load, windows: number): number[] {
    return Array.from({ length: windows }, () => this.window(load));
  }

  get steps(): string[] {
    return this.governor.state.steps.map(({ name }) => name);
  }
}

describe("the ladder", () => {
  it("samples first, then coarsens keys, then switches off, and never gives up OOM kills", () => {
    const kinds = ladder.map(({ kind }) => kind);
    expect(kinds).toEqual(kinds.toSorted((a, b) => ["sample", "coarsen", "off"].indexOf(a) - ["sample", "coarsen", "off"].indexOf(b)));
    expect(new Set(ladder.map(({ name }) => name)).size).toBe(ladder.length);
    const known = new Set(catalogue.map(({ name }) => name));
    for (const step of ladder) {
      expect(signalsOfStep(step).length).toBeGreaterThan(0);
      for (const signal of signalsOfStep(step)) expect(known).toContain(signal);
      expect(signalsOfStep(step)).not.toContain("oom_kills");
    }
  });
});

describe("Governor", () => {
  it("does nothing on a host within the budget", () => {
    const host = new Host();
    host.run(calls(20_000), 50);
    expect(host.steps).toEqual([]);
    expect(host.governor.mode.off.size + host.governor.mode.sampling.size + host.governor.mode.coarse.size).toBe(0);
  });

  it("samples what is hot, and nothing else, when that suffices; two windows over are no accident, one is", () => {
    const host = new Host();
    host.window(calls(80_000));
    expect(host.steps).toEqual([]);
    host.window(calls(20_000));
    expect(host.steps).toEqual([]);
    host.run(calls(80_000), 2);
    expect(host.steps).toEqual(["calls/8"]);
    expect(host.run(calls(80_000), 3).at(-1)).toBeLessThanOrEqual(BUDGET);
  });

  it("brings a flood that is far over under the budget with the next window, by taking off what entering the hook alone makes too dear", () => {
    const host = new Host();
    host.run(calls(20_000), 10);
    const costs = host.run(calls(1_500_000), 6);
    expect(costs[0]).toBeGreaterThan(0.3);
    for (const cost of costs.slice(1)) expect(cost).toBeLessThanOrEqual(BUDGET);
    expect(host.steps).toEqual(["off-calls"]);
    expect(host.governor.state.isExhausted).toBe(false);
  });

  it("goes further at once when a flood comes right after a smaller step", () => {
    const host = new Host();
    host.run(calls(80_000), 2);
    expect(host.steps).toEqual(["calls/8"]);
    host.window(calls(1_500_000));
    expect(host.steps).toEqual(["off-calls"]);
  });

  it("comes back one step at a time when the flood is over, and ends with everything", () => {
    const host = new Host();
    host.run(calls(1_500_000), 10);
    const costs = host.run(calls(20_000), 40);
    expect(host.steps).toEqual([]);
    for (const cost of costs) expect(cost).toBeLessThanOrEqual(BUDGET);
  });

  it("is not kept from coming back by a price that one bad window has made", () => {
    const governor = new Governor(BUDGET);
    const observe = (nsPerEvent: number): void => {
      const shift = governor.mode.sampling.get("switches")?.shift ?? 0;
      const paid = 15 + (nsPerEvent - 15) / 2 ** shift;
      governor.observe({
        windowMs: 10_000,
        programs: [{ program: "on_sched_switch", eventsPerSecond: 20_000, nsPerEvent: paid }],
        agentNs: 0,
      });
    };
    for (let window = 0; window < 8; window++) observe(200);
    for (let window = 0; window < 3; window++) observe(5_000);
    expect(governor.state.steps.map(({ name }) => name)).toEqual(["switches/8"]);
    for (let window = 0; window < 30; window++) observe(200);
    expect(governor.state.steps).toEqual([]);
  });

  it("comes back to estimates where exact counts would be too dear", () => {
    const host = new Host();
    host.run(calls(1_500_000), 10);
    expect(host.steps).toEqual(["off-calls"]);
    const costs = host.run(calls(60_000), 40);
    expect(host.steps).toEqual(["calls/8"]);
    for (const cost of costs) expect(cost).toBeLessThanOrEqual(BUDGET);
  });

  it("does not come back while the flood goes on, as it sees what goes by the hook", () => {
    const host = new Host();
    host.run(calls(1_500_000), 4);
    for (let window = 0; window < 500; window++) {
      host.window(calls(1_500_000));
      expect(host.steps).toEqual(["off-calls"]);
    }
  });

  it("does not flap under a load at the edge, whichever side it is on", () => {
    for (const perSecond of [55_000, 58_000, 60_000, 61_000, 62_000, 65_000, 70_000, 90_000, 120_000]) {
      const host = new Host();
      let changes = 0;
      let last = "";
      for (let window = 0; window < 200; window++) {
        // The load trembles by 4 %.
        host.window(calls(perSecond * (1 + 0.04 * Math.sin(window * 1.7))));
        const now = host.steps.join();
        if (now !== last) changes++;
        last = now;
      }
      expect(changes).toBeLessThanOrEqual(2);
    }
  });

  it("keeps the kernel and the agent together under the budget, and says so when that cannot be", () => {
    const host = new Host();
    host.run({ ...calls(25_000), agent: 0.5 }, 20);
    expect(host.governor.state.isExhausted).toBe(true);
    expect(host.governor.state.agent).toBe(0.5);
    // What the agent itself takes no signal can give back.
    expect(host.governor.state.kernel).toBeLessThanOrEqual(BUDGET / 4);
    expect(host.steps).toEqual(["calls/8"]);
  });

  it("reckons with what entering a hook costs, and with what a connection makes the kernel do outside of programs", () => {
    const of = (program: string): number => {
      const governor = new Governor(BUDGET);
      governor.observe({ windowMs: 10_000, programs: [{ program, eventsPerSecond: 10_000, nsPerEvent: 300 }], agentNs: 0 });
      return governor.state.kernel * 1e5;
    };
    // Of a run: a hook that is met in loops of calls, one with other work in between, and one after which the kernel copies and frees memory.
    expect([of("on_sys_exit"), of("on_sched_switch"), of("on_inet_sock_set_state")].map(Math.round)).toEqual([365, 400, 700]);
    // Entered once for all tasks of the host.
    expect(Math.round(of("on_task_inventory"))).toBe(300);
  });

  it("does not take the agent's first minute for what it costs", () => {
    const host = new Host();
    host.run({ ...calls(20_000), agent: 0.4 }, 5);
    host.run(calls(20_000), 20);
    expect(host.steps).toEqual([]);
  });

  it("lets go of the dimension that makes most of the rows when it is the agent's own work on them that is dear, and gets it back", () => {
    const governor = new Governor(BUDGET);
    const observe = (agent: number, peers: number): void => {
      const maps = [
        { map: "tcp_connections", entries: peers },
        { map: "syscall_latency", entries: 400 },
      ];
      governor.observe({ windowMs: 10_000, programs: [], agentNs: agent * 1e10 });
      governor.observeMaps(maps);
    };
    for (let window = 0; window < 12; window++) observe(0.005, 100);
    const steps = (): string[] => governor.state.steps.map(({ name }) => name);
    expect(steps()).toEqual([]);
    for (let window = 0; window < 10; window++)
      observe(governor.mode.coarse.has("peer") ? 0.006 : 0.03, governor.mode.coarse.has("peer") ? 20 : 15_000);
    expect(steps()).toEqual(["no-peer"]);
    for (let window = 0; window < 60; window++) observe(0.005, 20);
    expect(steps()).toEqual([]);
  });

  it("goes by the seconds in which it was spent where a window was far over the budget, and by the window as a whole where it was not", () => {
    const paces = (perSecond: number): ProgramPaces => [{ program: "on_sys_exit", eventsPerSecond: perSecond, nsPerEvent: 130 }];
    const stepsAfter = (average: number, late: number): string[] => {
      const governor = new Governor(BUDGET);
      governor.observe({ windowMs: 10_000, programs: paces(20_000), agentNs: 0 });
      governor.observe({ windowMs: 10_000, programs: paces(average), surge: () => paces(late), agentNs: 0 });
      return governor.state.steps.map(({ name }) => name);
    };
    expect(stepsAfter(210_000, 210_000)).toEqual(["calls/8"]);
    expect(stepsAfter(210_000, 1_000_000)).toEqual(["off-calls"]);
    expect(stepsAfter(190_000, 1_000_000)).toEqual([]);
  });

  it("counts windows that were ended early as the part of one that they are: a step is given back after the time that it takes otherwise", () => {
    const windowsUntilBack = (windowMs: number): number => {
      const governor = new Governor(BUDGET);
      const observe = (perSecond: number, ms: number): boolean =>
        governor.observe({
          windowMs: ms,
          regularity: ms / 10_000,
          programs: [{ program: "on_sys_exit", eventsPerSecond: perSecond, nsPerEvent: 130 }],
          agentNs: 0,
        });
      observe(20_000, 10_000);
      observe(1_500_000, 10_000);
      expect(governor.state.steps).toHaveLength(1);
      for (let windows = 1; windows < 100; windows++) if (observe(20_000, windowMs)) return windows;
      return 100;
    };
    expect(windowsUntilBack(10_000)).toBe(6);
    expect(windowsUntilBack(2_000)).toBe(30);
  });

  it("is sure that a window is far over the budget when its programs alone have cost twice the budget of all of it, the agent's average included", () => {
    const governor = new Governor(BUDGET);
    expect(governor.excessNs(10_000)).toBe(2 * BUDGET * 10e9);
    expect(governor.excessNs(3_000)).toBe(2 * BUDGET * 3e9);
    const observe = (agent: number): void => {
      for (let window = 0; window < 40; window++) governor.observe({ windowMs: 10_000, programs: [], agentNs: agent * 10e9 });
    };
    observe(0.25 * BUDGET);
    expect(governor.excessNs(10_000)).toBeCloseTo(1.75 * BUDGET * 10e9, -3);
    // An agent that needs more than there is is no reason to give it more windows to read.
    observe(3 * BUDGET);
    expect(governor.excessNs(10_000)).toBeCloseTo(1.25 * BUDGET * 10e9, -3);
  });

  it("knows when nothing is left that would help", () => {
    const paces = (program: string): ProgramPaces => [{ program, eventsPerSecond: 1_500_000, nsPerEvent: 100 }];
    const governor = new Governor(BUDGET);
    // No step touches what nobody may lose.
    expect(governor.canSave(paces("on_mark_victim"))).toBe(false);
    expect(governor.canSave(paces("on_sys_exit"))).toBe(true);
    governor.observe({ windowMs: 10_000, programs: paces("on_sys_exit"), agentNs: 0 });
    expect(governor.state.steps.map(({ name }) => name)).toEqual(["off-calls"]);
    expect(governor.canSave(paces("on_sys_exit"))).toBe(false);
    expect(governor.canSave(paces("on_sched_switch"))).toBe(true);
  });

  it("follows a budget that is changed while it runs", () => {
    const host = new Host();
    host.run(calls(80_000), 6);
    expect(host.steps).toEqual(["calls/8"]);
    host.governor.budget = 0.1;
    host.run(calls(80_000), 10);
    expect(host.steps).toEqual([]);
  });
});
