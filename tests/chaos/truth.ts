// SPDX-License-Identifier: Apache-2.0

import type { WindowData, WindowSource } from "../../apps/agent/src/window/source.ts";
import { makeFleet, type SimulatedHost } from "../../apps/simulator/src/fleet.ts";
import { type SignalSums, sumsOfWindow } from "../../apps/simulator/src/ledger.ts";
import { Workload } from "../../apps/simulator/src/workload.ts";
import { type CoverageState, catalogue, decodeBlock, type WireRow } from "../../packages/signals/src/index.ts";

/** Simulated time, its hosts and numbers; everything that happens follows from it. */
export interface Scene {
  readonly seed: number;
  readonly fromMs: number;
  readonly untilMs: number;
  /** How much faster than real time. */
  readonly speed: number;
  readonly windowMs: number;
  readonly rows: number;
  readonly simulatedHosts: number;
}

/** In an agent's state directory: windows it gave up, one frame a line, start in Unix ms and length in ms. */
export const GIVEN_UP_FILE = "given-up";

/** What the kernel of a made-up host would have counted: the signals an agent reads out of its maps. */
const kernelSignals = new Set(catalogue.filter((signal) => signal.bpf !== null).map((signal) => signal.name));
/** Signals of which the rows follow from seed, host and window alone; an agent's own cost and accounting do not. */
export const pureSignals: ReadonlySet<string> = new Set([...kernelSignals, "agent_coverage"]);

export function sceneWorkload(scene: Scene): Workload {
  return new Workload({ seed: scene.seed, rows: scene.rows, windowMs: scene.windowMs, incidents: [] });
}

/** The made-up host behind a real agent. */
export function agentHost(scene: Scene, index: number): SimulatedHost {
  const host = makeFleet(scene.seed + 7_919, index + 1)[index] as SimulatedHost;
  return { ...host, name: `chaos-agent-${index + 1}` };
}

/** Sums that one window must add to the store, by signal. */
export function windowTruth(workload: Workload, host: SimulatedHost, startMs: number): Readonly<Record<string, SignalSums>> {
  return sumsOfWindow(workload.window(host, startMs).filter(({ signal }) => pureSignals.has(signal.name)));
}

/** Hands the agent's window loop the rows that the made-up kernel counted. */
export class MadeUpSource implements WindowSource {
  readonly #workload: Workload;
  readonly #host: SimulatedHost;
  readonly #windowStartMs: () => number;

  /** @param windowStartMs start of the window that is being read */
  constructor(workload: Workload, host: SimulatedHost, windowStartMs: () => number) {
    this.#workload = workload;
    this.#host = host;
    this.#windowStartMs = windowStartMs;
  }

  async readWindow(): Promise<WindowData> {
    const rows: [string, WireRow[]][] = [];
    for (const { signal, block } of this.#workload.window(this.#host, this.#windowStartMs()))
      if (kernelSignals.has(signal.name)) rows.push([signal.name, decodeBlock(signal, block)]);
    return {
      rows,
      coverage: [...kernelSignals].map((signal) => ({ signal, state: "exact" as CoverageState, reason: "" })),
      programs: [],
      accounting: [],
      drops: [],
      mapBytes: 0,
      readMs: 0,
    };
  }

  close(): void {}
}
