// SPDX-License-Identifier: Apache-2.0
import { cpus } from "node:os";
import { nsPerEvent, type ProgramCosts } from "../snapshot/program-costs.ts";
import type { KernelSource, WindowData as KernelWindow } from "../snapshot/window-reader.ts";
import type { GovernorReport, WindowLook, WindowPlan, WindowSource } from "../window/source.ts";
import { entryNs, Governor, kernelNsOf, type ProgramPaces } from "./governor.ts";

export type GovernedWindow = KernelWindow & { readonly governor: GovernorReport };

export interface GovernedSourceOptions {
  /** Share of one core that the programs in the kernel and the agent's process may use together. */
  readonly budget: number;
  /** CPU time (ns) that the process has used so far. */
  readonly cpuNs?: () => number;
  /** Told of each change of the steps in force. */
  readonly onChange?: (report: GovernorReport) => void;
}

/** What is governed: a `KernelSource`, or what stands in for one. */
export type Governed = Pick<KernelSource, "readWindow" | "costs" | "programs" | "setSavings" | "setDisabled" | "setWatched" | "close">;

/** The most of a CPU that programs take, in a loop of nothing but system calls. */
const PACE_MAX = 0.75;
/** So many windows are ended early before one ends at a boundary again. */
const EARLY_ENDS_MAX = 3;
/** After an early end that has changed nothing, so many windows end at boundaries before there may be another. */
const PATIENT_WINDOWS = 6;
/** Prices scatter: a window is reckoned through once it has cost this share of what it would be ended for, by what programs have cost so far. */
const SUSPECT_RATIO = 0.25;
/** The shortest stretch up to now in which this much of what a window has cost was spent says what a load that goes on will cost. */
const SURGE_RATIO = 0.4;

/**
 * The kernel's windows under a budget: each one's cost decides how the next is measured. A window that is sure to be far over the budget is to be ended early, so that this
 * is decided within seconds of whatever began.
 */
export class GovernedSource implements WindowSource {
  readonly #source: Governed;
  readonly #governor: Governor;
  readonly #cpuNs: () => number;
  readonly #onChange: (report: GovernorReport) => void;
  readonly #cpus = Math.max(1, cpus().length);
  #lastCpuNs: number;
  #lastMs: number;
  #plan: WindowPlan | undefined;
  /** As of the start of the window under way, then each time that it was looked at. */
  #looks: ProgramCosts[];
  /** In the window under way. */
  #attached: ReadonlySet<string>;
  /** ns of a run of each program in the order of `looks`, by all that it has cost; 0: it is off its hook. */
  #prices: Float64Array;
  #savedRates: ReadonlyMap<string, number> = new Map();
  #endedEarly: string | null = null;
  #earlyEndsLeft = EARLY_ENDS_MAX;
  #patientWindows = 0;

  constructor(source: Governed, { budget, cpuNs = processCpuNs, onChange = () => {} }: GovernedSourceOptions) {
    this.#source = source;
    this.#governor = new Governor(budget);
    this.#cpuNs = cpuNs;
    this.#onChange = onChange;
    this.#lastCpuNs = cpuNs();
    this.#lastMs = performance.now();
    this.#looks = [source.costs()];
    this.#attached = attachedOf(source);
    this.#prices = this.#pricesSoFar();
  }

  beginWindow(plan: WindowPlan): number {
    this.#plan = plan;
    this.#endedEarly = null;
    return this.#nextLookMs(plan, 0);
  }

