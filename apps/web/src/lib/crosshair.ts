// SPDX-License-Identifier: Apache-2.0
import { useSyncExternalStore } from "react";

/** The moment the pointer is at in any chart of the page, epoch ms; null when in none. Kept out of React so that moving draws one line, not ten charts. */
let moment: number | null = null;
const listeners = new Set<() => void>();

export function pointAt(ms: number | null): void {
  if (ms === moment) return;
  moment = ms;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function usePointedAt(): number | null {
  return useSyncExternalStore(
    subscribe,
    () => moment,
    () => null,
  );
}
