// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatClock, formatCount, formatRatio, formatTimeTick, formatValue, logTicks, timeTicks } from "@waggle/units";
import { type KeyboardEvent, type PointerEvent, useEffect, useId, useMemo, useRef, useState } from "react";
import type { HeatmapSeries, QueryMeta } from "@/lib/api/types";
import { pointAt } from "@/lib/crosshair";
import { useGapReason } from "@/lib/gap-reasons";
import { columnTotal, parseHex, rowBounds, toGrid, toPixels } from "@/lib/heatmap";
import { usePalette } from "@/lib/palette";
import { gapsOf, stepStart } from "@/lib/series";
import { useWidth } from "@/lib/use-size";
import { useView } from "@/lib/view";
import { Crosshair } from "./crosshair";
import { AXIS_BOTTOM, AXIS_LEFT, AXIS_RIGHT, AXIS_TOP } from "./geometry";
import styles from "./heat-map.module.css";

export interface HeatMapProps {
  readonly meta: QueryMeta;
  readonly series: HeatmapSeries;
  /** px including the time axis. */
  readonly height: number;
  readonly label: string;
  readonly describedBy: string;
  /** What one count is: "connections", "calls". */
  readonly countNoun: string;
}

/** px. Narrower gaps are named by their tooltip and the ribbon only. */
const GAP_NAMED_MIN = 10;

