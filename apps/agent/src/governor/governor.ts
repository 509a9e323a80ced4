// SPDX-License-Identifier: Apache-2.0
import { catalogue } from "@waggle/signals";
import { hookFamilies, signalsOfFamily } from "../probes/hook-families.ts";
import { programPlans } from "../probes/programs.ts";
import { exactMode, unwantedPrograms, type WindowMode } from "../snapshot/window-mode.ts";
import type { GovernorReport } from "../window/source.ts";
import { ladder, type Step, signalsOfStep } from "./ladder.ts";

/**
 * What a run costs before the program's own clock starts and after it stops, by CPU time that a load lost (docs/benchmarks.md). Entering a tracepoint is 65 ns where one run follows
 * another in a loop of system calls, and 100 where kernel work of microseconds lies between, which leaves little of the way there in the caches: so it is at every hook but those of
 * calls. Iterators and clocks are entered once for many runs.
 */
const CALL_ENTRY_NS = 65;
const ENTRY_NS = 100;
/**
 * What a run makes the kernel do outside of it, which is in nobody's statistics. What the agent notes of a connection is memory that the kernel copies for the
 * accepted socket and frees with either, after a grace period: 2.4 µs for both ends of a connection, which have eight changes of state.
 */
const OUTSIDE_NS: ReadonlyMap<string, number> = new Map([["on_inet_sock_set_state", 300]]);
/** What is left of a run that is not sampled: the decision. */
const PASSED_OVER_NS = 15;
/** How far a remembered price goes towards a new one in one window, and what is left of it after a window in which nothing was seen. */
const PRICE_RATIO = 0.3;
const UNSEEN_PRICE_RATIO = 0.998;
/** A step has to save this share of the budget to be worth its loss. */
const WORTH_RATIO = 0.02;
/** Over the budget in so many windows on end, or once by so much, and steps are taken. */
const OVER_WINDOWS = 2;
const OVER_AT_ONCE = 2;
/**
 * Where the agent's own process needs all of the budget (a backlog to send, a host that starves it), giving up signals does not help: then the kernel's
 * side keeps this share.
 */
const KERNEL_RATIO = 0.25;
/** A step is taken back when the cost without it would have stayed under this share of the budget for the time of so many windows. */
const BACK_RATIO = 0.8;
const BACK_WINDOWS = 6;
/** The agent's own time comes in bursts (garbage, a backlog that is sent): it counts as the average over about so many windows. */
const AGENT_WINDOWS = 4;
const WARM_UP_WINDOWS = 6;
/** What rows cost the agent before they were saved is believed less and less: half of it after so many windows. */
const MEMORY_WINDOWS = 30;

/**
 * What ran, over some stretch of time. `eventsPerSecond`: also of a program that was taken off its hook, if it was looked at; null: not known.
 * `nsPerEvent`: 0 where nothing ran.
 */
export type ProgramPaces = readonly { readonly program: string; readonly eventsPerSecond: number | null; readonly nsPerEvent: number }[];

/** What one window cost, but for the last moments before it ends. */
export interface WindowCost {
  readonly windowMs: number;
  /** What share of a regular window it is, where windows end early or begin late; 1 if absent. Whatever goes by windows counts it as this much of one. */
  readonly regularity?: number;
  /** Over the window as a whole. */
  readonly programs: ProgramPaces;
  /**
   * As of the seconds up to now in which much of it was spent, where that is known. A load that began late in the window costs more than the window's average says: what is done about
   * a window that was far over the budget goes by these.
   */
  readonly surge?: () => ProgramPaces;
  /** CPU time of the agent's process. */
  readonly agentNs: number;
}

/**
 * Keeps what the programs in the kernel and the agent's process cost together under a budget. It is told of each window's cost just before the window ends and answers with
 * the steps in force in the window that follows. Over the budget it goes up the ladder as far as it takes at once, then gives back what was not needed; it goes
 * down one step at a time, and only when the price of that is known to fit. Knows no clock and no kernel.
 */
export class Governor {
  #budget: number;
  #steps = new Set<Step>();
  /** The steps that were in force in the window that was observed last. */
  #measured: ReadonlySet<Step> = this.#steps;
  #overWindows = 0;
  /** Windows' worth of time on end in which the cost without the step would have been low enough. */
  readonly #calmWindows = new Map<Step, number>();
  /** ns of a run in full, by program, as of its last window without sampling. */
  readonly #fullNs = new Map<string, number>();
  #rates = new Map<string, number>();
  /** Entries of a map as of the last window that had all of them, and how many windows ago that was. */
  readonly #entries = new Map<string, { entries: number; age: number }>();
  readonly #unwanted = new Map<string, ReadonlySet<string>>();
  #kernel = 0;
  #agent = 0;
  /** Share of its rows that the agent was spared while its time was taken, averaged as that is. */
  #spared = 0;
  #isExhausted = false;
  #windows = 0;

