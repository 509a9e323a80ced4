// SPDX-License-Identifier: Apache-2.0

import type { WindowData, WindowSource } from "../../apps/agent/src/window/source.ts";
import { makeFleet, type SimulatedHost } from "../../apps/simulator/src/fleet.ts";
import { parseIncident } from "../../apps/simulator/src/incident.ts";
import { type SignalSums, sumsOfWindow } from "../../apps/simulator/src/ledger.ts";
import { Workload } from "../../apps/simulator/src/workload.ts";
import { decodeBlock, hostSignals, type WireRow } from "../../packages/signals/src/index.ts";

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
  /** As the simulator takes them. */
  readonly incidents: readonly string[];
}

/** In an agent's state directory: windows it gave up, one frame a line, start in Unix ms and length in ms. */
export const GIVEN_UP_FILE = "given-up";

/** Every signal that hosts report. */
export const reportedSignals: ReadonlySet<string> = new Set(hostSignals.map(({ name }) => name));
/** What a real agent measures of itself: it does not follow from seed, host and window, and there is no truth to hold it against. */
const measuredByAgents: ReadonlySet<string> = new Set(["agent_cost", "agent_drops"]);
/** Signals of which all rows, whoever sent them, follow from seed, host and window alone. */
export const pureSignals: ReadonlySet<string> = new Set([...reportedSignals].filter((name) => !measuredByAgents.has(name)));
/** What agents make out of the rows that they are given. */
const madeByAgents: ReadonlySet<string> = new Set([...measuredByAgents, "agent_accounting", "agent_attribution", "agent_coverage"]);

export function sceneWorkload(scene: Scene): Workload {
  const incidents = scene.incidents.map((incident) => parseIncident(incident, scene.untilMs));
  return new Workload({ seed: scene.seed, rows: scene.rows, windowMs: scene.windowMs, incidents });
}

const AGENT_NAME = "chaos-agent-";

/** The made-up host behind a real agent. */
export function agentHost(scene: Scene, index: number): SimulatedHost {
  const host = makeFleet(scene.seed + 7_919, index + 1)[index] as SimulatedHost;
  return { ...host, name: `${AGENT_NAME}${index + 1}` };
}

/** Signals of a host, by its name, whose rows can be held against the truth. */
export function comparedSignals(host: string): ReadonlySet<string> {
  return host.startsWith(AGENT_NAME) ? pureSignals : reportedSignals;
}

/** Sums that one window must add to the store, by signal. */
export function windowTruth(workload: Workload, host: SimulatedHost, startMs: number): Readonly<Record<string, SignalSums>> {
  const compared = comparedSignals(host.name);
  return sumsOfWindow(workload.window(host, startMs).filter(({ signal }) => compared.has(signal.name)));
}

/** Hands the agent's window loop the rows that the made-up kernel counted, and what it counted itself. */
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
    const all = new Map<string, WireRow[]>(
      this.#workload.window(this.#host, this.#windowStartMs()).map(({ signal, block }) => [signal.name, decodeBlock(signal, block)]),
    );
    return {
      rows: [...all].filter(([signal]) => !madeByAgents.has(signal)),
      coverage: (all.get("agent_coverage") ?? []) as unknown as WindowData["coverage"],
      programs: [],
      accounting: (all.get("agent_accounting") ?? []) as unknown as WindowData["accounting"],
      drops: [],
      mapBytes: 0,
      readMs: 0,
    };
  }

  close(): void {}
}
