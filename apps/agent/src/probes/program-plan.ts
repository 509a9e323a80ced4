// SPDX-License-Identifier: Apache-2.0
import type { KernelBtf } from "../kernel/kernel-btf.ts";

/** The hook of a program that is attached to nothing and run by the agent (libbpf/program-run.ts). */
export const RUN_BY_AGENT = "raw_tp, run by the agent";

/** What the running kernel's BTF says about a program before it is loaded. */
export interface ProgramDecision {
  /** `const volatile` variables of the object to set, by name: the same C source then fits this kernel. */
  readonly constants?: Readonly<Record<string, number>>;
  /** Base name of another object file with the same program and maps, which costs less where it can be loaded; else the plan's own is taken. */
  readonly object?: string;
  /** The kernel cannot run the program at all: what is missing, in words. */
  readonly unsupported?: string;
  /** Signals of a program that runs, but not with all this kernel would need to have: what is different or missing, in words. */
  readonly signals?: Readonly<Record<string, { readonly state: "fallback" | "unsupported"; readonly reason: string }>>;
}

/** A BPF program the agent knows: which object holds it and what it hangs on. */
export interface ProgramPlan {
  readonly name: string;
  /** Base name of the object file, `<object>.bpf.o`. */
  readonly object: string;
  /** The hook as people write it. */
  readonly hook: string;
  /** Tracepoint that must be in the kernel's BTF; null for an iterator, and for what the agent runs itself. */
  readonly tracepoint: string | null;
  /**
   * What is neither of the two: `clock` hangs on a software clock of each CPU (needs `sampleHz`), `run` is attached to nothing and run with the inventories,
   * `on-demand` is run by whoever needs it (`ProbeSet.programFd`).
   */
  readonly attach?: "clock" | "run" | "on-demand";
  /** Looks at the running kernel. Left out: nothing depends on the kernel but the tracepoint. */
  readonly decide?: (kernel: KernelBtf) => ProgramDecision;
  /** What its signals miss without it, in words; they are `fallback` then. Left out: they cannot do without it. */
  readonly without?: string;
  /** Signals that use what it notes, beside those that name it in the catalogue: it is not taken off its hook while somebody wants one of them. */
  readonly notesFor?: readonly string[];
  /** Another program that this one stands in for where that cannot be loaded; signals that need the other are then `fallback`. */
  readonly insteadOf?: { readonly program: string; readonly reason: string };
}
