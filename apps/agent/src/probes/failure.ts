// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants, readFileSync } from "node:fs";
import type { CoverageState } from "@waggle/signals";
import { missingCapabilities, readCapabilities } from "../kernel/capabilities.ts";
import { KERNEL_BTF_PATH } from "../kernel/kernel-btf.ts";
import { missingMapTypes } from "../libbpf/bpf-map.ts";
import { BpfError } from "../libbpf/error.ts";
import type { ProgramPlan } from "./program-plan.ts";

export type FailureStep = "decide" | "wait" | "open" | "load" | "attach" | "run";

/** Why a program does not run. */
export interface ProgramFailure {
  readonly program: string;
  readonly step: FailureStep;
  readonly errno: number;
  readonly errnoName: string;
  /** `unsupported`: this kernel has no such hook. `failed`: it has, but something refused. `disabled`: the configuration wants it so. */
  readonly state: Extract<CoverageState, "disabled" | "unsupported" | "failed">;
  /** In words, with what to do where that is known. */
  readonly message: string;
}

const EPERM = 1;
const ENOENT = 2;
const EACCES = 13;
const EINVAL = 22;
/** What a verifier says that knows no atomic operation but addition (kernel/bpf/verifier.c before 5.12). */
const NO_ATOMICS = "BPF_STX uses reserved fields";

export const NO_EXCHANGE = "this kernel's programs cannot exchange values atomically (since Linux 5.12)";

/** The kernel's own description says that the program cannot run here. */
export function unsupportedProgram(plan: ProgramPlan, why: string): ProgramFailure {
  return { program: plan.name, step: "decide", errno: 0, errnoName: "", state: "unsupported", message: `${plan.name}: ${why}` };
}

/** The configuration switches the program off. */
export function disabledProgram(plan: ProgramPlan, why: string): ProgramFailure {
  return { program: plan.name, step: "attach", errno: 0, errnoName: "", state: "disabled", message: `${plan.name}: ${why}` };
}

/** Nobody waited for it. */
export function untriedProgram(plan: ProgramPlan, limitMs: number): ProgramFailure {
  const message = `${plan.name}: not tried: the programs before it took longer than ${limitMs / 1_000} s to load`;
  return { program: plan.name, step: "wait", errno: 0, errnoName: "", state: "failed", message };
}

/** Turns what was thrown into a reason that a person can act on. */
export function explainFailure(plan: ProgramPlan, step: FailureStep, error: unknown): ProgramFailure {
  const errno = error instanceof BpfError ? error.errno : 0;
  const errnoName = error instanceof BpfError ? error.errnoName : "";
  const result = (state: ProgramFailure["state"], message: string): ProgramFailure => ({
    program: plan.name,
    step,
    errno,
    errnoName,
    state,
    message,
  });

  if (step === "open" && errno === ENOENT)
    return result("failed", `object ${plan.object}.bpf.o is missing or has no program ${plan.name}: build packages/bpf`);
  const missing = missingCapabilities(readCapabilities());
  if ((errno === EPERM || errno === EACCES) && missing.length > 0)
    return result("failed", `${plan.name}: ${errnoName} at ${step}: missing ${missing.join(" and ")}`);
  // A tracepoint that the kernel does not have was told from its BTF before; here it can only be that there is no BTF.
  if (plan.tracepoint !== null && step !== "open" && !isReadable(KERNEL_BTF_PATH))
    return result("unsupported", `${plan.name}: no kernel BTF (${KERNEL_BTF_PATH} cannot be read)`);
  if (step === "load" && errno === EINVAL && error instanceof BpfError && error.verifierLog === "") {
    const missingTypes = missingMapTypes();
    if (missingTypes !== null) return result("unsupported", `${plan.name}: this kernel has no ${missingTypes}`);
  }
  if (step === "load" && errno === EINVAL && error instanceof BpfError && error.verifierLog.includes(NO_ATOMICS))
    return result("unsupported", `${plan.name}: ${NO_EXCHANGE}`);
  if (step === "load" && errno === EPERM && error instanceof BpfError && error.verifierLog === "") {
    return result(
      "failed",
      `${plan.name}: EPERM at load although both capabilities are there: a seccomp profile or a security module refuses BPF, or (before Linux 5.11) RLIMIT_MEMLOCK is too low`,
    );
  }
  if (plan.attach === "clock" && step === "attach" && errno === EACCES) {
    const paranoid = readParanoid();
    if (paranoid > PARANOID_MAX) return result("failed", `${plan.name}: EACCES at attach: ${clocksClosed(paranoid)}`);
  }
  const log = error instanceof BpfError && error.verifierLog !== "" ? `: ${error.verifierLog}` : "";
  const words = error instanceof BpfError ? `${errnoName} at ${step}` : `${step}: ${error instanceof Error ? error.message : String(error)}`;
  return result("failed", `${plan.name}: ${words}${log}`);
}

/** kernel.perf_event_paranoid has no meaning above this but in kernels that distributions patched. */
export const PARANOID_MAX = 2;

/** Why CPUs may not be sampled although CAP_PERFMON is there. */
export function clocksClosed(paranoid: number): string {
  return `with kernel.perf_event_paranoid at ${paranoid}, kernels of some distributions (Debian's) let nobody sample a CPU without CAP_SYS_ADMIN; sysctl -w kernel.perf_event_paranoid=${PARANOID_MAX} opens it to CAP_PERFMON`;
}

/** NaN if it cannot be read. */
export function readParanoid(): number {
  try {
    return Number(readFileSync("/proc/sys/kernel/perf_event_paranoid", "utf8"));
  } catch {
    return Number.NaN;
  }
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
