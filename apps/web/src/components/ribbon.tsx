// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatDuration, formatRatio } from "@waggle/units";
import type { QueryMeta } from "@/lib/api/types";
import { ribbonRuns, stepCount } from "@/lib/series";
import { useView } from "@/lib/view";
import { AXIS_LEFT, AXIS_RIGHT } from "./charts/geometry";
import styles from "./ribbon.module.css";

const WORDS = { full: "all expected windows", partial: "some windows missing", none: "no data", pending: "not arrived yet" } as const;

/** How much of the evidence is there, step by step, under the chart it belongs to. */
export function Ribbon({ meta }: { meta: QueryMeta }) {
  const view = useView();
  const runs = ribbonRuns(meta, view.live);
  const count = stepCount(meta);
  const known = runs.filter((r) => r.level !== "pending");
  const steps = known.reduce((sum, r) => sum + r.length, 0);
  const present = steps === 0 ? 0 : known.reduce((sum, r) => sum + r.fraction * r.length, 0) / steps;
  const text = `Coverage: ${formatRatio(present)} of the windows of ${meta.coverage.hosts === 1 ? "1 host" : `${meta.coverage.hosts} hosts`}`;
  return (
    <div className={styles["ribbon"]} role="img" aria-label={text} style={{ marginLeft: AXIS_LEFT, marginRight: AXIS_RIGHT }}>
      {runs.map((run) => (
        <span
          key={run.start}
          data-level={run.level}
          style={{ width: `${(run.length / count) * 100}%` }}
          title={`${WORDS[run.level]}, ${formatDuration(run.length * meta.stepSeconds * 1e9)}${run.level === "partial" ? ` (${formatRatio(run.fraction)} there)` : ""}`}
        />
      ))}
    </div>
  );
}
