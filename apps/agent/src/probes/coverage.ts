// SPDX-License-Identifier: Apache-2.0
import { type CoverageState, catalogue, coverageStates } from "@waggle/signals";
import type { ProgramState } from "./program-state.ts";

export interface SignalCoverage {
  readonly signal: string;
  readonly state: CoverageState;
  /** Empty when the state is `exact`. */
  readonly reason: string;
}

/**
 * State of each signal that comes out of BPF maps: `exact` if all programs it needs run as meant, `fallback` if one runs in another way or another
 * one in its place, or one that it can do without is missing. `broken` holds programs that are attached but failed in this window, by name.
 */
export function coverageOf(programs: readonly ProgramState[], broken: ReadonlyMap<string, string> = new Map()): SignalCoverage[] {
  // A program that is off its hook says nothing of signals that somebody wants: it feeds none.
  const byName = new Map(programs.map((program) => [program.program, { ...program, attached: program.attached || program.isDetached }]));
  const standIns = new Map(
    programs.flatMap((program) => (program.insteadOf !== null && program.attached ? [[program.insteadOf.program, program]] : [])),
  );
  return catalogue.flatMap(({ name, bpf }) => (bpf === null ? [] : [coverageOfSignal(name, bpf.programs)]));

  function coverageOfSignal(signal: string, needed: readonly string[]): SignalCoverage {
    const reasons: string[] = [];
    let state: CoverageState = "exact";
    const worsen = (to: CoverageState, reason: string): void => {
      reasons.push(reason);
      if (coverageStates.indexOf(to) > coverageStates.indexOf(state)) state = to;
    };
    for (const wanted of needed) {
      const standIn = standIns.get(wanted);
      const program = standIn ?? byName.get(wanted);
      const brokenWhy = broken.get(program?.program ?? wanted);
      if (brokenWhy !== undefined) worsen("failed", brokenWhy);
      else if (program?.attached !== true && typeof program?.without === "string")
        worsen("fallback", `${program.without} (${program.failure?.message ?? "not loaded"})`);
      else if (program?.attached !== true) worsen(program?.failure?.state ?? "failed", program?.failure?.message ?? `${wanted}: not loaded`);
      else {
        if (standIn !== undefined && standIn.insteadOf !== null) worsen("fallback", standIn.insteadOf.reason);
        const note = program.decision.signals?.[signal];
        if (note !== undefined) worsen(note.state, note.reason);
      }
    }
    return { signal, state, reason: reasons.join("; ") };
  }
}
