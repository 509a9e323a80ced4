// SPDX-License-Identifier: Apache-2.0
import { bodyOf, fleetPage, hostPage, type PageQuery } from "./page-queries.ts";
import { cpuSeconds } from "./process.ts";
import type { ApiProcess } from "./server.ts";

const HOUR_MS = 3_600_000;
/** As often as a page that follows the present asks again. */
const REFRESH_MS = 10_000;
/** A browser's connections to one origin. */
const AT_ONCE = 6;
const REFRESHES_DEFAULT = 12;

/** What one refresh of a page takes, in the mean. */
export interface PageCost {
  readonly page: string;
  readonly queries: number;
  /** Statements that ClickHouse was given for them, those that chose steps and told what had changed apart from these. */
  readonly statements: number;
  /** Statements that were not needed, as their answers were there. */
  readonly answered: number;
  readonly clickhouseCpuMs: number;
  readonly apiCpuMs: number;
  readonly wallMs: number;
}

/**
 * What ClickHouse and the API take for one page that is refreshed every ten seconds, one refresh after the other: CPU time says the same on a busy machine as on a quiet one.
 * @param clickhousePid of the server behind the API
 * @param toMs what the last refresh takes for now
 */
export async function measurePages(
  api: ApiProcess,
  clickhousePid: number,
  host: string,
  toMs: number,
  refreshes = REFRESHES_DEFAULT,
): Promise<readonly PageCost[]> {
  const costs: PageCost[] = [];
  for (const [page, queries] of Object.entries({ fleet: fleetPage(host), host: hostPage(host) })) {
    const refresh = async (index: number): Promise<void> => {
      const nowMs = toMs - (refreshes - index) * REFRESH_MS;
      const waiting = Object.entries(queries);
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await ask(api, next, nowMs);
        }),
      );
    };
    // The first one reads what every page that is opened has to read, and is not what a page that stays open costs.
    await refresh(0);
    const [before, clickhouse, own, began] = [await answers(api), cpuSeconds(clickhousePid), cpuSeconds(api.pid), performance.now()];
    for (let index = 1; index <= refreshes; index++) await refresh(index);
    const after = await answers(api);
    const of = (total: number): number => Math.round((total / refreshes) * 10) / 10;
    const more = (origin: string): number => (after.get(origin) ?? 0) - (before.get(origin) ?? 0);
    costs.push({
      page,
      queries: Object.keys(queries).length,
      statements: of(more("read")),
      answered: of(more("shared") + more("kept") + more("recent")),
      clickhouseCpuMs: of((cpuSeconds(clickhousePid) - clickhouse) * 1_000),
      apiCpuMs: of((cpuSeconds(api.pid) - own) * 1_000),
      wallMs: of(performance.now() - began),
    });
  }
  return costs;
}

/** @param attempts a store that is busy with something else says so, and is asked again */
async function ask(api: ApiProcess, [name, query]: [string, PageQuery], nowMs: number, attempts = 3): Promise<void> {
  const response = await fetch(`${api.restUrl}/api/v1/query`, {
    method: "POST",
    headers: { authorization: `Bearer ${api.adminToken}`, "content-type": "application/json" },
    body: JSON.stringify(bodyOf(query, { fromMs: nowMs - HOUR_MS, toMs: nowMs, points: 180 })),
  });
  const text = await response.text();
  if (response.status === 503 && attempts > 1) return ask(api, [name, query], nowMs, attempts - 1);
  if (!response.ok) throw new Error(`${name} answered ${response.status}: ${text}`);
}

/** Statements so far, by where their answers came from. */
async function answers(api: ApiProcess): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`${api.restUrl}/metrics`)).text();
  return new Map(
    [...text.matchAll(/^waggle_query_answers_total\{origin="(\w+)"[^}]*\} (\S+)$/gm)].map(([, origin = "", count]) => [origin, Number(count)]),
  );
}
