// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatMoment, formatValue } from "@waggle/units";
import { useRouter } from "next/navigation";
import { useMemo } from "react";
import { Hexagon } from "@/components/brand";
import { ChartCard, twinOf } from "@/components/chart-card";
import { Comb, type CombCell } from "@/components/charts/comb";
import combStyles from "@/components/charts/comb.module.css";
import type { Column } from "@/components/data-table";
import type { Panel } from "@/components/panel";
import { Segments } from "@/components/segments";
import { SimulatedBadge } from "@/components/simulated";
import type { PanelResult } from "@/lib/api/hooks";
import type { CombGroup } from "@/lib/comb";
import { useLinks } from "@/lib/links";
import { useView } from "@/lib/view";
import { type HostRow, worstFirst, worstHost } from "./host-rows";
import { FLEET_METRICS, type FleetMetric, levelOf, scaleLabels } from "./metrics";

/** px. As high as the list of hosts beside it needs, so that one host makes no empty wall. */
function heightFor(count: number): number {
  if (count > 2000) return 320;
  return Math.max(104, Math.min(240, 32 * count - 8));
}

/** More names than this are not read; the rest is one group. */
const GROUPS_MAX = 6;

/** Hosts kernel by kernel, most hosts first, each by name: what hosts share is often what ails them. */
function byKernel(rows: readonly HostRow[]): { ordered: HostRow[]; groups: CombGroup[] } {
  const collator = new Intl.Collator("en", { numeric: true });
  const kernels = new Map<string, HostRow[]>();
  for (const row of rows) {
    const known = kernels.get(row.host.kernel);
    if (known) known.push(row);
    else kernels.set(row.host.kernel, [row]);
  }
  const sorted = [...kernels].sort((a, b) => b[1].length - a[1].length || collator.compare(a[0], b[0]));
  const rest = sorted.slice(GROUPS_MAX);
  const named: [string, HostRow[]][] = sorted.slice(0, GROUPS_MAX).map(([kernel, list]) => [kernel || "unknown kernel", list]);
  if (rest.length > 0) named.push([`${rest.length} other kernels`, rest.flatMap(([, list]) => list)]);
  return {
    ordered: named.flatMap(([, list]) => list.sort((a, b) => collator.compare(a.host.name, b.host.name))),
    groups: named.map(([label, list]) => ({ label, count: list.length })),
  };
}

export function CombCard({
  rows,
  panels,
}: {
  rows: readonly HostRow[];
  panels: Readonly<Record<FleetMetric["id"], { query: PanelResult; panel: Panel }>>;
}) {
  const view = useView();
  const links = useLinks();
  const router = useRouter();
  const metric = FLEET_METRICS.find((m) => m.id === view.by) ?? (FLEET_METRICS[0] as FleetMetric);
  const { query, panel } = panels[metric.id];
  const { ordered, groups } = useMemo(() => byKernel(rows), [rows]);
  const cells: CombCell[] = ordered.map((row) => {
    const value = row.values[metric.id];
    const reporting = row.host.state === "reporting";
    return {
      key: row.host.id,
      name: row.host.name,
      level: value === null ? null : levelOf(metric, value),
      reporting,
      flagged: metric.id === "retransmits" && row.losing,
      text: `${reporting ? "" : `${stateText(row, view.nowMs, view.zone)}; `}${metric.label} ${value === null ? "unknown" : formatValue(value, metric.unit)}`,
    };
  });
  const height = heightFor(rows.length);
  const worst = worstHost(rows, metric.id);
  const away = rows.filter((row) => row.host.state !== "reporting");
  const labels = scaleLabels(metric);

  const columns: Column<HostRow>[] = [
    {
      key: "host",
      header: "host",
      sort: (r) => r.host.name,
      render: (r) => (
        <>
          {r.host.name}
          <SimulatedBadge host={r.host} />
        </>
      ),
    },
    { key: "state", header: "state", sort: (r) => r.host.state, render: (r) => r.host.state },
    ...FLEET_METRICS.map(
      (m): Column<HostRow> => ({
        key: m.id,
        header: m.label,
        align: "right",
        sort: (r) => r.values[m.id],
        render: (r) => formatValue(r.values[m.id], m.unit),
      }),
    ),
  ];

  return (
    <ChartCard
      id="hosts"
      title="Hosts"
      subtitle={`${metric.unit === "ratio" ? "share of segments sent" : "whole range"}${groups.length > 1 ? ", by kernel" : ""}`}
      query={query}
      panel={panel}
      height={height}
      ribbon={false}
      controls={
        <Segments
          label="Colour by"
          options={FLEET_METRICS.map((m) => ({ value: m.id, label: m.label }))}
          value={metric.id}
          onChange={(id) => view.setBy(id === "retransmits" ? "" : id)}
        />
      }
      summary={(answer) => (
        <>
          {worst ? (
            <>
              worst <b>{worst.host.name}</b> {formatValue(worst.values[metric.id], metric.unit)}
            </>
          ) : (
            "all at 0 or not measured"
          )}
          {answer.meta.truncated && ` · the ${answer.meta.truncated.shown} worst of ${answer.meta.truncated.total} hosts have values`}
        </>
      )}
      twin={() => twinOf(columns, worstFirst(rows, metric.id))}
      legend={() => (
        <div className={combStyles["legend"]}>
          <span>
            {labels.low}
            <span className={combStyles["scale"]} aria-hidden="true">
              {Array.from({ length: 8 }, (_, i) => (
                <i key={labels.low + String(i)} style={{ background: `var(--h${i + 1})` }} />
              ))}
            </span>
            {labels.high}
          </span>
          {rows.some((r) => r.losing) && metric.id === "retransmits" && (
            <span>
              <Hexagon size={12} stroke="var(--crit)" /> loses packets
            </span>
          )}
          {away[0] && (
            <span>
              <Hexagon size={12} dashed stroke="var(--none)" />
              {away.length === 1 ? `${away[0].host.name}: ${stateText(away[0], view.nowMs, view.zone)}` : `${away.length} not reporting`}
            </span>
          )}
        </div>
      )}
    >
      {(_, summaryId) => (
        <Comb
          cells={cells}
          groups={groups}
          height={height}
          label={`Hosts by ${metric.label}`}
          describedBy={summaryId}
          onOpen={(cell) => router.push(links.host(cell.name))}
        />
      )}
    </ChartCard>
  );
}

export function stateText(row: HostRow, nowMs: number, zone: "utc" | "local"): string {
  const since = row.host.stateSince ?? row.host.lastSeenAt;
  const at = since ? ` since ${formatMoment(Date.parse(since), nowMs, zone)}` : "";
  return { reporting: "reporting", late: `late${at}`, offline: `not reporting${at}`, waiting: "waiting for first data" }[row.host.state];
}
