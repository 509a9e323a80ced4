// SPDX-License-Identifier: Apache-2.0
import type { KernelBtf } from "../kernel/kernel-btf.ts";
import { type ProgramFailure, unsupportedProgram } from "./failure.ts";
import type { ProgramDecision, ProgramPlan } from "./program-plan.ts";
import type { ProgramState } from "./program-state.ts";
import { programPlans } from "./programs.ts";

/** What a kernel's BTF says about a program: the first thing that is asked of each, before it is loaded. */
export function decideProgram(plan: ProgramPlan, kernel: KernelBtf): ProgramDecision {
  if (plan.tracepoint !== null && !kernel.hasTracepoint(plan.tracepoint)) return { unsupported: `this kernel has no tracepoint ${plan.tracepoint}` };
  return plan.decide?.(kernel) ?? {};
}

/** Programs that stand in for others are wanted only where these cannot run. */
export function isWanted({ insteadOf }: ProgramPlan, failures: ReadonlyMap<string, ProgramFailure>): boolean {
  return insteadOf === undefined || failures.has(insteadOf.program);
}

/**
 * How each program would fare on a kernel, by its BTF alone: nothing is loaded.
 * @param refusal why the kernel would refuse a program that it describes as possible; null: for no reason that is known. Left out: nobody looks.
 */
export function predictPrograms(
  kernel: KernelBtf,
  refusal: (plan: ProgramPlan, decision: ProgramDecision) => ProgramFailure | null = () => null,
  plans: readonly ProgramPlan[] = programPlans,
): ProgramState[] {
  const failures = new Map<string, ProgramFailure>();
  const decisions = new Map<string, ProgramDecision>();
  for (const plan of plans) {
    if (!isWanted(plan, failures)) continue;
    const decision = decideProgram(plan, kernel);
    decisions.set(plan.name, decision);
    const failure = decision.unsupported === undefined ? refusal(plan, decision) : unsupportedProgram(plan, decision.unsupported);
    if (failure !== null) failures.set(plan.name, failure);
  }
  return plans
    .filter((plan) => isWanted(plan, failures))
    .map((plan) => ({
      program: plan.name,
      hook: plan.hook,
      attached: !failures.has(plan.name),
      isDetached: false,
      failure: failures.get(plan.name) ?? null,
      decision: decisions.get(plan.name) ?? {},
      without: plan.without ?? null,
      insteadOf: plan.insteadOf ?? null,
    }));
}
