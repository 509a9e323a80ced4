// SPDX-License-Identifier: Apache-2.0
"use client";

import { useView } from "@/lib/view";
import styles from "./controls.module.css";

/** Live (renewed each window), paused, or looking at the past. */
export function LiveButton() {
  const view = useView();
  const state = view.live ? "live" : view.paused ? "paused" : "past";
  const label = { live: "Live 10 s", paused: "Paused", past: "Past" }[state];
  const action = { live: "Pause", paused: "Continue live", past: "Go back to live" }[state];
  return (
    <button type="button" className={styles["live"]} data-state={state} onClick={view.togglePaused} title={`${action} (l)`}>
      <span className={styles["dot"]} aria-hidden="true" />
      {label}
      <span className="visually-hidden">: {action}</span>
    </button>
  );
}
