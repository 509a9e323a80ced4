// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatDuration, formatValue } from "@waggle/units";
import { ChartCard } from "@/components/chart-card";
import { HeatMap } from "@/components/charts/heat-map";
import { Legend } from "@/components/charts/legend";
import { type DrawnTrack, TimeChart } from "@/components/charts/time-chart";
import { heatTwin, tracksTwin } from "@/components/charts/tracks-twin";
import { usePanel } from "@/components/panel";
import { type PanelQuery, usePanelQuery } from "@/lib/api/hooks";
import { type Host, isHeatmap, type QueryAnswer } from "@/lib/api/types";
import { change } from "@/lib/findings";
import { largest, pick, single } from "@/lib/series";
import { beforeLabel } from "@/lib/time-range";
import { useView } from "@/lib/view";
import { percentiles } from "../query-defs";

export interface LatencyCardProps {
  readonly host: Host;
  readonly id: string;
  readonly title: string;
  readonly signal: string;
  /** The distribution's name in the catalogue. */
  readonly measure: string;
}

/** One query for the heat map and the percentiles beside it. */
function distribution(host: Host, signal: string, measure: string): PanelQuery {
  return {
    signal,
    select: [{ measure, aggregate: "heatmap" }, ...percentiles(measure), { measure, aggregate: "max" }],
    shape: "series",
    host: host.name,
  };
}

export function LatencyHeatCard({ host, id, title, signal, measure, noun, height = 230 }: LatencyCardProps & { noun: string; height?: number }) {
  const view = useView();
  const query = usePanelQuery(distribution(host, signal, measure));
  const total = usePanelQuery({ signal, select: [...percentiles(measure), { measure, aggregate: "count" }], shape: "total", host: host.name });
  const before = usePanelQuery({ signal, select: percentiles(measure), shape: "total", host: host.name, before: true });
  const value = (answer: QueryAnswer | undefined, aggregate: "p50" | "p99" | "count"): number | null =>
    answer ? single(pick(answer, measure, aggregate)[0]) : null;
  const p99 = value(total.result.data, "p99");
  const heat = (answer: QueryAnswer) =>
    answer.series.find(isHeatmap) ?? { measure, aggregate: "heatmap" as const, unit: "ns", labels: {}, buckets: [], cells: [] };

  return (
    <ChartCard
      id={`${id}-heat`}
      title={title}
      subtitle={`all ${noun}, ${formatDuration((query.result.data?.meta.stepSeconds ?? 10) * 1e9)} × bucket`}
      query={query}
      panel={usePanel(query, [host])}
      height={height}
      summary={() =>
        total.result.data ? (
          value(total.result.data, "count") ? (
            <>
              p50 <b>{formatValue(value(total.result.data, "p50"), "ns")}</b> · p99 <b>{formatValue(p99, "ns")}</b>
              {change(p99, value(before.result.data, "p99"), beforeLabel(view.range))}
              {height >= 220 && ` · ${formatValue(value(total.result.data, "count"), "1")} measured`}
            </>
          ) : (
            `0 ${noun} measured in this range`
          )
        ) : (
          " "
        )
      }
      twin={(answer) => heatTwin(answer.meta, heat(answer), view.zone, noun)}
    >
      {(answer, summaryId) => (
        <HeatMap
          meta={answer.meta}
          series={heat(answer)}
          height={height}
          label={`${title}: distribution over time`}
          describedBy={summaryId}
          countNoun={noun}
        />
      )}
    </ChartCard>
  );
}

export function LatencyPercentilesCard({ host, id, title, signal, measure }: LatencyCardProps) {
  const view = useView();
  const height = 170;
  const query = usePanelQuery(distribution(host, signal, measure));
  const tracks = (answer: QueryAnswer): DrawnTrack[] => [
    { key: "max", label: "max", unit: "ns", values: pick(answer, measure, "max")[0]?.values ?? [], color: "var(--text-3)", dashed: true },
    { key: "p99", label: "p99", unit: "ns", values: pick(answer, measure, "p99")[0]?.values ?? [], color: "var(--s1)", filled: true },
    { key: "p50", label: "p50", unit: "ns", values: pick(answer, measure, "p50")[0]?.values ?? [], color: "var(--s2)" },
  ];
  return (
    <ChartCard
      id={id}
      title={title}
      subtitle="p50 · p99 · max"
      query={query}
      panel={usePanel(query, [host])}
      height={height}
      summary={(answer) => {
        const max = largest(pick(answer, measure, "max")[0]?.values ?? []);
        return max === null ? (
          "nothing measured in this range"
        ) : (
          <>
            highest p99 <b>{formatValue(largest(pick(answer, measure, "p99")[0]?.values ?? []), "ns")}</b> · slowest <b>{formatValue(max, "ns")}</b>
          </>
        );
      }}
      twin={(answer) => tracksTwin(answer.meta, tracks(answer), view.zone)}
      legend={(answer) => <Legend tracks={tracks(answer)} />}
    >
      {(answer, summaryId) => (
        <TimeChart meta={answer.meta} tracks={tracks(answer)} height={height} unit="ns" label={`${title}, percentiles`} describedBy={summaryId} />
      )}
    </ChartCard>
  );
}
