// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatMoment, type Zone } from "@waggle/units";
import { CircleSlash, Clock, FilterX, History, Hourglass, OctagonAlert, PauseCircle, Unplug } from "lucide-react";
import type { ReactNode } from "react";
import type { Cause } from "@/lib/panel-state";
import styles from "./panel-state.module.css";

export interface PanelStateProps {
  readonly cause: Cause;
  /** px, the height of what would be drawn: nothing moves when data arrives. */
  readonly height: number;
  readonly zone: Zone;
  readonly nowMs: number;
  readonly onRetry: () => void;
  readonly onClearFilter: () => void;
  readonly onLatest: () => void;
}

const ICON = { size: 20, strokeWidth: 1.5, "aria-hidden": true } as const;

/** The one place where a panel without data says why. */
export function PanelState({ cause, height, zone, nowMs, onRetry, onClearFilter, onLatest }: PanelStateProps) {
  if (cause.kind === "loading") {
    return (
      <div className={styles["skeleton"]} style={{ height }} role="status">
        <span className="visually-hidden">Loading</span>
        <div className={styles["bars"]} aria-hidden="true" />
      </div>
    );
  }
  const { icon, title, detail, action } = describe();
  return (
    <div className={styles["state"]} style={{ minHeight: height }} data-cause={cause.kind}>
      {icon}
      <p className={styles["title"]}>{title}</p>
      {detail && <p className={styles["detail"]}>{detail}</p>}
      {action}
    </div>
  );

  function describe(): { icon: ReactNode; title: string; detail?: ReactNode; action?: ReactNode } {
    const when = (time: string): string => formatMoment(Date.parse(time), nowMs, zone);
    const button = (label: string, onClick: () => void): ReactNode => (
      <button type="button" className={styles["action"]} onClick={onClick}>
        {label}
      </button>
    );
    switch (cause.kind) {
      case "loading":
        return { icon: null, title: "" };
      case "waiting":
        return { icon: <Hourglass {...ICON} />, title: "Waiting for first data", detail: `${cause.detail} The first window takes up to 10 s.` };
      case "no-match":
        return {
          icon: <FilterX {...ICON} />,
          title: "Nothing matches the filter",
          detail: <code>{cause.filter}</code>,
          action: button("Remove the filter", onClearFilter),
        };
      case "outside-retention":
        return {
          icon: <History {...ICON} />,
          title: "Before anything that is kept",
          detail: cause.detail,
          action: button("Show the last 15 min", onLatest),
        };
      case "unsupported":
        return {
          icon: <CircleSlash {...ICON} />,
          title: cause.failed ? `${cause.signal} could not be started on this kernel` : `${cause.signal} is not available on this kernel`,
          detail: cause.reason || "The agent gave no reason.",
        };
      case "disabled":
        return {
          icon: <PauseCircle {...ICON} />,
          title: cause.state === "shed" ? `${cause.signal} was shed to stay within the agent's budget` : `${cause.signal} is switched off`,
          detail: cause.reason || "The agent gave no reason.",
        };
      case "offline":
        return {
          icon: <Unplug {...ICON} />,
          title: cause.since ? `${cause.host} does not report since ${when(cause.since)}` : `${cause.host} delivered nothing for this range`,
          // The title says it already.
          detail: cause.reason && cause.reason !== "offline" ? cause.reason : undefined,
          action: button("Show the last 15 min", onLatest),
        };
      case "failed": {
        const { problem } = cause;
        const first = problem.errors?.[0];
        return {
          icon: problem.status === 504 ? <Clock {...ICON} /> : <OctagonAlert {...ICON} />,
          title: problem.title,
          detail: (
            <>
              {first ? `${first.detail}${first.suggestion ? `. Did you mean ${first.suggestion}?` : ""}` : problem.detail}
              {problem.requestId && (
                <>
                  <br />
                  request <code>{problem.requestId}</code>
                </>
              )}
            </>
          ),
          action: button("Try again", onRetry),
        };
      }
    }
  }
}