  look(): WindowLook {
    const plan = this.#plan ?? { lengthMs: Number.POSITIVE_INFINITY };
    const now = this.#source.costs();
    const [start] = this.#looks as [ProgramCosts];
    this.#looks.push(now);
    let spentNs = now.weighRuns(start, this.#prices);
    if (spentNs < SUSPECT_RATIO * this.#governor.excessNs(plan.lengthMs)) return { againInMs: this.#nextLookMs(plan, spentNs) };
    const spentMs = now.atMs - start.atMs;
    spentNs = kernelNsOf(this.#paces(start, now), spentMs);
    const isSure = spentNs > this.#governor.excessNs(plan.lengthMs);
    if (!isSure) return { againInMs: this.#nextLookMs(plan, spentNs) };
    if (!this.#governor.canSave(this.#surge(now))) return { againInMs: Number.POSITIVE_INFINITY };
    const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
    this.#endedEarly = `programs took ${seconds(spentNs / 1e6)} of CPU in its first ${seconds(spentMs)}: whatever its rest brings, it is over twice the budget of its ${seconds(plan.lengthMs)}`;
    return { endNow: this.#endedEarly };
  }

  /** Until then the window cannot be sure to be far over the budget, whatever begins now. */
  #nextLookMs({ lengthMs }: Pick<WindowPlan, "lengthMs">, spentNs: number): number {
    if (this.#earlyEndsLeft === 0) return Number.POSITIVE_INFINITY;
    return (this.#governor.excessNs(lengthMs) - spentNs) / 1e6 / (PACE_MAX * this.#cpus);
  }

  async readWindow(rowsMax?: number): Promise<GovernedWindow> {
    const endedEarly = this.#endedEarly;
    let hasChanged = false;
    const data = await this.#source.readWindow(rowsMax, () => {
      hasChanged = this.#decide();
    });
    const governor = { ...this.#governor.state, endedEarly };
    if (hasChanged) this.#onChange(governor);
    this.#governor.observeMaps(data.maps);
    this.#savedRates = data.savedRates;
    this.#attached = attachedOf(this.#source);
    this.#looks = [data.costs];
    this.#prices = this.#pricesSoFar();
    return { ...data, governor };
  }

  /** What was spent until now says how the window is measured that starts with the flip, which waits for this. Returns whether that is another way than before. */
  #decide(): boolean {
    const now = this.#source.costs();
    const [cpuNs, nowMs] = [this.#cpuNs(), performance.now()];
    const windowMs = Math.max(1, nowMs - this.#lastMs);
    const endedEarly = this.#endedEarly;
    const { lengthMs, regularMs } = this.#plan ?? { lengthMs: 1, regularMs: 1 };
    const hasChanged = this.#governor.observe({
      windowMs,
      regularity: Math.min(1, (endedEarly === null ? lengthMs : windowMs) / regularMs),
      programs: this.#paces(this.#looks[0] as ProgramCosts, now),
      surge: () => this.#surge(now),
      agentNs: Math.max(0, cpuNs - this.#lastCpuNs),
    });
    this.#lastCpuNs = cpuNs;
    this.#lastMs = nowMs;
    this.#countEarlyEnd(endedEarly !== null, hasChanged);
    this.#endedEarly = null;
    if (hasChanged) this.#source.setSavings(this.#governor.mode);
    return hasChanged;
  }

  #countEarlyEnd(isEarly: boolean, hasChanged: boolean): void {
    if (!isEarly) {
      this.#patientWindows = Math.max(0, this.#patientWindows - 1);
      this.#earlyEndsLeft = this.#patientWindows === 0 ? EARLY_ENDS_MAX : 0;
    } else if (hasChanged) {
      this.#earlyEndsLeft--;
    } else {
      this.#patientWindows = PATIENT_WINDOWS;
      this.#earlyEndsLeft = 0;
    }
  }

  #pricesSoFar(): Float64Array {
    const [start] = this.#looks as [ProgramCosts];
    return Float64Array.from(start.programs, (program) => {
      const { timedEvents, timedNs } = start.get(program);
      if (!this.#attached.has(program)) return 0;
      // What has never run may cost anything.
      return entryNs(program) + (timedEvents === 0 ? UNKNOWN_NS : timedNs / timedEvents);
    });
  }

  /** Between two moments of the window under way. */
  #paces(from: ProgramCosts, to: ProgramCosts): ProgramPaces {
    const seconds = Math.max(1, to.atMs - from.atMs) / 1_000;
    return to.programs.map((program) => {
      const [before, cost] = [from.get(program), to.get(program)];
      return this.#attached.has(program)
        ? { program, eventsPerSecond: (cost.events - before.events) / seconds, nsPerEvent: nsPerEvent(before, cost) }
        : { program, eventsPerSecond: this.#savedRates.get(program) ?? null, nsPerEvent: 0 };
    });
  }

  /**
   * As of the latest looks since which much of what the window has cost was spent. A load that began in the window's last seconds is not watered down by those before it, and one that
   * comes in bursts does not count as if each second were one.
   */
  #surge(now: ProgramCosts): ProgramPaces {
    const [start] = this.#looks as [ProgramCosts];
    const spentNs = (from: ProgramCosts): number => kernelNsOf(this.#paces(from, now), now.atMs - from.atMs);
    const most = SURGE_RATIO * spentNs(start);
    const from = this.#looks.findLast((look) => now.atMs - look.atMs >= SURGE_MS_MIN && spentNs(look) >= most) ?? start;
    return this.#paces(from, now);
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

const UNKNOWN_NS = 1_000;

/** Looks are a second apart, but for the first; what is shorter is chance. */
const SURGE_MS_MIN = 500;

function attachedOf(source: Governed): ReadonlySet<string> {
  return new Set(source.programs().flatMap(({ program, attached }) => (attached ? [program] : [])));
}

function processCpuNs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1_000;
}
