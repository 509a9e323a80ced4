// SPDX-License-Identifier: Apache-2.0
import type { Source } from "./sources.ts";

const DAY_MS = 86_400_000;

/**
 * The same stretches of `host_facts`, hours out of minutes. A fact is told about once an hour, so there are hardly more rows of minutes than of hours; but minutes are
 * ordered by hour, and hours by day: two hours' facts out of hours would be read out of all of the day's.
 * @param minutesKeptDays how long minutes are kept
 */
export function factSources(sources: readonly Source[], nowMs: number, minutesKeptDays: number): readonly Source[] {
  const sinceMs = nowMs - minutesKeptDays * DAY_MS;
  return sources.map((source) =>
    source.level === "1h" && source.scope === "host" && source.fromMs >= sinceMs ? { ...source, level: "1m" } : source,
  );
}
