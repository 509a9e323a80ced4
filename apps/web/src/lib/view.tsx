// SPDX-License-Identifier: Apache-2.0
"use client";

import { useQueryClient } from "@tanstack/react-query";
import type { Zone } from "@waggle/units";
import { parseAsBoolean, parseAsString, parseAsStringLiteral, useQueryStates } from "nuqs";
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useRef, useState } from "react";
import { serverNow } from "./api/client";
import { DEFAULT_RANGE, type Range, type RangeText, resolveRange, shifted, zoomedOut } from "./time-range";

const WINDOW_MS = 10_000;
/** Into each window: by then the window before is stored and readable. */
const REFRESH_AT_MS = 3_300;
/** A server that needs longer than a window to answer is not asked again before it has answered, up to this. */
const PATIENCE_MS = 60_000;

const params = {
  from: parseAsString.withDefault(DEFAULT_RANGE.from),
  to: parseAsString.withDefault(DEFAULT_RANGE.to),
  live: parseAsBoolean.withDefault(true),
  q: parseAsString.withDefault(""),
  by: parseAsString.withDefault(""),
  tz: parseAsStringLiteral(["utc", "local"] as const).withDefault("utc"),
};

/** What the URL says about the view, resolved against the clock, and the ways to change it. */
export interface View {
  readonly text: RangeText;
  readonly range: Range;
  /** Follows the clock right now (not paused, tab visible, range ends now). */
  readonly live: boolean;
  readonly paused: boolean;
  readonly nowMs: number;
  readonly zone: Zone;
  readonly filter: string;
  /** The page's choice (fleet: what colours the comb). Empty = the page's default. */
  readonly by: string;
  setRange(text: RangeText): void;
  setAbsolute(fromMs: number, toMs: number): void;
  shift(direction: -1 | 1): void;
  zoomOut(): void;
  togglePaused(): void;
  setZone(zone: Zone): void;
  setFilter(q: string): void;
  setBy(by: string): void;
  /** Everything up to here is stored: what follows the present need not wait for the clock. */
  noteComplete(toMs: number): void;
}

const ViewContext = createContext<View | null>(null);

export function useView(): View {
  const view = useContext(ViewContext);
  if (!view) throw new Error("useView outside of ViewProvider");
  return view;
}

/** Renders `fallback` until the browser's clock is known: the server can't know which range "now" means. */
export function ViewProvider({ children, fallback }: { children: ReactNode; fallback: ReactNode }) {
  const [state, setState] = useQueryStates(params, { history: "push", shallow: true, clearOnDefault: true });
  const endsNow = state.to.trim() === "now";
  const paused = endsNow && !state.live;
  const { nowMs, noteComplete } = useClock(endsNow && !paused);

  const range = useMemo(() => (nowMs === null ? null : resolveRange({ from: state.from, to: state.to }, nowMs)), [nowMs, state.from, state.to]);

  const setRange = useCallback((text: RangeText) => void setState({ from: text.from, to: text.to, live: null }), [setState]);
  const view = useMemo<View | null>(() => {
    if (range === null || nowMs === null) return null;
    return {
      text: { from: state.from, to: state.to },
      range,
      live: range.live && !paused,
      paused,
      nowMs,
      zone: state.tz,
      filter: state.q,
      by: state.by,
      setRange,
      setAbsolute: (fromMs, toMs) => setRange({ from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString() }),
      shift: (direction) => setRange(shifted(range, direction, serverNow())),
      zoomOut: () => setRange(zoomedOut(range, serverNow())),
      togglePaused: () => void (endsNow ? setState({ live: paused ? null : false }) : setState({ from: null, to: null, live: null })),
      setZone: (zone) => void setState({ tz: zone }, { history: "replace" }),
      setFilter: (q) => void setState({ q: q === "" ? null : q }),
      setBy: (by) => void setState({ by: by === "" ? null : by }, { history: "replace" }),
      noteComplete,
    };
  }, [range, nowMs, paused, endsNow, state, setRange, setState, noteComplete]);

  return view ? <ViewContext value={view}>{children}</ViewContext> : fallback;
}

interface Clock {
  /** null before the first effect. */
  readonly nowMs: number | null;
  readonly noteComplete: (toMs: number) => void;
}

/** Server time in ms, renewed once per window while `running` and the tab is visible: by the clock, or earlier by whoever knows that a window is stored. */
function useClock(running: boolean): Clock {
  const [nowMs, setNowMs] = useState<number | null>(null);
  const client = useQueryClient();
  const complete = useRef<(toMs: number) => void>(() => {});
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let ticked = 0;
    const tick = (): void => {
      clearTimeout(timer);
      if (client.isFetching() > 0 && serverNow() - ticked < PATIENCE_MS) {
        timer = setTimeout(tick, 1000);
        return;
      }
      ticked = serverNow();
      setNowMs(ticked);
      schedule();
    };
    const schedule = (): void => {
      clearTimeout(timer);
      if (!running || document.hidden) return;
      const into = serverNow() % WINDOW_MS;
      const waitMs = ((REFRESH_AT_MS - into + WINDOW_MS - 1) % WINDOW_MS) + 1;
      // What this window brought was told already: next in the next one.
      timer = setTimeout(tick, into < REFRESH_AT_MS && windowOf(ticked) === windowOf(serverNow()) ? waitMs + WINDOW_MS : waitMs);
    };
    complete.current = (toMs) => {
      if (running && !document.hidden && toMs % WINDOW_MS === 0 && windowOf(ticked) < windowOf(toMs)) tick();
    };
    const onVisibility = (): void => {
      if (!document.hidden && running) tick();
      else clearTimeout(timer);
    };
    if (running) tick();
    else setNowMs((known) => known ?? serverNow());
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisibility);
    };
  }, [running, client]);
  const noteComplete = useCallback((toMs: number) => complete.current(toMs), []);
  return { nowMs, noteComplete };
}

function windowOf(ms: number): number {
  return Math.floor(ms / WINDOW_MS);
}
