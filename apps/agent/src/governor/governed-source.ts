// SPDX-License-Identifier: Apache-2.0
import type { KernelSource, WindowData as KernelWindow } from "../snapshot/window-reader.ts";
import type { GovernorReport, WindowSource } from "../window/source.ts";
import { Governor } from "./governor.ts";

export type GovernedWindow = KernelWindow & { readonly governor: GovernorReport };

export interface GovernedSourceOptions {
  /** Share of one core that the programs in the kernel and the agent's process may use together. */
  readonly budget: number;
  /** CPU time (ns) that the process has used so far. */
  readonly cpuNs?: () => number;
  /** Milliseconds on a clock that never jumps. */
  readonly nowMs?: () => number;
  /** Told of each change of the steps in force. */
  readonly onChange?: (report: GovernorReport) => void;
}

/** The kernel's windows under a budget: each one's cost decides how the next but one is measured. */
export class GovernedSource implements WindowSource {
  readonly #source: KernelSource;
  readonly #governor: Governor;
  readonly #cpuNs: () => number;
  readonly #nowMs: () => number;
  readonly #onChange: (report: GovernorReport) => void;
  #lastCpuNs: number;
  #lastMs: number;

  constructor(source: KernelSource, { budget, cpuNs = processCpuNs, nowMs = () => performance.now(), onChange = () => {} }: GovernedSourceOptions) {
    this.#source = source;
    this.#governor = new Governor(budget);
    this.#cpuNs = cpuNs;
    this.#nowMs = nowMs;
    this.#onChange = onChange;
    this.#lastCpuNs = cpuNs();
    this.#lastMs = nowMs();
  }

  async readWindow(rowsMax?: number): Promise<GovernedWindow> {
    const data = await this.#source.readWindow(rowsMax);
    const cpuNs = this.#cpuNs();
    const nowMs = this.#nowMs();
    const windowMs = Math.max(1, nowMs - this.#lastMs);
    const hasChanged = this.#governor.observe({
      windowMs,
      programs: data.programs.map(({ program, events, kernelNs, attached }) => ({
        program,
        eventsPerSecond: attached ? (Number(events) * 1_000) / windowMs : (data.savedRates.get(program) ?? null),
        nsPerEvent: attached && events > 0n ? Number(kernelNs) / Number(events) : 0,
      })),
      agentNs: Math.max(0, cpuNs - this.#lastCpuNs),
      maps: data.maps,
    });
    this.#lastCpuNs = cpuNs;
    this.#lastMs = nowMs;
    const governor = this.#governor.state;
    if (hasChanged) {
      this.#source.setSavings(this.#governor.mode);
      this.#onChange(governor);
    }
    return { ...data, governor };
  }

  setDisabled(signals: ReadonlySet<string>, reason: string): void {
    this.#source.setDisabled(signals, reason);
  }

  setBudget(share: number): void {
    this.#governor.budget = share;
  }

  setWatched(processes: ReadonlySet<string>): void {
    this.#source.setWatched(processes);
  }

  close(): void {
    this.#source.close();
  }
}

function processCpuNs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1_000;
}
