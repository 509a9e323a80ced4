// SPDX-License-Identifier: Apache-2.0

/** Resident bytes above which memory is given back; the budget is 90 MB (`RSS_BYTES_MAX` in status/status-report.ts). */
const trimAboveBytes = 87_000_000;

/** V8's gc() with `--expose-gc`. A compacting one ("last-resort") would free more and need up to 25 MB more while it works. */
type Collect = (options: { type: "major"; execution: "sync"; flavor: "regular" }) => void;

/**
 * Returns a function to be called after each window that gives memory back to the host when there is too much of it. A window leaves some megabytes of
 * garbage that V8 would collect later, and malloc keeps its free lists. A trim takes some 50 ms of CPU time and is rare on a host with few rows.
 * Without `--expose-gc` only malloc is trimmed.
 */
export async function createMemoryTrimmer(): Promise<() => void> {
  const trimMalloc = await findMallocTrim();
  const collect = (globalThis as { gc?: Collect }).gc;
  return () => {
    if (process.memoryUsage.rss() < trimAboveBytes) return;
    collect?.({ type: "major", execution: "sync", flavor: "regular" });
    trimMalloc();
  };
}

async function findMallocTrim(): Promise<() => void> {
  try {
    const { getLibc } = await import("../libbpf/symbols.ts");
    const libc = getLibc();
    return () => libc.malloc_trim(0);
  } catch {
    return () => {};
  }
}
