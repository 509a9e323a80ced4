// SPDX-License-Identifier: Apache-2.0
import { catalogue, type SignalFamily } from "@waggle/signals";
import { type HookFamilyName, hookFamilies, signalsOfFamily } from "../probes/hook-families.ts";
import { type CoarseKey, signalsOfKey } from "../snapshot/window-mode.ts";

/** One thing the agent can do to cost less. */
export type Step = { readonly name: string; readonly words: string } & (
  | { readonly kind: "sample"; readonly family: HookFamilyName; readonly shift: number }
  | { readonly kind: "coarsen"; readonly key: CoarseKey }
  | { readonly kind: "off"; readonly signals: readonly string[] }
);

const sample = (family: HookFamilyName, shift: number): Step => ({
  kind: "sample",
  name: `${family}/${2 ** shift}`,
  words: `1 of ${2 ** shift} ${hookFamilies.find(({ name }) => name === family)?.events}, scaled up`,
  family,
  shift,
});
const coarsen = (key: CoarseKey): Step => ({ kind: "coarsen", name: `no-${key}`, words: `${key.replaceAll("_", " ")}s not told apart`, key });
const off = (name: string, signals: readonly string[]): Step => ({ kind: "off", name: `off-${name}`, words: `${signals.join(", ")} off`, signals });
const ofFamily = (name: HookFamilyName): readonly string[] => {
  const family = hookFamilies.find((candidate) => candidate.name === name);
  return family === undefined ? [] : signalsOfFamily(family);
};
const ofProgram = (program: string): string[] => catalogue.filter(({ bpf }) => bpf?.programs.includes(program)).map(({ name }) => name);
const inFamily = (family: SignalFamily): string[] =>
  catalogue.filter((signal) => signal.family === family && signal.bpf !== null).map(({ name }) => name);

/**
 * In this order the agent saves: first estimates in place of exact counts, what is most often hot and least often asked for before the rest; then keys
 * without the dimension that multiplies rows; then signals, the connections and the rare events last. Steps that would save next to nothing on the host
 * at hand are passed over. OOM kills are never given up.
 */
export const ladder: readonly Step[] = [
  sample("softirqs", 3),
  sample("switches", 3),
  sample("calls", 3),
  sample("drops", 3),
  sample("softirqs", 6),
  sample("switches", 6),
  sample("calls", 6),
  sample("drops", 6),
  coarsen("query_name"),
  coarsen("file"),
  coarsen("peer"),
  off("softirqs", ofFamily("softirqs")),
  off("cpu-profile", ofProgram("on_cpu_clock")),
  off("switches", ofFamily("switches")),
  off("calls", ofFamily("calls")),
  off("drops", ofFamily("drops")),
  off("disks", inFamily("disk")),
  off("tasks", ["cpu_time", "page_faults", "process_exec", "process_exits"]),
  off("connections", [
    "tcp_connections",
    "tcp_rtt",
    "tcp_connect_latency",
    "tcp_connect_failures",
    "tcp_listen_queue",
    "tcp_congestion",
    "tcp_retransmits",
    "tcp_resets",
    "socket_buffers",
  ]),
];

/** Signals that the step touches. */
export function signalsOfStep(step: Step): readonly string[] {
  if (step.kind === "off") return step.signals;
  return step.kind === "coarsen" ? signalsOfKey(step.key) : ofFamily(step.family);
}
