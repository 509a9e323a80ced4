// SPDX-License-Identifier: Apache-2.0
import type { QueryAnswer, ValueSeries } from "../lib/api/types";
import type { Blame, Failures, Loss, Path } from "../lib/findings";
import { pick, ratio, single } from "../lib/series";

/** Key of a series by the dimensions it is grouped by. */
export function keyOf(series: ValueSeries, by: readonly string[]): string {
  return by.map((dimension) => series.labels[dimension] ?? "").join("\u0000");
}

/** The single values of a `points: 1` answer by key. */
export function totals(
  answer: QueryAnswer | undefined,
  measure: string,
  aggregate: ValueSeries["aggregate"],
  by: readonly string[],
): Map<string, number | null> {
  const map = new Map<string, number | null>();
  if (answer) for (const series of pick(answer, measure, aggregate)) map.set(keyOf(series, by), single(series));
  return map;
}

/** Whether any host reported anything of the answer's signal. */
export function wasCovered(answer: QueryAnswer | undefined): boolean {
  return answer?.meta.coverage.steps.some((fraction) => fraction > 0) ?? false;
}

export function lossesOf(answer: QueryAnswer | undefined): Loss[] {
  const retransmitted = totals(answer, "segments_retransmitted", "sum", ["host"]);
  const sent = totals(answer, "segments_sent", "sum", ["host"]);
  return [...retransmitted].map(([host, count]) => ({ host, retransmitted: count ?? 0, sent: sent.get(host) ?? 0 }));
}

/** Loss of everything an ungrouped answer covers, all its steps together. */
export function totalLoss(answer: QueryAnswer | undefined, host: string): Loss | null {
  if (!answer) return null;
  const total = (measure: string): number => (pick(answer, measure, "sum")[0]?.values ?? []).reduce<number>((sum, value) => sum + (value ?? 0), 0);
  return { host, retransmitted: total("segments_retransmitted"), sent: total("segments_sent") };
}

/** Loss of each path of an answer grouped by `by`, all steps together and step by step. `host` where it is not grouped by host. */
export function pathsOf(answer: QueryAnswer | undefined, by: readonly string[], host = ""): Path[] {
  if (!answer) return [];
  const sent = new Map(pick(answer, "segments_sent", "sum").map((s) => [keyOf(s, by), s.values]));
  const total = (values: readonly (number | null)[]): number => values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  return pick(answer, "segments_retransmitted", "sum").map((s) => {
    const all = sent.get(keyOf(s, by)) ?? [];
    return {
      host: s.labels["host"] ?? host,
      process: s.labels["process"] ?? "",
      peer: s.labels["peer"] ?? "",
      peerPort: s.labels["peer_port"] ?? "",
      sent: total(all),
      retransmitted: total(s.values),
      shares: s.values.length > 1 ? ratio(s.values, all) : [],
    };
  });
}

export function blameOf(answer: QueryAnswer | undefined): Blame[] {
  if (!answer) return [];
  return pick(answer, "segments", "sum").map((s) => ({
    process: s.labels["process"] ?? "",
    peer: s.labels["peer"] ?? "",
    peerPort: s.labels["peer_port"] ?? "",
    segments: single(s) ?? 0,
  }));
}

export function failuresOf(answer: QueryAnswer | undefined): Failures[] {
  const by = Object.keys(answer?.series[0]?.labels ?? {});
  const rates = totals(answer, "count", "rate", by);
  if (!answer) return [];
  return pick(answer, "count", "sum").map((s) => ({
    process: s.labels["process"] ?? "",
    peer: s.labels["peer"] ?? "",
    peerPort: s.labels["peer_port"] ?? "",
    errno: s.labels["errno"] ?? "",
    ...(s.labels["host"] === undefined ? {} : { host: s.labels["host"] }),
    count: single(s) ?? 0,
    perSecond: rates.get(keyOf(s, by)) ?? 0,
  }));
}

/** Share of segments sent again, step by step. Empty without an answer. */
export function lossShare(answer: QueryAnswer | undefined, aggregate: "sum" | "rate" = "sum"): (number | null)[] {
  if (!answer) return [];
  return ratio(pick(answer, "segments_retransmitted", aggregate)[0]?.values ?? [], pick(answer, "segments_sent", aggregate)[0]?.values ?? []);
}
