// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatClock, formatTimeTick, formatValue, linearTicks, timeTicks } from "@waggle/units";
import { useId, useRef, useState } from "react";
import {
  Area,
  CartesianGrid,
  ComposedChart,
  type DotItemDotProps,
  Line,
  ReferenceArea,
  ReferenceLine,
  ResponsiveContainer,
  Tooltip,
  type TooltipContentProps,
  XAxis,
  YAxis,
} from "recharts";
import type { QueryMeta } from "@/lib/api/types";
import { pointAt } from "@/lib/crosshair";
import { useGapReason } from "@/lib/gap-reasons";
import { gapsOf, isolated, largest, type Row, stepStart, type Track, toRows } from "@/lib/series";
import { useView } from "@/lib/view";
import { Crosshair } from "./crosshair";
import { AXIS_BOTTOM, AXIS_LEFT, AXIS_RIGHT, AXIS_TOP } from "./geometry";
import styles from "./time-chart.module.css";

export interface DrawnTrack extends Track {
  readonly color: string;
  /** Dashed = the worst host, by convention of the whole product. */
  readonly dashed?: boolean;
  readonly filled?: boolean;
}

export interface TimeChartProps {
  readonly meta: QueryMeta;
  readonly tracks: readonly DrawnTrack[];
  readonly stacked?: boolean;
  readonly height: number;
  readonly unit: string;
  readonly label: string;
  readonly describedBy: string;
}

/** Lines or stacked areas over time: gaps hatched and named, lone samples as dots, crosshair shared with the page, drag to zoom. */
export function TimeChart({ meta, tracks, stacked = false, height, unit, label, describedBy }: TimeChartProps) {
  const view = useView();
  const hatch = useId().replaceAll(":", "");
  const [hovered, setHovered] = useState(false);
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const rows = toRows(meta, tracks);
  const fromMs = stepStart(meta, 0);
  const toMs = Date.parse(meta.to);
  const gaps = gapsOf(meta, view.live, useGapReason(meta));
  const top = useSteadyTop(stacked ? largest(rows.map((row) => sumOf(row, tracks))) : largest(tracks.flatMap((t) => t.values)));
  const ticks = linearTicks(top);
  const offsetMs = view.zone === "utc" ? 0 : -new Date(toMs).getTimezoneOffset() * 60_000;

  function finishDrag(): void {
    if (drag && Math.abs(drag.to - drag.from) > meta.stepSeconds * 1000) {
      view.setAbsolute(Math.min(drag.from, drag.to) - meta.stepSeconds * 500, Math.max(drag.from, drag.to) + meta.stepSeconds * 500);
    }
    setDrag(null);
  }

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the chart inside is the interactive element; this only knows whether the pointer is over it.
    <div
      className={styles["chart"]}
      style={{ height }}
      onMouseEnter={() => setHovered(true)}
      onMouseLeave={() => {
        setHovered(false);
        setDrag(null);
        pointAt(null);
      }}
      onFocus={() => setHovered(true)}
      onBlur={() => setHovered(false)}
    >
      <ResponsiveContainer width="100%" height={height} initialDimension={{ width: 400, height }}>
        <ComposedChart
          data={rows}
          margin={{ top: AXIS_TOP, right: AXIS_RIGHT, bottom: 0, left: 0 }}
          syncId="page"
          syncMethod={(axis, from) => nearest(axis, Number(from.activeLabel))}
          aria-label={label}
          aria-describedby={describedBy}
          onMouseDown={(state) => state.activeLabel !== undefined && setDrag({ from: Number(state.activeLabel), to: Number(state.activeLabel) })}
          onMouseMove={(state) => {
            if (state.activeLabel === undefined) return;
            pointAt(Number(state.activeLabel));
            setDrag((d) => d && { ...d, to: Number(state.activeLabel) });
          }}
          onMouseUp={finishDrag}
        >
          <defs>
            <pattern id={hatch} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
              <rect width="3" height="6" fill="var(--hatch)" />
            </pattern>
          </defs>
          <CartesianGrid vertical={false} stroke="var(--grid)" />
          <XAxis
            dataKey="t"
            type="number"
            domain={[fromMs, toMs]}
            ticks={timeTicks(fromMs, toMs, 6, offsetMs)}
            tickFormatter={(t: number) => formatTimeTick(t, toMs - fromMs, view.zone)}
            height={AXIS_BOTTOM}
            tickLine={false}
            axisLine={false}
            tick={TICK}
            interval="preserveStartEnd"
            minTickGap={16}
          />
          <YAxis
            width={AXIS_LEFT}
            domain={[0, ticks.at(-1) ?? 1]}
            ticks={ticks}
            allowDataOverflow
            tickFormatter={(v: number) => (v === 0 ? "0" : formatValue(v, unit))}
            tickLine={false}
            axisLine={false}
            tick={TICK}
            interval={0}
          />
          {gaps.map((gap) => (
            <ReferenceArea
              key={gap.fromMs}
              x1={Math.max(gap.fromMs, fromMs)}
              x2={Math.min(gap.toMs, toMs)}
              fill={`url(#${hatch})`}
              fillOpacity={1}
              strokeOpacity={0}
              ifOverflow="hidden"
              label={
                (gap.toMs - gap.fromMs) / (toMs - fromMs) > 0.28
                  ? { value: gap.label, position: "insideTop", fill: "var(--text-2)", fontSize: 11 }
                  : undefined
              }
            />
          ))}
          {tracks.map((track) =>
            stacked || track.filled ? (
              <Area
                key={track.key}
                dataKey={track.key}
                name={track.label}
                {...(stacked ? { stackId: "all" } : {})}
                type="linear"
                stroke={track.color}
                strokeWidth={stacked ? 0.5 : 1.6}
                fill={track.color}
                fillOpacity={stacked ? 0.85 : 0.14}
                dot={loneDot(track)}
                activeDot={{ r: 3, strokeWidth: 0 }}
                isAnimationActive={false}
                connectNulls={false}
              />
            ) : (
              <Line
                key={track.key}
                dataKey={track.key}
                name={track.label}
                type="linear"
                stroke={track.color}
                strokeWidth={1.6}
                {...(track.dashed ? { strokeDasharray: "3 3" } : {})}
                dot={loneDot(track)}
                activeDot={{ r: 3, strokeWidth: 0 }}
                isAnimationActive={false}
                connectNulls={false}
              />
            ),
          )}
          {drag && drag.from !== drag.to && (
            <ReferenceArea x1={Math.min(drag.from, drag.to)} x2={Math.max(drag.from, drag.to)} fill="var(--honey)" fillOpacity={0.18} />
          )}
          {drag && drag.from !== drag.to && <ReferenceLine x={drag.from} stroke="var(--honey)" />}
          <Tooltip
            isAnimationActive={false}
            cursor={{ stroke: "var(--line-strong)", strokeWidth: 1 }}
            wrapperStyle={{ zIndex: 4, pointerEvents: "none" }}
            content={(props: TooltipContentProps) =>
              hovered && props.active ? <ChartTooltip t={Number(props.label)} meta={meta} tracks={tracks} rows={rows} stacked={stacked} /> : null
            }
          />
        </ComposedChart>
      </ResponsiveContainer>
      {!hovered && <Crosshair fromMs={fromMs} toMs={toMs} left={AXIS_LEFT} right={AXIS_RIGHT} top={AXIS_TOP} bottom={AXIS_BOTTOM} />}
    </div>
  );
}

