// SPDX-License-Identifier: Apache-2.0

/** True when the URL answers 2xx or a redirect within a second. */
export async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000), redirect: "manual" });
    await response.body?.cancel();
    return response.status < 400;
  } catch {
    return false;
  }
}

/** True when a window that was measured after the start can be read through the REST API, as any client would read it. */
export async function hasFirstWindow(restUrl: string, token: string, startedAtMs: number): Promise<boolean> {
  const from = new Date(performance.timeOrigin + startedAtMs - 10_000).toISOString();
  try {
    const response = await fetch(`${restUrl}/api/v1/query`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ signal: "agent_coverage", select: [{ measure: "windows", aggregate: "sum" }], from, to: "now", points: 1 }),
      signal: AbortSignal.timeout(5_000),
    });
    if (!response.ok) return false;
    const answer = (await response.json()) as { series: { values: (number | null)[] }[] };
    return answer.series.some((series) => series.values.some((value) => value !== null && value > 0));
  } catch {
    return false;
  }
}
