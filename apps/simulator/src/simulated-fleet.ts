// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { ApiConnection } from "./api-nodes.ts";
import type { SimulatedHost } from "./fleet.ts";
import type { DeliveredWindows } from "./ledger.ts";
import { type FleetServices, SimulatedAgent } from "./simulated-agent.ts";

/** How long the fleet sends before it hears answers again. */
const TURN_MS = 8;
const TICK_MS = 50;

export interface FleetOptions {
  readonly hosts: readonly SimulatedHost[];
  /** host:port of each API node */
  readonly addresses: readonly string[];
  readonly connections: number;
  /** Start of the first window, Unix ms, a multiple of the window's length. */
  readonly fromMs: number;
  /** End of the last window, Unix ms; infinite: goes on until it is stopped. */
  readonly untilMs: number;
  /** How much faster than the real time the simulated one runs until it has caught up; infinite: what is past is due at once. */
  readonly speed: number;
  /** By host name: what an earlier run delivered. */
  readonly done?: ReadonlyMap<string, DeliveredWindows> | undefined;
}

/** All hosts together: gives each its turn, the oldest windows of all hosts before the next ones of any. */
export class SimulatedFleet {
  readonly agents: readonly SimulatedAgent[];
  readonly #options: FleetOptions;
  readonly #connections: readonly ApiConnection[];
  readonly #startedAtMs = Date.now();
  readonly #firstDueMs: number;

  constructor(options: FleetOptions, services: FleetServices) {
    this.#options = options;
    this.#connections = Array.from({ length: options.connections }, (_, index) => new ApiConnection(options.addresses, index));
    this.agents = options.hosts.map(
      (host, index) =>
        new SimulatedAgent(services, this.#connections[index % options.connections] as ApiConnection, host, {
          fromMs: options.fromMs,
          untilMs: options.untilMs,
          // A run that goes on has none for a host that never got one through.
          done: options.done === undefined ? undefined : (options.done.get(host.name) ?? { starts: new Set(), frames: [] }),
        }),
    );
    let newestDoneMs = options.fromMs;
    for (const { starts } of options.done?.values() ?? []) for (const startMs of starts) newestDoneMs = Math.max(newestDoneMs, startMs);
    this.#firstDueMs = newestDoneMs;
  }

  /** Sends what is due until `untilMs` is delivered or `stop` is aborted; then waits for the answers still owed, for at most `drainMs`. */
  async run(stop: AbortSignal, drainMs: () => number): Promise<void> {
    let isDone = false;
    while (!stop.aborted && !isDone) {
      const nowMs = Date.now();
      const dueMs = this.#dueMs(nowMs);
      for (const agent of this.agents) agent.tick(nowMs, dueMs);
      await this.#send(nowMs + TICK_MS);
      isDone = this.#dueMs(Date.now()) >= this.#options.untilMs && this.agents.every((agent) => agent.isIdle);
    }
    const deadlineMs = Date.now() + drainMs();
    for (const agent of this.agents) agent.finish();
    while (Date.now() < deadlineMs && !this.agents.every((agent) => agent.isIdle)) {
      for (const agent of this.agents) agent.tick(Date.now(), 0);
      await this.#send(Date.now() + TICK_MS);
    }
  }

  async close(): Promise<void> {
    for (const agent of this.agents) agent.close();
    // The last figures are on their way; a closed client would take them back.
    await sleep(200);
    for (const connection of this.#connections) connection.close();
  }

  /** The simulated time: windows that end at it or before are due. */
  #dueMs(nowMs: number): number {
    const { speed, untilMs } = this.#options;
    const simulatedMs = Number.isFinite(speed) ? this.#firstDueMs + (nowMs - this.#startedAtMs) * speed : nowMs;
    return Math.min(nowMs, simulatedMs, untilMs);
  }

  /** Gives hosts their turns until `untilMs`; sleeps through what is left when nobody may send. */
  async #send(untilMs: number): Promise<void> {
    let turnEndsMs = Date.now() + TURN_MS;
    for (;;) {
      let sent = 0;
      for (const agent of this.agents) {
        const nowMs = Date.now();
        if (agent.sendNext(nowMs)) sent++;
        if (nowMs < turnEndsMs) continue;
        await turn();
        turnEndsMs = Date.now() + TURN_MS;
      }
      const leftMs = untilMs - Date.now();
      if (leftMs <= 0) return turn();
      if (sent === 0) await sleep(Math.min(leftMs, 10));
    }
  }
}