const TICK = { fill: "var(--text-3)", fontSize: 11 } as const;

function ChartTooltip({
  t,
  meta,
  tracks,
  rows,
  stacked,
}: {
  t: number;
  meta: QueryMeta;
  tracks: readonly DrawnTrack[];
  rows: readonly Row[];
  stacked: boolean;
}) {
  const view = useView();
  const index = rows.findIndex((row) => row.t === t);
  const row = rows[index];
  if (!row) return null;
  const start = stepStart(meta, index);
  const reported = (meta.coverage.steps[index] ?? 0) > 0;
  const ordered = stacked ? [...tracks].reverse() : tracks;
  return (
    <div className={styles["tooltip"]}>
      <p className={styles["when"]}>
        {formatClock(start, view.zone, "always")}–{formatClock(start + meta.stepSeconds * 1000, view.zone, "always")}
      </p>
      {reported ? (
        ordered.map((track) => (
          <p key={track.key} className={styles["entry"]}>
            <i style={{ background: track.color }} />
            <span>{track.label}</span>
            <b>{formatValue(row[track.key] ?? null, track.unit)}</b>
          </p>
        ))
      ) : (
        <p>no data</p>
      )}
    </div>
  );
}

/** recharts draws nothing for a point without neighbours; a measured value must be seen. */
function loneDot(track: DrawnTrack) {
  return (props: DotItemDotProps) => {
    const { cx, cy, index = 0 } = props;
    return cx !== undefined && cy !== undefined && Number.isFinite(cy) && isolated(track.values, index) ? (
      <circle key={`${track.key}${index}`} cx={cx} cy={cy} r={1.8} fill={track.color} />
    ) : (
      <g key={`${track.key}${index}`} />
    );
  };
}

function sumOf(row: Row, tracks: readonly Track[]): number | null {
  const present = tracks.map((t) => row[t.key] ?? null).filter((v) => v !== null);
  return present.length === 0 ? null : present.reduce((a, b) => a + b, 0);
}

/** The axis keeps its top while the data stays between 45 % and 100 % of it, so that a refresh does not make the chart jump. */
function useSteadyTop(max: number | null): number {
  const kept = useRef(0);
  const wanted = max ?? 0;
  const ceiling = linearTicks(kept.current).at(-1) ?? 1;
  if (kept.current === 0 || wanted > ceiling || wanted < ceiling * 0.45) kept.current = wanted;
  return kept.current;
}

function nearest(ticks: readonly { value: unknown }[], t: number): number {
  let best = 0;
  ticks.forEach((tick, i) => {
    if (Math.abs(Number(tick.value) - t) < Math.abs(Number(ticks[best]?.value) - t)) best = i;
  });
  return best;
}
