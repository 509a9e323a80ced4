// SPDX-License-Identifier: Apache-2.0
import { formatValue } from "@waggle/units";

/** What can colour the comb. The scales are fixed: a host keeps its colour whatever its neighbours do. */
export interface FleetMetric {
  readonly id: "retransmits" | "rtt" | "connects" | "syscalls";
  readonly label: string;
  readonly unit: string;
  readonly scale: { readonly kind: "linear" | "log"; readonly low: number; readonly high: number };
}

export const FLEET_METRICS: readonly FleetMetric[] = [
  { id: "retransmits", label: "Retransmits", unit: "ratio", scale: { kind: "linear", low: 0.001, high: 0.08 } },
  { id: "rtt", label: "RTT p99", unit: "ns", scale: { kind: "log", low: 1e6, high: 1e9 } },
  { id: "connects", label: "Connect failures", unit: "errors/s", scale: { kind: "log", low: 0.01, high: 10 } },
  { id: "syscalls", label: "Syscall errors", unit: "errors/s", scale: { kind: "log", low: 10, high: 10_000 } },
];

/** Heat level 1..8 of a value on the metric's scale. */
export function levelOf(metric: FleetMetric, value: number): number {
  const { kind, low, high } = metric.scale;
  if (value <= low) return 1;
  const position = kind === "linear" ? (value - low) / (high - low) : Math.log(value / low) / Math.log(high / low);
  return Math.min(8, 1 + Math.ceil(position * 7 - 1e-9));
}

export function scaleLabels(metric: FleetMetric): { low: string; high: string } {
  const { low, high } = metric.scale;
  return { low: `${formatValue(low, metric.unit)} and less`, high: `${formatValue(high, metric.unit)} and more` };
}
