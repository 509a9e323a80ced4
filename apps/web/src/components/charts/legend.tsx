// SPDX-License-Identifier: Apache-2.0

import type { DrawnTrack } from "./time-chart";
import styles from "./time-chart.module.css";

/** Colours in the order in which they can be told apart; "other" has its own. */
export const SERIES_COLORS = ["var(--s1)", "var(--s2)", "var(--s3)", "var(--s4)", "var(--s5)", "var(--s6)", "var(--s7)", "var(--s8)"] as const;

export function colored(tracks: readonly { key: string; label: string; unit: string; values: readonly (number | null)[] }[]): DrawnTrack[] {
  return tracks.map((track, i) => ({
    ...track,
    color: track.key === "other" ? "var(--none)" : (SERIES_COLORS[i % SERIES_COLORS.length] ?? "var(--s1)"),
  }));
}

export function Legend({ tracks }: { tracks: readonly DrawnTrack[] }) {
  return (
    <div className={styles["legend"]}>
      {tracks.map((track) => (
        <span key={track.key}>
          <i {...(track.dashed ? { "data-dashed": "" } : { style: { background: track.color } })} />
          {track.label}
        </span>
      ))}
    </div>
  );
}
