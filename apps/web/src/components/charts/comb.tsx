// SPDX-License-Identifier: Apache-2.0
"use client";

import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from "react";
import { type CombGroup, type CombLayout, cellAfterKey, cellAt, combLayout, type GroupedLayout, groupedLayout } from "@/lib/comb";
import { type Palette, usePalette } from "@/lib/palette";
import { useWidth } from "@/lib/use-size";
import styles from "./comb.module.css";

export interface CombCell {
  readonly key: string;
  readonly name: string;
  /** 0..8; null = no value for this host. */
  readonly level: number | null;
  readonly reporting: boolean;
  /** Outlined in the critical colour; the words say so too. */
  readonly flagged: boolean;
  /** What the tooltip and a screen reader say after the name. */
  readonly text: string;
}

export interface CombProps {
  /** In the order of `groups`, group after group. */
  readonly cells: readonly CombCell[];
  /** How many cells belong together, and what they have in common; drawn apart where there is room. */
  readonly groups: readonly CombGroup[];
  readonly height: number;
  readonly label: string;
  readonly describedBy: string;
  readonly onOpen: (cell: CombCell) => void;
}

/** Every host a hexagon: filled by one hue from nothing to worst, dashed when it does not report. */
export function Comb({ cells, groups, height, label, describedBy, onOpen }: CombProps) {
  const palette = usePalette();
  const [box, width] = useWidth<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [active, setActive] = useState<number | null>(null);
  const helpId = useId();
  const layout = useMemo((): CombLayout & Partial<GroupedLayout> => {
    const grouped = groups.reduce((sum, group) => sum + group.count, 0) === cells.length ? groupedLayout(groups, width, height) : null;
    return grouped ?? combLayout(cells.length, width, height);
  }, [cells.length, groups, width, height]);

  useEffect(() => {
    const element = canvas.current;
    if (!element || !palette || width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    element.width = Math.round(width * ratio);
    element.height = Math.round(height * ratio);
    const context = element.getContext("2d");
    if (!context) return;
    context.scale(ratio, ratio);
    cells.forEach((cell, i) => {
      drawHexagon(context, layout, i, cell, palette);
    });
  }, [cells, layout, palette, width, height]);

  function onKeyDown(event: KeyboardEvent): void {
    if (event.key === "Enter" && active !== null && cells[active]) {
      onOpen(cells[active]);
      return;
    }
    const next = active === null ? 0 : cellAfterKey(layout, active, event.key);
    if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    setActive(next);
  }

  const shown = active === null ? undefined : cells[active];
  const centre = active === null ? undefined : layout.cells[active];
  return (
    <div className={styles["comb"]} style={{ height }} ref={box}>
      <canvas
        ref={canvas}
        role="img"
        aria-label={label}
        aria-describedby={`${describedBy} ${helpId}`}
        tabIndex={0}
        className={styles["canvas"]}
        style={{ cursor: shown ? "pointer" : "default" }}
        onPointerMove={(event) => {
          const bounds = event.currentTarget.getBoundingClientRect();
          setActive(cellAt(layout, event.clientX - bounds.left, event.clientY - bounds.top));
        }}
        onPointerLeave={() => setActive(null)}
        onClick={() => shown && onOpen(shown)}
        onFocus={(event) => event.currentTarget.matches(":focus-visible") && setActive((a) => a ?? 0)}
        onBlur={() => setActive(null)}
        onKeyDown={onKeyDown}
      />
      {layout.blocks?.map((block) => (
        <span key={block.label} className={styles["group"]} style={{ left: block.x, maxWidth: block.width }} title={block.label}>
          {block.label} <b>{block.count}</b>
        </span>
      ))}
      {shown && centre && (
        // Over the canvas, so that moving about does not draw thousands of hexagons again.
        <svg className={styles["cursor"]} width={width} height={height} aria-hidden="true">
          <polygon points={hexagon(centre.x, centre.y, Math.max(2, layout.radius - 1)).join(" ")} />
        </svg>
      )}
      {shown && centre && (
        <div
          className={styles["tooltip"]}
          style={{
            top: Math.max(0, Math.min(centre.y - 20, height - 48)),
            ...(centre.x > width * 0.6 ? { right: width - centre.x + layout.radius + 8 } : { left: centre.x + layout.radius + 8 }),
          }}
        >
          <b>{shown.name}</b>
          <br />
          {shown.text}
        </div>
      )}
      <span id={helpId} className="visually-hidden">
        Arrow keys move over the hosts, Enter opens one; the table has the same numbers.
      </span>
      <span className="visually-hidden" aria-live="polite">
        {shown ? `${shown.name}: ${shown.text}` : ""}
      </span>
    </div>
  );
}

/** Corners of a pointy-top hexagon, `x,y` each. */
function hexagon(x: number, y: number, radius: number): string[] {
  return CORNERS.map(([cos, sin]) => `${(x + radius * cos).toFixed(2)},${(y + radius * sin).toFixed(2)}`);
}

const CORNERS = Array.from({ length: 6 }, (_, corner): readonly [number, number] => {
  const angle = (Math.PI / 3) * corner + Math.PI / 6;
  return [Math.cos(angle), Math.sin(angle)];
});

function drawHexagon(context: CanvasRenderingContext2D, layout: CombLayout, index: number, cell: CombCell, palette: Palette): void {
  const centre = layout.cells[index];
  if (!centre) return;
  // On a comb of thousands the outline must not cover the fill.
  const outline = (cell.flagged ? 1.8 : 0.8) * Math.min(1, layout.radius / 8);
  // Dashes of neighbours would run together.
  const inset = cell.reporting ? 1.4 : 2.6;
  const radius = Math.max(0.8, layout.radius - Math.min(inset, layout.radius * 0.12) - outline / 2);
  context.beginPath();
  for (const [cos, sin] of CORNERS) context.lineTo(centre.x + radius * cos, centre.y + radius * sin);
  context.closePath();
  context.lineWidth = outline;
  if (!cell.reporting) {
    context.fillStyle = palette.surface;
    context.fill();
    // Dashes need room to be seen as such.
    const dash = Math.min(2.5, layout.radius / 4);
    context.setLineDash([dash, dash]);
    context.lineWidth = Math.min(1.2, layout.radius / 6);
    context.strokeStyle = palette.none;
    context.stroke();
    context.setLineDash([]);
    return;
  }
  context.fillStyle = palette.heat[cell.level === null ? 0 : Math.max(1, cell.level)] ?? palette.surface;
  context.fill();
  context.strokeStyle = cell.flagged ? palette.critical : palette.lineStrong;
  context.stroke();
}
