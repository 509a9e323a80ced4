// SPDX-License-Identifier: Apache-2.0
import { type CoverageState, catalogue } from "@waggle/signals";
import { programPlans } from "./programs.ts";

/** Hot hooks that are sampled together, and taken off together. Their fields in struct window_mode: `<field>_shift` and `off_<field>s`. */
export interface HookFamily {
  readonly name: HookFamilyName;
  readonly programs: readonly string[];
  /** What is sampled, for people. */
  readonly events: string;
  /** Field of struct window_mode with the shift, and the one that ends all of it. */
  readonly shiftField: string;
  readonly offField: string;
  /** Signals that sampling does otherwise than make them estimates: what becomes of them, in words. null: nothing. */
  readonly exceptions: Readonly<Record<string, { readonly state: Extract<CoverageState, "fallback" | "shed">; readonly reason: string }>>;
}

export type HookFamilyName = "calls" | "switches" | "softirqs" | "drops";

export const hookFamilies: readonly HookFamily[] = [
  {
    name: "calls",
    programs: ["on_sys_enter", "on_sys_exit"],
    events: "system calls",
    shiftField: "call_shift",
    offField: "off_calls",
    exceptions: {
      dns_queries: { state: "shed", reason: "a query and its answer are two calls, of which both have to be seen" },
      off_cpu: { state: "fallback", reason: "waits in calls that are not seen have no user stack" },
    },
  },
  {
    name: "switches",
    programs: ["on_sched_switch"],
    events: "switches of tasks",
    shiftField: "switch_shift",
    offField: "off_switches",
    exceptions: {},
  },
  {
    name: "softirqs",
    programs: ["on_softirq_raise", "on_softirq_entry"],
    events: "softirqs",
    shiftField: "softirq_shift",
    offField: "off_softirqs",
    exceptions: {},
  },
  { name: "drops", programs: ["on_kfree_skb"], events: "dropped packets", shiftField: "drop_shift", offField: "off_drops", exceptions: {} },
];

const signalsByFamily = new Map<HookFamily, readonly string[]>();
const signalsByProgram = new Map<string, readonly string[]>();

/** Signals that the family's programs count; without those that they only complete (`fallback` exceptions). Found out once: it is asked for every signal of every window. */
export function signalsOfFamily(family: HookFamily): readonly string[] {
  let signals = signalsByFamily.get(family);
  if (signals === undefined) {
    signals = catalogue
      .filter(({ name, bpf }) => family.exceptions[name]?.state !== "fallback" && bpf?.programs.some((program) => family.programs.includes(program)))
      .map(({ name }) => name);
    signalsByFamily.set(family, signals);
  }
  return signals;
}

/** Signals that a program counts or notes something for. */
export function signalsOfProgram(program: string): readonly string[] {
  let signals = signalsByProgram.get(program);
  if (signals === undefined) {
    signals = findSignalsOfProgram(program);
    signalsByProgram.set(program, signals);
  }
  return signals;
}

function findSignalsOfProgram(program: string): string[] {
  const plan = programPlans.find(({ name }) => name === program);
  const names = [program, plan?.insteadOf?.program];
  return [...catalogue.filter(({ bpf }) => bpf?.programs.some((name) => names.includes(name))).map(({ name }) => name), ...(plan?.notesFor ?? [])];
}
