// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatCount, formatRatio } from "@waggle/units";
import { ChartCard } from "@/components/chart-card";
import { type Column, DataTable } from "@/components/data-table";
import { usePanel } from "@/components/panel";
import { usePanelQuery } from "@/lib/api/hooks";
import type { Host, QueryAnswer } from "@/lib/api/types";
import { useLinks } from "@/lib/links";
import { totals } from "../facts";
import styles from "../page.module.css";

interface Attributed {
  readonly signal: string;
  readonly counted: number;
  /** Shares of `counted`; null where nothing was counted. */
  readonly process: number | null;
  readonly unit: number | null;
}

const BY = ["signal"];

function attributedOf(answer: QueryAnswer): Attributed[] {
  const withProcess = totals(answer, "with_process", "sum", BY);
  const withUnit = totals(answer, "with_unit", "sum", BY);
  const share = (part: number | null | undefined, whole: number): number | null => (whole > 0 ? (part ?? 0) / whole : null);
  return [...totals(answer, "counted", "sum", BY)].map(([signal, counted]) => ({
    signal,
    counted: counted ?? 0,
    process: share(withProcess.get(signal), counted ?? 0),
    unit: share(withUnit.get(signal), counted ?? 0),
  }));
}

/** How much of what was counted has a known owner. */
export function AttributionCard({ host }: { host: Host }) {
  const links = useLinks();
  const query = usePanelQuery({
    signal: "agent_attribution",
    select: [
      { measure: "counted", aggregate: "sum" },
      { measure: "with_process", aggregate: "sum" },
      { measure: "with_unit", aggregate: "sum" },
    ],
    by: BY,
    limit: 50,
    shape: "total",
    host: host.name,
  });
  const columns: Column<Attributed>[] = [
    {
      key: "signal",
      header: "signal",
      sort: (r) => r.signal,
      render: (r) => (
        <a className={`${styles["link"]} mono`} href={links.explore(r.signal, host.name)}>
          {r.signal}
        </a>
      ),
    },
    { key: "counted", header: "counted", align: "right", sort: (r) => r.counted, render: (r) => formatCount(r.counted) },
    { key: "process", header: "process known", align: "right", sort: (r) => r.process, render: (r) => formatRatio(r.process) },
    { key: "unit", header: "unit known", align: "right", sort: (r) => r.unit, render: (r) => formatRatio(r.unit) },
  ];
  return (
    <ChartCard
      id="agent-attribution"
      title="Attribution"
      subtitle="share of what was counted that has a known owner"
      query={query}
      panel={usePanel(query, [host])}
      height={160}
      ribbon={false}
    >
      {(answer) => (
        <DataTable
          label="Share of each signal with a known owner"
          columns={columns}
          rows={attributedOf(answer)}
          rowKey={(r) => r.signal}
          initialSort={{ key: "process", direction: "ascending" }}
          maxHeight={320}
        />
      )}
    </ChartCard>
  );
}