  /** @param budget share of one core, above 0 */
  constructor(budget: number) {
    this.#budget = budget;
  }

  set budget(share: number) {
    this.#budget = share;
  }

  /** Takes in what a window cost that is about to end. Returns whether the steps have changed. */
  observe(cost: WindowCost): boolean {
    this.#learn(cost);
    const before = [...this.#steps];
    const now = this.#kernel + this.#agentOnceWarm;
    const isFarOver = now > this.#budget * OVER_AT_ONCE;
    this.#overWindows = now > this.#budget ? this.#overWindows + 1 : 0;
    if (isFarOver || this.#overWindows >= OVER_WINDOWS) this.#save();
    else if (now <= this.#budget) this.#giveBack(cost.regularity ?? 1);
    const hasChanged = before.length !== this.#steps.size || before.some((step) => !this.#steps.has(step));
    if (hasChanged) {
      this.#overWindows = 0;
      this.#calmWindows.clear();
    }
    return hasChanged;
  }

  /** Takes in the entries of each signal's map of the window that was observed last: they are known once it is over. */
  observeMaps(maps: readonly { readonly map: string; readonly entries: number }[]): void {
    const touched = mapsOfSteps(this.#measured);
    for (const { map, entries } of maps) {
      const known = this.#entries.get(map);
      if (!touched.has(map) || entries > (known?.entries ?? 0)) this.#entries.set(map, { entries, age: 0 });
    }
  }

  /**
   * What the programs have to cost (ns) for a window of this length to be far over the budget whatever else happens in it. The agent's process counts with its average: what it takes in
   * bursts is no reason to give it more windows to read, and where it needs all of the budget, the kernel's side still has its share.
   */
  excessNs(windowMs: number): number {
    return (OVER_AT_ONCE * this.#budget - Math.min(this.#agentOnceWarm, (1 - KERNEL_RATIO) * this.#budget)) * windowMs * 1e6;
  }

  /** Whether there is a step left that would save something at these paces. */
  canSave(paces: ProgramPaces): boolean {
    const known = new Map(this.#rates);
    this.#noteRates(paces);
    const can = ladder.some((step) => !this.#steps.has(step) && this.#saving(step) >= WORTH_RATIO * this.#budget);
    this.#rates = known;
    return can;
  }

  get state(): Omit<GovernorReport, "endedEarly"> {
    const predicted = this.#predict(this.#steps);
    const inForce = ladder.filter((step) => this.#steps.has(step));
    return {
      budget: this.#budget,
      kernel: this.#kernel,
      agent: this.#agent,
      predicted,
      steps: inForce.map((step) => ({
        name: step.name,
        words: step.words,
        saves: Math.max(0, this.#predict(without(this.#steps, step)) - predicted),
      })),
      isExhausted: this.#isExhausted,
    };
  }

  /** The steps in force as what the kernel side is told. */
  get mode(): WindowMode {
    return modeOf(this.#steps, `over the budget of ${percent(this.#budget)} of a core`);
  }

  #learn({ windowMs, regularity = 1, programs, surge, agentNs }: WindowCost): void {
    const agent = agentNs / (windowMs * 1e6);
    const isWarm = this.#windows >= WARM_UP_WINDOWS;
    // What the agent did in this window was to read the one before.
    this.#agent += (agent - this.#agent) * (isWarm ? regularity / AGENT_WINDOWS : 1);
    this.#spared += (this.#sparedBy(this.#measured) - this.#spared) * (isWarm ? regularity / AGENT_WINDOWS : 1);
    for (const memory of this.#entries.values()) memory.age += regularity;
    this.#windows += regularity;

    this.#measured = new Set(this.#steps);
    this.#kernel = kernelNsOf(programs, 1_000) / 1e9;
    const deciding = surge !== undefined && this.#kernel + this.#agentOnceWarm > this.#budget * OVER_AT_ONCE ? surge() : programs;
    this.#noteRates(deciding);
    for (const { program, eventsPerSecond, nsPerEvent } of deciding) if (eventsPerSecond !== null) this.#learnPrice(program, nsPerEvent);
  }

  #noteRates(paces: ProgramPaces): void {
    for (const { program, eventsPerSecond } of paces) if (eventsPerSecond !== null) this.#rates.set(program, eventsPerSecond);
  }

  /** The agent's own first windows are those of a program that has just started. */
  get #agentOnceWarm(): number {
    return this.#windows > WARM_UP_WINDOWS ? this.#agent : 0;
  }

  /**
   * What a run costs in full. It is measured while the program is not sampled; single windows scatter, on a busy host by a factor, so it follows slowly.
   * What is sampled shows whether it was taken for too dear; of what is off nothing is seen, so what is remembered is believed less with time.
   */
  #learnPrice(program: string, nsPerEvent: number): void {
    const known = this.#fullNs.get(program);
    const shift = shiftOf(this.#measured, program);
    if (nsPerEvent === 0) {
      if (known !== undefined) this.#fullNs.set(program, known * UNSEEN_PRICE_RATIO);
    } else if (shift === 0) {
      this.#fullNs.set(program, known === undefined ? nsPerEvent : known + (nsPerEvent - known) * PRICE_RATIO);
    } else {
      const estimate = PASSED_OVER_NS + Math.max(0, nsPerEvent - PASSED_OVER_NS) * 2 ** shift;
      if (known === undefined || estimate < known)
        this.#fullNs.set(program, known === undefined ? estimate : known + (estimate - known) * PRICE_RATIO);
    }
  }

  #save(): void {
    this.#isExhausted = false;
    for (const step of ladder) {
      if (this.#predict(this.#steps) <= this.#budget) break;
      if (!this.#steps.has(step) && this.#saving(step) >= WORTH_RATIO * this.#budget) this.#steps.add(step);
    }
    this.#isExhausted = this.#predict(this.#steps) > this.#budget;
    // A late step may have made earlier ones, and harsher ones, needless.
    for (const step of ladder.toReversed()) {
      const rest = without(this.#steps, step);
      if (!this.#steps.has(step)) continue;
      const predicted = this.#predict(rest);
      const isInVain = this.#isExhausted && step.kind !== "coarsen" && this.#predictKernel(rest) <= KERNEL_RATIO * this.#budget;
      if (isInVain || predicted <= this.#budget * BACK_RATIO || predicted - this.#predict(this.#steps) < (WORTH_RATIO / 2) * this.#budget)
        this.#steps = rest;
    }
  }

  /** @param regularity share of a window in which all was calm, or not */
  #giveBack(regularity: number): void {
    this.#isExhausted = false;
    for (const step of ladder.toReversed()) {
      if (!this.#steps.has(step)) continue;
      const rest = this.#withGentler(step);
      const isCalm = this.#predict(rest) <= this.#budget * BACK_RATIO;
      this.#calmWindows.set(step, isCalm ? (this.#calmWindows.get(step) ?? 0) + regularity : 0);
    }
    for (const step of ladder.toReversed()) {
      if (!this.#steps.has(step) || (this.#calmWindows.get(step) ?? 0) < BACK_WINDOWS) continue;
      this.#steps = this.#withGentler(step);
      return;
    }
  }

  /**
   * The steps in force without this one: with the mildest of the same hooks in its place that keeps to the budget with a margin, which may be none. Where
   * none does, the next milder one.
   */
  #withGentler(step: Step): Set<Step> {
    const rest = without(this.#steps, step);
    const milder = ladder.slice(0, ladder.indexOf(step)).filter((other) => other.kind === "sample" && other.family === familyOf(step));
    const choices = [rest, ...milder.map((other) => new Set([...rest, other]))];
    return choices.find((choice) => this.#predict(choice) <= this.#budget * BACK_RATIO) ?? (choices.at(-1) as Set<Step>);
  }

  #saving(step: Step): number {
    return this.#predict(this.#steps) - this.#predict(new Set([...this.#steps, step]));
  }

  /** What a window would cost with these steps, as a share of one core, at the rates that were seen last. */
  #predict(steps: ReadonlySet<Step>): number {
    // Half of what the agent does at rest has nothing to do with rows.
    return this.#predictKernel(steps) + this.#agentOnceWarm * (1 + 0.5 * (this.#spared - this.#sparedBy(steps)));
  }

  #predictKernel(steps: ReadonlySet<Step>): number {
    const unwanted = this.#unwantedWith(steps);
    let kernelNs = 0;
    for (const [program, rate] of this.#rates) {
      if (unwanted.has(program)) continue;
      const shift = shiftOf(steps, program);
      const full = this.#fullNs.get(program) ?? 0;
      const base = Math.min(full, PASSED_OVER_NS);
      kernelNs += rate * (entryNs(program) + base + (full - base) / 2 ** shift);
    }
    return kernelNs / 1e9;
  }

  /** Programs that leave their hooks with these steps. The same few sets of steps are asked about in every window. */
  #unwantedWith(steps: ReadonlySet<Step>): ReadonlySet<string> {
    const key = ladder.map((step) => (steps.has(step) ? "1" : "0")).join("");
    let unwanted = this.#unwanted.get(key);
    if (unwanted === undefined) {
      unwanted = unwantedPrograms(modeOf(steps, ""));
      if (this.#unwanted.size >= UNWANTED_SETS_MAX) this.#unwanted.clear();
      this.#unwanted.set(key, unwanted);
    }
    return unwanted;
  }

  /** Share of its rows that the agent is spared with these steps: its time goes by entries, as far as it goes by anything. */
  #sparedBy(steps: ReadonlySet<Step>): number {
    const maps = mapsOfSteps(steps);
    let [spared, all] = [0, 0];
    for (const [map, { entries, age }] of this.#entries) {
      const believed = entries * 0.5 ** (age / MEMORY_WINDOWS);
      all += believed;
      if (maps.has(map)) spared += believed;
    }
    return all === 0 ? 0 : spared / Math.max(all, ENTRIES_AT_REST);
  }
}

const UNWANTED_SETS_MAX = 256;

/** Entries of a window on a host that does little. */
const ENTRIES_AT_REST = 1_000;

const callPrograms = programsOf("calls");
const tracepoints = new Map(programPlans.map(({ name, tracepoint }) => [name, tracepoint !== null]));

/** What the programs cost in so many milliseconds at these paces, with the price of entering their hooks. */
export function kernelNsOf(paces: ProgramPaces, ms: number): number {
  let ns = 0;
  for (const { program, eventsPerSecond, nsPerEvent } of paces)
    if (eventsPerSecond !== null && nsPerEvent > 0) ns += eventsPerSecond * (nsPerEvent + entryNs(program));
  return (ns * ms) / 1_000;
}

/** What a run of the program costs beside what it measures itself. */
export function entryNs(program: string): number {
  if (tracepoints.get(program) !== true) return 0;
  return (callPrograms.includes(program) ? CALL_ENTRY_NS : ENTRY_NS) + (OUTSIDE_NS.get(program) ?? 0);
}

/** The family whose hooks the step is about, if it is about one. */
function familyOf(step: Step): string | undefined {
  if (step.kind === "sample") return step.family;
  return step.kind === "off" ? hookFamilies.find((family) => signalsOfFamily(family).join() === step.signals.join())?.name : undefined;
}

function programsOf(family: string): readonly string[] {
  return hookFamilies.find(({ name }) => name === family)?.programs ?? [];
}

/** One of 2^shift runs of the program is sampled with these steps. */
function shiftOf(steps: ReadonlySet<Step>, program: string): number {
  let shift = 0;
  for (const step of steps) if (step.kind === "sample" && step.shift > shift && programsOf(step.family).includes(program)) shift = step.shift;
  return shift;
}

/** Maps that hold less, or nothing, with these steps. What is sampled has its rows all the same. */
function mapsOfSteps(steps: ReadonlySet<Step>): ReadonlySet<string> {
  const signals = new Set([...steps].filter(({ kind }) => kind !== "sample").flatMap((step) => signalsOfStep(step)));
  return new Set(catalogue.flatMap(({ name, bpf }) => (bpf !== null && signals.has(name) ? [bpf.map] : [])));
}

function without(steps: ReadonlySet<Step>, step: Step): Set<Step> {
  const rest = new Set(steps);
  rest.delete(step);
  return rest;
}

/** The mode that these steps amount to; of two rates of one family the lower one holds. */
export function modeOf(steps: ReadonlySet<Step>, reason: string): WindowMode {
  const off = new Map<string, { state: "shed"; reason: string }>();
  const sampling = new Map(exactMode.sampling);
  const coarse = new Map(exactMode.coarse);
  for (const step of steps) {
    if (step.kind === "off") for (const signal of step.signals) off.set(signal, { state: "shed", reason });
    else if (step.kind === "coarsen") coarse.set(step.key, reason);
    else if (step.shift > (sampling.get(step.family)?.shift ?? 0)) sampling.set(step.family, { shift: step.shift, reason });
  }
  return { off, sampling, coarse };
}

function percent(share: number): string {
  return `${Math.round(share * 10_000) / 100} %`;
}
