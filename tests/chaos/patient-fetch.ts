// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from "node:timers/promises";

const TRY_MS = 60_000;
const PAUSE_MS = 500;

/** `fetch` of a server that was killed a moment ago: asks again until it answers, for at most a minute. Throws what the last attempt threw. */
export async function patientFetch(url: string | URL, init: RequestInit = {}): Promise<Response> {
  const deadlineMs = Date.now() + TRY_MS;
  for (;;) {
    try {
      const response = await fetch(url, { ...init, signal: AbortSignal.timeout(TRY_MS) });
      if (response.status < 500 || Date.now() > deadlineMs) return response;
      await response.body?.cancel();
    } catch (error) {
      if (Date.now() > deadlineMs) throw new Error(`${new URL(url).origin} does not answer`, { cause: error });
    }
    await sleep(PAUSE_MS);
  }
}
