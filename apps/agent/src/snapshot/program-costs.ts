// SPDX-License-Identifier: Apache-2.0
import type { BpfMap } from "../libbpf/bpf-map.ts";
import type { StructLayout } from "../libbpf/btf.ts";
import { fieldOf } from "./layout.ts";

/** What a program has cost since it was loaded, on all CPUs (struct program_cost, packages/bpf/include/cost.bpf.h). */
export interface ProgramCost {
  readonly events: number;
  /** Few of the runs are timed. */
  readonly timedEvents: number;
  readonly timedNs: number;
}

const noCost: ProgramCost = { events: 0, timedEvents: 0, timedNs: 0 };

/** Figures of a program, one after another. */
const FIGURES = 3;

/** What each program has cost, as of one moment. */
export class ProgramCosts {
  /** By `performance.now()`. */
  readonly atMs: number;
  readonly programs: readonly string[];
  readonly #figures: Float64Array;

  constructor(atMs: number, programs: readonly string[] = [], figures = new Float64Array()) {
    this.atMs = atMs;
    this.programs = programs;
    this.#figures = figures;
  }

  get(program: string): ProgramCost {
    const at = this.programs.indexOf(program) * FIGURES;
    if (at < 0) return noCost;
    const [events = 0, timedEvents = 0, timedNs = 0] = this.#figures.subarray(at, at + FIGURES);
    return { events, timedEvents, timedNs };
  }

  /** Runs since `before`, each times what it weighs: `weights` are in the order of `programs`. */
  weighRuns(before: ProgramCosts, weights: Float64Array): number {
    let sum = 0;
    for (let index = 0, at = 0; index < weights.length; index++, at += FIGURES)
      sum += ((this.#figures[at] as number) - (before.#figures[at] ?? 0)) * (weights[index] as number);
    return sum;
  }
}

const TIMED_RUNS_MIN = 16;

/** ns of a run between the two; 0 where nothing ran. Few timed runs scatter (an interrupt may fall into one): then the average since the start stands in. */
export function nsPerEvent(from: ProgramCost, to: ProgramCost): number {
  const timed = to.timedEvents - from.timedEvents;
  if (to.events === from.events || to.timedEvents === 0) return 0;
  return timed >= TIMED_RUNS_MIN ? (to.timedNs - from.timedNs) / timed : to.timedNs / to.timedEvents;
}

/** Reads the programs' own counters: one call into the kernel, whatever the number of programs. */
export class ProgramCostReader {
  readonly #map: BpfMap;
  readonly #programs: readonly string[];
  /** Where each figure is among the values of one CPU, in 32-bit words. */
  readonly #places: Uint32Array;
  #value: Buffer<ArrayBuffer> | undefined;

  /** @param layout of struct program_costs @param oneCost of struct program_cost */
  constructor(map: BpfMap, layout: StructLayout, oneCost: StructLayout) {
    this.#map = map;
    this.#programs = layout.fields.map(({ name }) => name);
    this.#places = Uint32Array.from(
      layout.fields.flatMap(({ offset }) => ["events", "timed_events", "timed_ns"].map((field) => (offset + fieldOf(oneCost, field).offset) / 4)),
    );
  }

  read(): ProgramCosts {
    const atMs = performance.now();
    const { bytes, stride, cpus } = this.#map.getPerCpu(this.#value);
    this.#value = bytes;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, (stride * cpus) / 4);
    const figures = new Float64Array(this.#places.length);
    // Sums of __u64, all below 2^53: 100 days of nanoseconds on 1,000 CPUs.
    for (let first = 0; first < words.length; first += stride / 4)
      for (let index = 0; index < figures.length; index++) {
        const at = first + (this.#places[index] as number);
        figures[index] = (figures[index] as number) + (words[at] as number) + (words[at + 1] as number) * 2 ** 32;
      }
    return new ProgramCosts(atMs, this.#programs, figures);
  }
}
