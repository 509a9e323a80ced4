// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatExact } from "@waggle/units";
import { ChartCard } from "@/components/chart-card";
import { type Column, DataTable } from "@/components/data-table";
import { usePanel } from "@/components/panel";
import { usePanelQuery } from "@/lib/api/hooks";
import type { Host, QueryAnswer } from "@/lib/api/types";
import { totals } from "../facts";
import styles from "../page.module.css";

interface Dropped {
  readonly key: string;
  readonly place: string;
  readonly cause: string;
  readonly lost: number;
  readonly merged: number;
}

const BY = ["place", "cause"];

/** Places that dropped something in the range, what is in no row first. */
function droppedOf(answer: QueryAnswer): Dropped[] {
  const merged = totals(answer, "merged", "sum", BY);
  const lost = totals(answer, "lost", "sum", BY);
  const places = new Map(answer.series.map(({ labels }) => [BY.map((name) => labels[name] ?? "").join("\u0000"), labels]));
  return [...places]
    .map(([key, labels]) => ({
      key,
      place: labels["place"] ?? "",
      cause: labels["cause"] ?? "",
      lost: lost.get(key) ?? 0,
      merged: merged.get(key) ?? 0,
    }))
    .filter((row) => row.lost + row.merged > 0)
    .sort((a, b) => b.lost - a.lost || b.merged - a.merged);
}

/** What could not be kept as it should, where and why. */
export function DropsCard({ host }: { host: Host }) {
  const query = usePanelQuery({
    signal: "agent_drops",
    select: [
      { measure: "merged", aggregate: "sum" },
      { measure: "lost", aggregate: "sum" },
    ],
    by: BY,
    limit: 50,
    shape: "total",
    host: host.name,
  });
  const columns: Column<Dropped>[] = [
    { key: "place", header: "where", sort: (r) => r.place, render: (r) => <span className={styles["wrap"]}>{r.place}</span> },
    { key: "cause", header: "why", sort: (r) => r.cause, render: (r) => r.cause },
    {
      key: "lost",
      header: "lost",
      align: "right",
      sort: (r) => r.lost,
      render: (r) => <span className={r.lost > 0 ? styles["warm"] : styles["dim"]}>{formatExact(r.lost)}</span>,
    },
    { key: "merged", header: "merged", align: "right", sort: (r) => r.merged, render: (r) => formatExact(r.merged) },
  ];
  return (
    <ChartCard
      id="agent-drops"
      title="Drops"
      subtitle="lost: in no row; merged: counted without its dimensions"
      query={query}
      panel={usePanel(query, [host])}
      height={160}
      ribbon={false}
      summary={(answer) => {
        const rows = droppedOf(answer);
        const lost = rows.reduce((sum, row) => sum + row.lost, 0);
        return rows.length === 0 ? (
          "everything was kept in this range"
        ) : (
          <>
            <b>{formatExact(lost)}</b> lost · {formatExact(rows.reduce((sum, row) => sum + row.merged, 0))} merged
          </>
        );
      }}
    >
      {(answer) => <DataTable label="What could not be kept" columns={columns} rows={droppedOf(answer)} rowKey={(r) => r.key} maxHeight={320} />}
    </ChartCard>
  );
}
