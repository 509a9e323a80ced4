// SPDX-License-Identifier: Apache-2.0
import { formatMoment, type Zone } from "@waggle/units";
import type { Host, MissingHost, Problem, QueryAnswer, SignalState } from "./api/types";
import { isHeatmap } from "./api/types";

/** Why a panel has nothing to draw. Each has its own words and its own way out. */
export type Cause =
  | { readonly kind: "loading" }
  | { readonly kind: "waiting"; readonly detail: string }
  | { readonly kind: "no-match"; readonly filter: string }
  | { readonly kind: "outside-retention"; readonly detail: string }
  | { readonly kind: "unsupported"; readonly signal: string; readonly reason: string; readonly failed: boolean }
  | { readonly kind: "disabled"; readonly signal: string; readonly state: "disabled" | "shed"; readonly reason: string }
  | { readonly kind: "offline"; readonly host: string; readonly since: string | null; readonly reason: string }
  | { readonly kind: "failed"; readonly problem: Problem };

export interface CauseInput {
  readonly answer: QueryAnswer;
  /** The user's filter for this panel, without what the page itself adds (its host). */
  readonly filter: string;
  /** The hosts the panel is about, when known. */
  readonly hosts: readonly Host[];
  readonly zone: Zone;
  readonly nowMs: number;
}

/** null: there is something to draw, be it zero. */
export function causeOf({ answer, filter, hosts, zone, nowMs }: CauseInput): Cause | null {
  const { meta } = answer;
  const { coverage } = meta;
  if (hasValue(answer)) return null;

  const reported = coverage.steps.some((fraction) => fraction > 0) || coverage.reporting > 0;
  // A sum that matches nothing is a true 0 and has a value; what has none at all under a filter is the filter's doing.
  if (reported) return filter !== "" ? { kind: "no-match", filter } : null;
  if (filter !== "" && coverage.hosts === 0) return { kind: "no-match", filter };

  if (hosts.length > 0 && hosts.every((host) => host.lastSeenAt === null)) {
    return {
      kind: "waiting",
      detail: hosts.length === 1 ? "The agent is enrolled and has not delivered its first window." : "No agent has delivered its first window.",
    };
  }
  const state = commonSignalState(meta.signal, hosts) ?? coverage.missing.find((m) => isSignalTrouble(m.state));
  if (state) {
    const cause = signalCause(meta.signal, state.state, state.reason);
    if (cause) return cause;
  }
  const note = coverage.note ?? "";
  const retention = [note, ...coverage.missing.map((m) => m.reason)].find((text) => /retention/i.test(text));
  if (retention !== undefined) return { kind: "outside-retention", detail: retention };

  const toMs = Date.parse(meta.to);
  const firstEnrolled = Math.min(...hosts.map((host) => Date.parse(host.enrolledAt)));
  if (hosts.length > 0 && Number.isFinite(firstEnrolled) && toMs <= firstEnrolled) {
    return {
      kind: "outside-retention",
      detail: `Nothing is stored for this range: the first agent enrolled at ${formatMoment(firstEnrolled, nowMs, zone)}.`,
    };
  }
  const missing: MissingHost | undefined = coverage.missing[0];
  const offline = hosts.find((host) => host.state === "offline" || host.state === "late");
  const host = missing?.host ?? offline?.name ?? hosts[0]?.name;
  if (host === undefined) return { kind: "waiting", detail: "No host is enrolled yet." };
  return { kind: "offline", host, since: missing?.since ?? offline?.stateSince ?? offline?.lastSeenAt ?? null, reason: missing?.reason ?? "" };
}

function hasValue(answer: QueryAnswer): boolean {
  return answer.series.some((series) =>
    isHeatmap(series) ? series.cells.some((row) => row.some((count) => count !== null && count > 0)) : series.values.some((value) => value !== null),
  );
}

function isSignalTrouble(state: string): boolean {
  return state === "unsupported" || state === "failed" || state === "disabled" || state === "shed";
}

/** The state of the signal when no host has it better: one host that reports it would have given data. */
function commonSignalState(signal: string, hosts: readonly Host[]): { state: SignalState; reason: string } | null {
  const states = hosts.map((host) => host.signals.find((s) => s.name === signal)).filter((s) => s !== undefined);
  const first = states[0];
  return first !== undefined && states.length === hosts.length && states.every((s) => isSignalTrouble(s.state)) ? first : null;
}

function signalCause(signal: string, state: string, reason: string): Cause | null {
  switch (state) {
    case "unsupported":
    case "failed":
      return { kind: "unsupported", signal, reason, failed: state === "failed" };
    case "disabled":
    case "shed":
      return { kind: "disabled", signal, state, reason };
    default:
      return null;
  }
}
