// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync } from "node:fs";
import type { CoverageState } from "@waggle/signals";
import { findObjectDirectory, openCollectors } from "../commands/open-source.ts";
import type { Config } from "../config/config.ts";
import type { MapPlan } from "../governor/map-plan.ts";
import { configuredConstants } from "../probes/configured-constants.ts";
import { coverageOf } from "../probes/coverage.ts";
import { ProbeSet } from "../probes/probe-set.ts";
import type { ProgramState } from "../probes/program-state.ts";

/** What came of loading and attaching every program for a moment. */
export interface Trial {
  readonly programs: readonly ProgramState[];
  /** Of every signal that this host measures, as its first window would say. */
  readonly coverage: readonly { readonly signal: string; readonly state: CoverageState; readonly reason: string }[];
  /** Bytes of machine code of each loaded program; 0: it is interpreted, or the kernel does not tell. */
  readonly jitedBytes: ReadonlyMap<string, number>;
  /** Of the maps as the agent would make them, not of those of the trial. */
  readonly mapPlan: MapPlan;
  readonly elapsedMs: number;
}

/** Loading takes some seconds of CPU; an emulated or overloaded machine shall not be kept from its work for minutes. */
export const TRIAL_MS_MAX = 60_000;

/** Folder of the objects. Throws an Error in words if there are none. */
export function requireObjects(config: Config): string {
  const directory = findObjectDirectory(config);
  if (!existsSync(directory) || !readdirSync(directory).some((name) => name.endsWith(".bpf.o")))
    throw new Error(`there are no *.bpf.o files in ${directory}`);
  return directory;
}

/**
 * Loads and attaches each program and takes all of them off again at once. The maps are its own and as small as they get, so a running agent's counts and
 * memory are not touched; what it pays is that its hooks have a second program on them for some milliseconds.
 */
export async function tryPrograms(config: Config): Promise<Trial> {
  const objectDirectory = requireObjects(config);
  const startedAtMs = performance.now();
  const { mapPlan } = planOf(config, objectDirectory);
  const probes = ProbeSet.load({
    objectDirectory,
    mapBytesMax: 1,
    sampleHz: config.profileHz,
    constants: configuredConstants({ offCpuMinUs: config.offCpuMinUs }),
    loadMsMax: TRIAL_MS_MAX,
  });
  try {
    probes.attach();
    const programs = probes.states();
    const collected = await Promise.all(
      openCollectors(config).map(async (collector) => {
        try {
          return await collector.collect(config.rowsMax);
        } catch (error) {
          return collector.signals.map((signal) => ({ signal, state: "failed" as const, reason: (error as Error).message }));
        } finally {
          collector.close?.();
        }
      }),
    );
    return {
      programs,
      coverage: [...coverageOf(programs), ...collected.flat().map(({ signal, state, reason }) => ({ signal, state, reason }))],
      jitedBytes: probes.jitedBytes(),
      mapPlan,
      elapsedMs: performance.now() - startedAtMs,
    };
  } finally {
    probes[Symbol.dispose]();
  }
}

/** What the agent would plan, with nothing loaded. */
export function planOf(config: Config, objectDirectory: string): { mapPlan: MapPlan } {
  return { mapPlan: ProbeSet.plan({ objectDirectory, mapBytesMax: config.mapBytesMax }) };
}
