// SPDX-License-Identifier: Apache-2.0
import type { Host, QueryAnswer } from "../../lib/api/types";
import { LOSS_SHARE_CRITICAL, losing } from "../../lib/findings";
import { lossesOf, totals } from "../facts";
import type { FleetMetric } from "./metrics";

export interface HostRow {
  readonly host: Host;
  /** Over the whole range; null when nothing is known of this host. */
  readonly values: Readonly<Record<FleetMetric["id"], number | null>>;
  readonly losing: boolean;
}

/** How loudly the host is marked, by octagon or triangle. */
export function levelOfHost({ host, losing, values }: HostRow): "critical" | "warning" | null {
  if (losing && (values.retransmits ?? 0) >= LOSS_SHARE_CRITICAL) return "critical";
  return losing || host.state === "offline" || host.state === "late" ? "warning" : null;
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

/** The fleet's answers grouped by host, each over the whole range. */
export interface HostAnswers {
  readonly segments: QueryAnswer | undefined;
  readonly rtt: QueryAnswer | undefined;
  readonly connects: QueryAnswer | undefined;
  readonly syscalls: QueryAnswer | undefined;
}

/** One row per host. A host that reported and has no row in a sum's answer counted nothing, which is 0; in a percentile's it is unknown. */
export function hostRows(hosts: readonly Host[], { segments, rtt, connects, syscalls }: HostAnswers): HostRow[] {
  const losses = lossesOf(segments);
  const share = new Map(losses.map((loss) => [loss.host, loss.sent > 0 ? loss.retransmitted / loss.sent : 0]));
  const lossy = new Set(losing(losses).map((loss) => loss.host));
  const p99 = totals(rtt, "rtt", "p99", ["host"]);
  const failing = totals(connects, "count", "rate", ["host"]);
  const erring = totals(syscalls, "count", "rate", ["host"]);
  return hosts.map((host) => ({
    host,
    values: {
      retransmits: share.get(host.name) ?? coveredZero(segments, host),
      rtt: p99.get(host.name) ?? null,
      connects: failing.get(host.name) ?? coveredZero(connects, host),
      syscalls: erring.get(host.name) ?? coveredZero(syscalls, host),
    },
    losing: lossy.has(host.name),
  }));
}

function coveredZero(answer: QueryAnswer | undefined, host: Host): 0 | null {
  if (!answer || answer.meta.truncated !== null || host.state !== "reporting") return null;
  const { coverage } = answer.meta;
  return coverage.steps.some((fraction) => fraction > 0) && !coverage.missing.some((m) => m.host === host.name) ? 0 : null;
}
