// SPDX-License-Identifier: Apache-2.0
import type { ProgramFailure } from "./failure.ts";
import type { ProgramDecision, ProgramPlan } from "./program-plan.ts";

/** What became of a program on this kernel, or would. */
export interface ProgramState {
  readonly program: string;
  readonly hook: string;
  readonly attached: boolean;
  /** Taken off its hook because nobody wants what it counts; then it is not `attached`, and that is no failure. */
  readonly isDetached: boolean;
  /** null: it is attached, or another one is attached in its place. */
  readonly failure: ProgramFailure | null;
  /** What the kernel's BTF said about it. */
  readonly decision: ProgramDecision;
  /** What its signals miss where it is not attached; null: they cannot do without it. */
  readonly without: string | null;
  /** It is attached in the place of that program, and why. */
  readonly insteadOf: NonNullable<ProgramPlan["insteadOf"]> | null;
}
