// SPDX-License-Identifier: Apache-2.0
"use client";

import { parseAsArrayOf, parseAsString, useQueryStates } from "nuqs";
import { useCallback } from "react";

const params = {
  signal: parseAsString.withDefault(""),
  m: parseAsString.withDefault(""),
  agg: parseAsString.withDefault(""),
  group: parseAsArrayOf(parseAsString).withDefault([]),
};

/** What the URL says is explored, and the ways to change it. Range and filter are the view's. */
export interface Explored {
  /** Empty: none is chosen. */
  readonly signal: string;
  readonly measure: string;
  readonly aggregate: string;
  readonly by: readonly string[];
  setMeasure(measure: string): void;
  setAggregate(aggregate: string): void;
  setBy(by: readonly string[]): void;
}

export function useExplored(): Explored {
  const [state, setState] = useQueryStates(params, { history: "push", shallow: true, clearOnDefault: true });
  // Of another measure the aggregate may mean nothing.
  const setMeasure = useCallback((m: string) => void setState({ m, agg: null }), [setState]);
  const setAggregate = useCallback((agg: string) => void setState({ agg }), [setState]);
  const setBy = useCallback((group: readonly string[]) => void setState({ group: group.length === 0 ? null : [...group] }), [setState]);
  return { signal: state.signal, measure: state.m, aggregate: state.agg, by: state.group, setMeasure, setAggregate, setBy };
}
