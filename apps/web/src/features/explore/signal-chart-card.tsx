// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatValue, unitInWords } from "@waggle/units";
import { ChartCard } from "@/components/chart-card";
import { HeatMap } from "@/components/charts/heat-map";
import { colored, Legend } from "@/components/charts/legend";
import { type DrawnTrack, TimeChart } from "@/components/charts/time-chart";
import { heatTwin, tracksTwin } from "@/components/charts/tracks-twin";
import { usePanel } from "@/components/panel";
import { useHosts, usePanelQuery } from "@/lib/api/hooks";
import { type HeatmapSeries, isHeatmap, type QueryAnswer, type Signal } from "@/lib/api/types";
import { groupTracks, largest, pick } from "@/lib/series";
import { useView } from "@/lib/view";
import type { Choice } from "./choice";
import { grouped } from "./groups";

const HEIGHT = 300;
/** Lines that can be told apart; the API adds the rest up as `~other`. */
const LINES_MAX = 8;

export function SignalChartCard({ signal, choice }: { signal: Signal; choice: Choice }) {
  const view = useView();
  const isHeat = choice.aggregate === "heatmap";
  // A heat map shows one distribution: all groups together.
  const by = isHeat ? [] : choice.by;
  const query = usePanelQuery({
    signal: signal.name,
    select: [{ measure: choice.measure, aggregate: choice.aggregate }],
    by,
    limit: LINES_MAX,
    shape: "series",
  });
  const hosts = useHosts().data;
  const panel = usePanel(query, hosts);
  const unit = (answer: QueryAnswer): string => answer.series[0]?.unit ?? answer.meta.unit;
  const noun = signal.measures.find(({ name }) => name === "count")?.unit ?? "measured";
  const heat = (answer: QueryAnswer): HeatmapSeries =>
    answer.series.find(isHeatmap) ?? { measure: choice.measure, aggregate: "heatmap", unit: answer.meta.unit, labels: {}, buckets: [], cells: [] };
  const tracks = (answer: QueryAnswer): DrawnTrack[] => {
    const series = pick(answer, choice.measure, choice.aggregate);
    if (by.length === 0) return colored(series.map((one) => ({ key: "all", label: choice.measure, unit: one.unit, values: one.values })));
    const { truncated } = answer.meta;
    return colored(groupTracks(grouped(series, by), "group", LINES_MAX, truncated === null ? 0 : truncated.total - truncated.shown));
  };
  // Sums and their rates fill up to their total; of anything else a stack would say nothing.
  const stacked = by.length > 0 && (choice.aggregate === "rate" || choice.aggregate === "sum" || choice.aggregate === "count");
  const title = `${choice.measure}, ${choice.aggregate}`;
  return (
    <ChartCard
      id="explore-chart"
      title={title}
      subtitle={`${isHeat ? "distribution over time" : unitInWords(query.result.data ? unit(query.result.data) : signal.unit)}${by.length > 0 ? `, by ${by.join(" and ")}` : ""}`}
      query={query}
      panel={panel}
      height={HEIGHT}
      summary={(answer) => {
        const { coverage, errorBound, level, scope } = answer.meta;
        const top = isHeat ? null : largest(tracks(answer).flatMap(({ values }) => values));
        return (
          <>
            {top !== null && (
              <>
                highest <b>{formatValue(top, unit(answer))}</b> ·{" "}
              </>
            )}
            {coverage.reporting} of {coverage.hosts} {coverage.hosts === 1 ? "host reports" : "hosts report"}
            {errorBound !== undefined && ` · percentiles within ${(errorBound * 100).toFixed(1)} %`} · read from {level} rows
            {scope === "fleet" && " of the fleet"}
            {coverage.note !== null && ` · ${coverage.note}`}
          </>
        );
      }}
      twin={(answer) => (isHeat ? heatTwin(answer.meta, heat(answer), view.zone, noun) : tracksTwin(answer.meta, tracks(answer), view.zone))}
      {...(isHeat ? {} : { legend: (answer: QueryAnswer) => <Legend tracks={tracks(answer)} /> })}
    >
      {(answer, summaryId) =>
        isHeat ? (
          <HeatMap
            meta={answer.meta}
            series={heat(answer)}
            height={HEIGHT}
            label={`${signal.name}, ${title}`}
            describedBy={summaryId}
            countNoun={noun}
          />
        ) : (
          <TimeChart
            meta={answer.meta}
            tracks={tracks(answer)}
            stacked={stacked}
            height={HEIGHT}
            unit={unit(answer)}
            label={`${signal.name}, ${title}`}
            describedBy={summaryId}
          />
        )
      }
    </ChartCard>
  );
}
