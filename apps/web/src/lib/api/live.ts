// SPDX-License-Identifier: Apache-2.0
"use client";

import { useEffect, useRef, useState } from "react";
import { type Moment, reasonOf, withWindow } from "../live-windows";
import { useView } from "../view";
import type { LiveWindow, QueryBody } from "./types";

export type LiveQuery = Pick<QueryBody, "signal" | "select"> & Partial<Pick<QueryBody, "where">>;

export interface LiveStrip {
  /** `off`: paused, in the past or in a hidden tab; `polling`: the server would not or cannot push, pages ask by themselves. */
  readonly state: "off" | "connecting" | "live" | "polling";
  readonly moments: readonly Moment[];
  /** Why each query's newest value is missing, in words; null: it is there, or nobody knows. */
  readonly reasons: readonly (string | null)[];
}

const nothing = { moments: [], reasons: [] };

/** A server that closed for good is asked again after this. */
const RETRY_MS = 30_000;

/**
 * Watches a host while the view follows the present: its windows are a second long meanwhile. Every completed default window also renews the page's other panels; without the stream
 * they go by the clock, as on every other page.
 * @param queries of one series each; a constant
 */
export function useLiveHost(host: string, queries: readonly LiveQuery[], keptMs: number): LiveStrip {
  const { live, noteComplete } = useView();
  const [strip, setStrip] = useState<LiveStrip>({ state: "off", ...nothing });
  const note = useRef(noteComplete);
  note.current = noteComplete;
  useEffect(() => {
    let source: EventSource | undefined;
    let retry: ReturnType<typeof setTimeout> | undefined;
    const close = (): void => {
      clearTimeout(retry);
      source?.close();
      source = undefined;
    };
    const open = (): void => {
      close();
      if (!live || document.hidden) {
        setStrip({ state: "off", ...nothing });
        return;
      }
      setStrip((known) => ({ ...known, state: "connecting" }));
      const parameters = new URLSearchParams({ host, since: `now-${Math.round(keptMs / 1_000)}s` });
      for (const query of queries) parameters.append("query", JSON.stringify(query));
      const opened = new EventSource(`/api/v1/live?${parameters}`);
      source = opened;
      opened.addEventListener("window", (event) => {
        const window = JSON.parse((event as MessageEvent<string>).data) as LiveWindow;
        const position = window.query ?? 0;
        setStrip((known) => ({
          state: "live",
          moments: withWindow(known.moments, window, position, queries.length, keptMs),
          reasons: queries.map((_, index) => (index === position ? reasonOf(window) : (known.reasons[index] ?? null))),
        }));
        note.current(Date.parse(window.to));
      });
      opened.addEventListener("end", (event) => {
        if (!(JSON.parse((event as MessageEvent<string>).data) as { reconnect: boolean }).reconnect) giveUp();
      });
      // While it is connecting again by itself nothing is lost; when it has closed, the clock goes on alone.
      opened.addEventListener("error", () => {
        if (opened.readyState === EventSource.CLOSED) giveUp();
      });
    };
    const giveUp = (): void => {
      close();
      setStrip({ state: "polling", ...nothing });
      retry = setTimeout(open, RETRY_MS);
    };
    open();
    document.addEventListener("visibilitychange", open);
    return () => {
      document.removeEventListener("visibilitychange", open);
      close();
    };
  }, [host, live, queries, keptMs]);
  return strip;
}
