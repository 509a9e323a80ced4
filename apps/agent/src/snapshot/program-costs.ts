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

/** Of each program, at one moment. */
export interface ProgramCosts {
  /** By `performance.now()`. */
  readonly atMs: number;
  readonly byProgram: ReadonlyMap<string, ProgramCost>;
}

export const noCost: ProgramCost = { events: 0, timedEvents: 0, timedNs: 0 };

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
  /** Of each program, where its counters are among the values of one CPU, in 32-bit words. */
  readonly #places: readonly { readonly program: string; readonly events: number; readonly timedEvents: number; readonly timedNs: number }[];
  #value: Buffer<ArrayBuffer> | undefined;

  /** @param layout of struct program_costs @param oneCost of struct program_cost */
  constructor(map: BpfMap, layout: StructLayout, oneCost: StructLayout) {
    this.#map = map;
    const word = (at: number, field: string): number => (at + fieldOf(oneCost, field).offset) / 4;
    this.#places = layout.fields.map(({ name, offset }) => ({
      program: name,
      events: word(offset, "events"),
      timedEvents: word(offset, "timed_events"),
      timedNs: word(offset, "timed_ns"),
    }));
  }

  read(): ProgramCosts {
    const atMs = performance.now();
    const { bytes, stride, cpus } = this.#map.getPerCpu(this.#value);
    this.#value = bytes;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, (stride * cpus) / 4);
    const byProgram = new Map<string, ProgramCost>();
    for (const { program, events, timedEvents, timedNs } of this.#places)
      byProgram.set(program, {
        events: sumOf(words, events, stride / 4, cpus),
        timedEvents: sumOf(words, timedEvents, stride / 4, cpus),
        timedNs: sumOf(words, timedNs, stride / 4, cpus),
      });
    return { atMs, byProgram };
  }
}

/** Sum of a __u64 over CPUs; below 2^53, which 100 days of nanoseconds on 1,000 CPUs are not above. */
function sumOf(words: Uint32Array, at: number, stride: number, cpus: number): number {
  let [low, high] = [0, 0];
  for (let cpu = 0, place = at; cpu < cpus; cpu++, place += stride) {
    low += words[place] as number;
    high += words[place + 1] as number;
  }
  return low + high * 2 ** 32;
}
