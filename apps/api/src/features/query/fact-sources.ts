// SPDX-License-Identifier: Apache-2.0
import type { QueryRepository } from "./query.repository.ts";
import type { Source } from "./sources.ts";
import type { Plan } from "./sql.ts";

const DAY_MS = 86_400_000;

/**
 * The same stretches of `host_facts`, hours out of minutes where that reads fewer rows. Agents tell a fact about once an hour, so there are hardly more rows of minutes than
 * of hours; but minutes are ordered by hour, and hours by day: two hours' facts out of hours are read out of all of the day's. Who tells facts in each window has many more minutes.
 * @param minutesKeptDays how long minutes are kept
 * @throws AppError as of `QueryRepository.run`
 */
export async function factSources(
  repository: Pick<QueryRepository, "estimateRows">,
  plan: Plan,
  hours: readonly Source[],
  { nowMs, minutesKeptDays }: { readonly nowMs: number; readonly minutesKeptDays: number },
  signal: AbortSignal | undefined,
): Promise<readonly Source[]> {
  const sinceMs = nowMs - minutesKeptDays * DAY_MS;
  const minutes = hours.map((source) => (source.level === "1h" && source.fromMs >= sinceMs ? { ...source, level: "1m" as const } : source));
  if (minutes.every(({ level }, index) => level === hours[index]?.level)) return hours;
  const [ofHours, ofMinutes] = await Promise.all([hours, minutes].map((sources) => repository.estimateRows(plan, sources, signal)));
  return (ofMinutes as number) < (ofHours as number) ? minutes : hours;
}
