// SPDX-License-Identifier: Apache-2.0
import type { Host } from "../../lib/api/types";
import type { FleetMetric } from "./metrics";

export interface HostRow {
  readonly host: Host;
  /** Over the whole range; null when nothing is known of this host. */
  readonly values: Readonly<Record<FleetMetric["id"], number | null>>;
  readonly losing: boolean;
}

/** Worst value first; hosts without a value after them; those that do not report last. Names break ties, so that nothing jumps about. */
export function worstFirst(rows: readonly HostRow[], metric: FleetMetric["id"]): HostRow[] {
  return [...rows].sort((a, b) => {
    const away = Number(a.host.state !== "reporting") - Number(b.host.state !== "reporting");
    if (away !== 0) return away;
    return (b.values[metric] ?? -1) - (a.values[metric] ?? -1) || a.host.name.localeCompare(b.host.name);
  });
}

/** The reporting host with the largest value, if it stands above zero. */
export function worstHost(rows: readonly HostRow[], metric: FleetMetric["id"]): HostRow | null {
  const [first] = worstFirst(rows, metric);
  return first && (first.values[metric] ?? 0) > 0 ? first : null;
}
