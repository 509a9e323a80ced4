// SPDX-License-Identifier: Apache-2.0
import type { HostState } from "./hosts.schemas.ts";

const OFFLINE_AFTER_MS = 120_000;
/** A window is stored a moment after it ended. */
const ARRIVAL_MS = 5_000;
/** A host whose windows are short, because somebody looks at it, is given no less time than others: being looked at makes nobody late. */
const PATIENCE_WINDOW_MS = 10_000;

/**
 * A host's state by the end of its newest stored window.
 * @param windowMs length of its windows
 */
export function hostState(lastWindowEndMs: number | null, windowMs: number, nowMs: number): HostState {
  if (lastWindowEndMs === null) return "waiting";
  const silentMs = nowMs - lastWindowEndMs;
  if (silentMs <= 3 * Math.max(windowMs, PATIENCE_WINDOW_MS) + ARRIVAL_MS) return "reporting";
  return silentMs <= Math.max(OFFLINE_AFTER_MS, 6 * windowMs) ? "late" : "offline";
}
