// SPDX-License-Identifier: Apache-2.0
import { type CoverageState, catalogue, coverageStates, type DimensionName } from "@waggle/signals";
import type { SignalCoverage } from "../probes/coverage.ts";
import { type HookFamilyName, hookFamilies, signalsOfFamily, signalsOfProgram } from "../probes/hook-families.ts";
import { programPlans } from "../probes/programs.ts";

/** Dimensions that multiply rows and that keys can do without, by their field in struct window_mode. */
export const coarseKeys = { peer: "coarse_peer", file: "coarse_file", query_name: "coarse_query_name" } as const satisfies Partial<
  Record<DimensionName, string>
>;
export type CoarseKey = keyof typeof coarseKeys;

/** How a window is measured (struct window_mode, packages/bpf/include/maps.bpf.h), and why, in words that coverage carries. */
export interface WindowMode {
  /** Signals that are not counted. `disabled`: somebody wants it so; `shed`: the agent saves. */
  readonly off: ReadonlyMap<string, { readonly state: Extract<CoverageState, "disabled" | "shed">; readonly reason: string }>;
  /** One of 2^shift events is counted, as 2^shift. */
  readonly sampling: ReadonlyMap<HookFamilyName, { readonly shift: number; readonly reason: string }>;
  readonly coarse: ReadonlyMap<CoarseKey, string>;
}

/** Everything, as exactly as the kernel allows. */
export const exactMode: WindowMode = { off: new Map(), sampling: new Map(), coarse: new Map() };

/** Signals whose keys have the dimension. */
export function signalsOfKey(key: CoarseKey): string[] {
  return catalogue.filter(({ bpf, dimensions }) => bpf !== null && dimensions.includes(key)).map(({ name }) => name);
}

/** Modes change rarely, and several places ask the same of one in every window. */
const offByMode = new WeakMap<WindowMode, WindowMode["off"]>();
const unwantedByMode = new WeakMap<WindowMode, ReadonlySet<string>>();

/** Signals that are not counted in this mode, with those that sampling makes impossible. */
export function signalsOff(mode: WindowMode): WindowMode["off"] {
  let off = offByMode.get(mode);
  if (off === undefined) {
    off = findSignalsOff(mode);
    offByMode.set(mode, off);
  }
  return off;
}

function findSignalsOff(mode: WindowMode): WindowMode["off"] {
  const off = new Map(mode.off);
  for (const [name, { shift, reason }] of mode.sampling) {
    for (const [signal, exception] of Object.entries(familyOf(name).exceptions))
      if (shift > 0 && exception.state === "shed" && !off.has(signal))
        off.set(signal, { state: "shed", reason: `${exception.reason}, and ${reason}` });
  }
  return off;
}

/** Fields of struct window_mode that are not 0. `fields` are those that the objects have: maps that no hot program shares have no `off_<map>`. */
export function modeFields(mode: WindowMode, fields: ReadonlySet<string>, attached: (program: string) => boolean): Record<string, number> {
  const off = signalsOff(mode);
  const values: Record<string, number> = {};
  for (const { bpf } of catalogue) {
    if (bpf === null || !fields.has(`off_${bpf.map}`)) continue;
    if (catalogue.every((other) => other.bpf?.map !== bpf.map || off.has(other.name))) values[`off_${bpf.map}`] = 1;
  }
  for (const family of hookFamilies) {
    const shift = mode.sampling.get(family.name)?.shift ?? 0;
    if (shift > 0) values[family.shiftField] = shift;
    if (signalsOfFamily(family).every((signal) => off.has(signal))) values[family.offField] = 1;
  }
  for (const key of mode.coarse.keys()) values[coarseKeys[key]] = 1;
  if (!attached("on_sys_enter")) values.entry_unseen = 1;
  return values;
}

/** Programs that feed only signals which are off. */
export function unwantedPrograms(mode: WindowMode): ReadonlySet<string> {
  let unwanted = unwantedByMode.get(mode);
  if (unwanted === undefined) {
    unwanted = findUnwantedPrograms(mode);
    unwantedByMode.set(mode, unwanted);
  }
  return unwanted;
}

function findUnwantedPrograms(mode: WindowMode): ReadonlySet<string> {
  const off = signalsOff(mode);
  const unwanted = new Set<string>();
  for (const { name } of programPlans) {
    const exceptions = hookFamilies.find(({ programs }) => programs.includes(name))?.exceptions ?? {};
    const signals = signalsOfProgram(name).filter((signal) => exceptions[signal]?.state !== "fallback");
    if (signals.length > 0 && signals.every((signal) => off.has(signal))) unwanted.add(name);
  }
  return unwanted;
}

/** What coverage says of a window that was measured in this mode. */
export function qualify(coverage: readonly SignalCoverage[], mode: WindowMode): SignalCoverage[] {
  const off = signalsOff(mode);
  return coverage.map((entry) => {
    const { signal } = entry;
    const ended = off.get(signal);
    // What this kernel cannot do at all is not switched off.
    if (ended !== undefined) return entry.state === "unsupported" ? entry : { signal, ...ended };
    const notes: { state: CoverageState; reason: string }[] = [];
    for (const family of hookFamilies) {
      const exception = family.exceptions[signal];
      const sampling = mode.sampling.get(family.name);
      const isOff = signalsOfFamily(family).every((other) => off.has(other));
      if (exception?.state === "fallback" && (sampling !== undefined || isOff)) notes.push({ state: "fallback", reason: exception.reason });
      else if (sampling !== undefined && exception === undefined && signalsOfFamily(family).includes(signal))
        notes.push({
          state: "sampled",
          reason: `1 of ${2 ** sampling.shift} ${family.events}, each counted as ${2 ** sampling.shift}: ${sampling.reason}`,
        });
    }
    for (const [key, reason] of mode.coarse)
      if (signalsOfKey(key).includes(signal)) notes.push({ state: "fallback", reason: `${key.replaceAll("_", " ")}s are not told apart: ${reason}` });
    return notes.reduce<SignalCoverage>(
      (worst, { state, reason }) => ({
        signal,
        state: coverageStates.indexOf(state) > coverageStates.indexOf(worst.state) ? state : worst.state,
        reason: worst.reason === "" ? reason : `${worst.reason}; ${reason}`,
      }),
      entry,
    );
  });
}

function familyOf(name: HookFamilyName): (typeof hookFamilies)[number] {
  return hookFamilies.find((family) => family.name === name) as (typeof hookFamilies)[number];
}
