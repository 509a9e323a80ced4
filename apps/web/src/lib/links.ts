// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatTerm, literal, withTerm } from "@waggle/query";
import { useParams, useSearchParams } from "next/navigation";
import { useMemo } from "react";
import { useSignals } from "./api/hooks";
import { closedValuesOf } from "./page-filter";
import { frozen, type Range } from "./time-range";

export interface Links {
  readonly fleet: string;
  readonly hosts: string;
  host(name: string): string;
  /** The page of one signal, of one host where one is named; of all signals without. */
  explore(signal?: string, host?: string): string;
  /** This page with one more filter term. */
  filter(key: string, value: string): string;
}

/** The address of what is shown. `frozen`: with the range's ends as they are now, so that whoever opens it sees the same data. */
export function shareLink(range: Range, isFrozen: boolean, card?: string): string {
  const url = new URL(window.location.href);
  if (card !== undefined) url.hash = card;
  if (isFrozen) {
    const { from, to } = frozen(range);
    url.searchParams.set("from", from);
    url.searchParams.set("to", to);
    url.searchParams.delete("live");
  }
  return url.href;
}

/** Links that keep the range (and the zone) a person is looking at. */
export function useLinks(): Links {
  const { org } = useParams<{ org: string }>();
  const search = useSearchParams();
  const signals = useSignals().data;
  return useMemo(() => {
    const closed = closedValuesOf(signals ?? []);
    const kept = new URLSearchParams();
    for (const key of ["from", "to", "live", "tz"]) {
      const value = search.get(key);
      if (value !== null) kept.set(key, value);
    }
    const suffix = kept.size > 0 ? `?${kept}` : "";
    const base = `/o/${org}`;
    return {
      fleet: `${base}/fleet${suffix}`,
      hosts: `${base}/hosts${suffix}`,
      explore: (signal, host) => {
        const next = new URLSearchParams(kept);
        if (signal !== undefined) next.set("signal", signal);
        if (host !== undefined) next.set("q", formatTerm(literal("host", host)));
        return `${base}/explore${next.size > 0 ? `?${next}` : ""}`;
      },
      host: (name) => `${base}/hosts/${encodeURIComponent(name)}${suffix}`,
      filter: (key, value) => {
        const next = new URLSearchParams(search);
        // A value that the dimension is not known to have would be taken for a slip of the pen.
        const isKnown = value === "~other" || (closed.get(key)?.includes(value) ?? true);
        next.set("q", withTerm(search.get("q") ?? "", literal(key, value), !isKnown));
        return `?${next}`;
      },
    };
  }, [org, search, signals]);
}
