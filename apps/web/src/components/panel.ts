// SPDX-License-Identifier: Apache-2.0
"use client";

import { useRef } from "react";
import type { PanelResult } from "@/lib/api/hooks";
import type { Host, Problem, QueryAnswer } from "@/lib/api/types";
import { type Cause, causeOf } from "@/lib/panel-state";
import { useView } from "@/lib/view";

/** What a panel is in: nothing yet, nothing because of …, or data (zero is data). */
export type Panel =
  | { readonly state: "empty"; readonly cause: Cause; readonly retry: () => void }
  | { readonly state: "ready"; readonly answer: QueryAnswer; readonly refreshing: boolean };

/** Decides the state of a panel from its query. `hosts`: those the panel is about, when known. */
export function usePanel({ result, filter }: PanelResult, hosts: readonly Host[] | undefined): Panel {
  const view = useView();
  const retry = (): void => void result.refetch();
  // A live panel asks again each window; while it does, what failed stays on screen instead of flickering to a skeleton.
  const failed = useRef<Problem | null>(null);
  if (result.error) failed.current = result.error.problem;
  else if (result.data) failed.current = null;
  if (failed.current) return { state: "empty", cause: { kind: "failed", problem: failed.current }, retry };
  if (!result.data) return { state: "empty", cause: { kind: "loading" }, retry };
  const cause = causeOf({ answer: result.data, filter, hosts: hosts ?? [], zone: view.zone, nowMs: view.nowMs });
  return cause ? { state: "empty", cause, retry } : { state: "ready", answer: result.data, refreshing: result.isPlaceholderData };
}