/** Distribution over time: each cell is one step × one range of values, lightness its count. Drag zooms in time; arrow keys move a cell cursor. */
export function HeatMap({ meta, series, height, label, describedBy, countNoun }: HeatMapProps) {
  const view = useView();
  const palette = usePalette();
  const [box, width] = useWidth<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [cursor, setCursor] = useState<{ column: number; row: number } | null>(null);
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const helpId = useId();
  const plotWidth = Math.max(0, width - AXIS_LEFT - AXIS_RIGHT);
  const plotHeight = height - AXIS_BOTTOM - AXIS_TOP;

  // Cells of at least 4 px: eight, four or two per octave, whatever the range leaves room for.
  const grid = useMemo(() => {
    for (const rowsPerOctave of [8, 4, 2]) {
      const candidate = toGrid(series, rowsPerOctave);
      if (!candidate || plotHeight / candidate.rows >= 4 || rowsPerOctave === 2) return candidate;
    }
    return null;
  }, [series, plotHeight]);

  useEffect(() => {
    const element = canvas.current;
    if (!element || !grid || !palette) return;
    // One pixel per cell; the browser scales it up without smoothing.
    element.width = grid.columns;
    element.height = grid.rows;
    const context = element.getContext("2d");
    context?.putImageData(new ImageData(toPixels(grid, palette.heat.map(parseHex)), grid.columns, grid.rows), 0, 0);
  }, [grid, palette]);

  const fromMs = stepStart(meta, 0);
  const toMs = Date.parse(meta.to);
  const offsetMs = view.zone === "utc" ? 0 : -new Date(toMs).getTimezoneOffset() * 60_000;
  const columns = grid?.columns ?? Math.max(1, meta.points);
  const xOf = (ms: number): number => ((ms - fromMs) / (columns * meta.stepSeconds * 1000)) * plotWidth;
  const gaps = gapsOf(meta, view.live, useGapReason(meta));

  function at(event: PointerEvent): { column: number; row: number } | null {
    const bounds = canvas.current?.getBoundingClientRect();
    if (!bounds || !grid || bounds.width === 0) return null;
    const column = Math.floor(((event.clientX - bounds.left) / bounds.width) * grid.columns);
    const row = Math.floor((1 - (event.clientY - bounds.top) / bounds.height) * grid.rows);
    return { column: clamp(column, grid.columns), row: clamp(row, grid.rows) };
  }

  function finishDrag(): void {
    if (drag && drag.from !== drag.to)
      view.setAbsolute(stepStart(meta, Math.min(drag.from, drag.to)), stepStart(meta, Math.max(drag.from, drag.to) + 1));
    setDrag(null);
  }

  function onKeyDown(event: KeyboardEvent): void {
    if (!grid) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (event.key === "Escape") setCursor(null);
    if (!step) return;
    event.preventDefault();
    const [dx = 0, dy = 0] = step;
    setCursor((c) => (c ? { column: clamp(c.column + dx, grid.columns), row: clamp(c.row + dy, grid.rows) } : firstBusy(grid)));
  }

  const bounds = grid && cursor ? rowBounds(grid, cursor.row) : null;
  const count = grid && cursor ? (grid.counts[cursor.row * grid.columns + cursor.column] ?? Number.NaN) : Number.NaN;
  const total = grid && cursor ? columnTotal(grid, cursor.column) : 0;
  const counted = Number.isNaN(count)
    ? "no data"
    : `${formatCount(count)} ${countNoun}${total > 0 ? `, ${formatRatio(count / total)} of this step` : ""}`;
  const said =
    cursor && bounds
      ? `${formatClock(stepStart(meta, cursor.column), view.zone, "always")}, ${formatValue(bounds.lower, series.unit)} to ${formatValue(bounds.upper, series.unit)}: ${counted}`
      : "";

  return (
    <div className={styles["map"]} style={{ height }} ref={box}>
      {grid &&
        logTicks(grid.lower, grid.upper).map((tick) => {
          const y = AXIS_TOP + (1 - Math.log(tick / grid.lower) / Math.log(grid.upper / grid.lower)) * plotHeight;
          return (
            <span key={tick} aria-hidden="true" className={styles["value"]} style={{ top: y, width: AXIS_LEFT - 8 }}>
              {formatValue(tick, series.unit)}
            </span>
          );
        })}
      <div className={styles["plot"]} style={{ left: AXIS_LEFT, top: AXIS_TOP, width: plotWidth, height: plotHeight }}>
        {grid &&
          logTicks(grid.lower, grid.upper).map((tick) => (
            <i
              key={tick}
              className={styles["rule"]}
              style={{ top: (1 - Math.log(tick / grid.lower) / Math.log(grid.upper / grid.lower)) * plotHeight }}
            />
          ))}
        {gaps.map((gap) => {
          const left = Math.max(0, xOf(gap.fromMs));
          const gapWidth = Math.min(plotWidth, xOf(gap.toMs)) - left;
          return (
            <div key={gap.fromMs} className={styles["gap"]} style={{ left, width: gapWidth }} title={gap.label}>
              <span
                hidden={gapWidth < GAP_NAMED_MIN}
                style={
                  gapWidth < 140 && left + gapWidth + 160 > plotWidth
                    ? { right: "100%", paddingRight: 6 }
                    : gapWidth < 140
                      ? { left: "100%", paddingLeft: 6 }
                      : { left: 6 }
                }
              >
                {gap.label}
              </span>
            </div>
          );
        })}
        <canvas
          ref={canvas}
          role="img"
          aria-label={label}
          aria-describedby={`${describedBy} ${helpId}`}
          tabIndex={0}
          className={styles["canvas"]}
          onPointerDown={(event) => {
            const cell = at(event);
            if (cell && event.button === 0) {
              event.currentTarget.setPointerCapture(event.pointerId);
              setDrag({ from: cell.column, to: cell.column });
            }
          }}
          onPointerMove={(event) => {
            const cell = at(event);
            setCursor(cell);
            pointAt(cell && stepStart(meta, cell.column) + meta.stepSeconds * 500);
            if (cell) setDrag((d) => d && { ...d, to: cell.column });
          }}
          onPointerUp={finishDrag}
          onPointerLeave={() => {
            setCursor(null);
            pointAt(null);
          }}
          onFocus={(event) => grid && event.currentTarget.matches(":focus-visible") && setCursor((c) => c ?? firstBusy(grid))}
          onKeyDown={onKeyDown}
          onBlur={() => setCursor(null)}
        />
        {drag && drag.from !== drag.to && (
          <div
            className={styles["drag"]}
            style={{ left: (Math.min(drag.from, drag.to) / columns) * plotWidth, width: ((Math.abs(drag.to - drag.from) + 1) / columns) * plotWidth }}
          />
        )}
        {!cursor && <Crosshair fromMs={fromMs} toMs={fromMs + columns * meta.stepSeconds * 1000} />}
        {grid && cursor && bounds && (
          <>
            <div
              className={styles["cell"]}
              style={{
                left: (cursor.column / grid.columns) * plotWidth,
                width: Math.max(2, plotWidth / grid.columns),
                top: (1 - (cursor.row + 1) / grid.rows) * plotHeight,
                height: plotHeight / grid.rows,
              }}
            />
            <div
              className={styles["tooltip"]}
              style={{
                top: Math.max(0, (1 - cursor.row / grid.rows) * plotHeight - 64),
                ...(cursor.column > grid.columns * 0.6
                  ? { right: plotWidth - (cursor.column / grid.columns) * plotWidth + 10 }
                  : { left: ((cursor.column + 1) / grid.columns) * plotWidth + 10 }),
              }}
            >
              <p className={styles["when"]}>
                {formatClock(stepStart(meta, cursor.column), view.zone, "always")}–
                {formatClock(stepStart(meta, cursor.column + 1), view.zone, "always")}
              </p>
              <p>
                {formatValue(bounds.lower, series.unit)} – {formatValue(bounds.upper, series.unit)}
              </p>
              <p>
                <b>{counted}</b>
              </p>
            </div>
          </>
        )}
        {!grid && <p className={styles["none"]}>0 {countNoun} measured</p>}
      </div>
      {timeTicks(fromMs, toMs, 6, offsetMs).map((tick) => {
        const x = AXIS_LEFT + xOf(tick);
        return x > width - 18 ? null : (
          <span key={tick} aria-hidden="true" className={styles["time"]} style={{ left: x }}>
            {formatTimeTick(tick, toMs - fromMs, view.zone)}
          </span>
        );
      })}
      <span id={helpId} className="visually-hidden">
        Arrow keys move over the cells; the table has the same numbers.
      </span>
      <span className="visually-hidden" aria-live="polite">
        {said}
      </span>
    </div>
  );
}

function clamp(value: number, count: number): number {
  return Math.min(count - 1, Math.max(0, value));
}

/** Where the keyboard cursor starts: the busiest cell of the newest step that has one. */
function firstBusy(grid: { columns: number; rows: number; counts: Float64Array }): { column: number; row: number } {
  for (let column = grid.columns - 1; column >= 0; column--) {
    let best: number | null = null;
    let most = 0;
    for (let row = 0; row < grid.rows; row++) {
      const count = grid.counts[row * grid.columns + column] ?? 0;
      if (count > most) {
        most = count;
        best = row;
      }
    }
    if (best !== null) return { column, row: best };
  }
  return { column: 0, row: 0 };
}
