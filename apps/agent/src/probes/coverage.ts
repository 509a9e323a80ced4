// SPDX-License-Identifier: Apache-2.0
import { type CoverageState, catalogue } from "@waggle/signals";
import type { ProgramState } from "./probe-set.ts";

export interface SignalCoverage {
  readonly signal: string;
  readonly state: CoverageState;
  /** Empty when the state is `exact`. */
  readonly reason: string;
}

/**
 * State of each signal that comes out of BPF maps: `exact` if all programs it needs run. `broken` holds programs that are
 * attached but failed in this window, by name.
 */
export function coverageOf(programs: readonly ProgramState[], broken: ReadonlyMap<string, string> = new Map()): SignalCoverage[] {
  const byName = new Map(programs.map((program) => [program.program, program]));
  const coverage: SignalCoverage[] = [];
  for (const { name, bpf } of catalogue) {
    if (bpf === null) continue;
    const reasons: string[] = [];
    let state: CoverageState = "exact";
    for (const needed of bpf.programs) {
      const program = byName.get(needed);
      const failure = program?.failure ?? null;
      const brokenWhy = broken.get(needed);
      if (program?.attached === true && brokenWhy === undefined) continue;
      reasons.push(brokenWhy ?? failure?.message ?? `${needed}: not loaded`);
      if (failure?.state === "unsupported" && brokenWhy === undefined) state = state === "failed" ? "failed" : "unsupported";
      else state = "failed";
    }
    coverage.push({ signal: name, state, reason: reasons.join("; ") });
  }
  return coverage;
}
