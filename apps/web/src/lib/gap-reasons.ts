// SPDX-License-Identifier: Apache-2.0
import { createContext, useContext } from "react";
import type { Host, QueryAnswer, QueryMeta } from "./api/types";
import { type GapReason, pick, stepStart } from "./series";

/** What a page about one host knows of the times without data. */
export interface GapKnowledge {
  readonly enrolledMs: number;
  /** agent_coverage by signal, state and reason, step by step; undefined until known. */
  readonly states: QueryAnswer | undefined;
}

export const GapKnowledgeContext = createContext<GapKnowledge | null>(null);

export function useGapReason(meta: QueryMeta): GapReason {
  const knowledge = useContext(GapKnowledgeContext);
  return knowledge ? gapReason(meta.signal, knowledge) : () => null;
}

export function gapKnowledge(host: Host, states: QueryAnswer | undefined): GapKnowledge {
  return { enrolledMs: Date.parse(host.enrolledAt), states };
}

/** Reasons of a signal's gaps: not enrolled yet; or the state the agent itself reported then ("shed: over its budget"). */
export function gapReason(signal: string, { enrolledMs, states }: GapKnowledge): GapReason {
  return (fromMs, toMs) => {
    const stepMs = (states?.meta.stepSeconds ?? 10) * 1000;
    // The first windows are stored some time after the enrolment.
    if (toMs <= enrolledMs + 2 * Math.max(stepMs, 10_000)) return "before this host was enrolled";
    if (!states) return null;
    for (const series of pick(states, "windows", "sum")) {
      if (series.labels["signal"] !== signal || series.labels["state"] === "exact") continue;
      const said = series.values.some((windows, i) => {
        const at = stepStart(states.meta, i);
        return (windows ?? 0) > 0 && at >= fromMs && at < toMs;
      });
      if (said) return [series.labels["state"], series.labels["reason"]].filter((t) => t !== undefined && t !== "").join(": ");
    }
    return null;
  };
}
