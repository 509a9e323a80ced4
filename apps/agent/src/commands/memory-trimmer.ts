// SPDX-License-Identifier: Apache-2.0

/** Resident bytes above which memory is given back; the budget is 90 MB (`budget` in status/status-report.ts). */
const trimAboveBytes = 87_000_000;

/** A trim takes 50 to 60 ms of CPU time, so this bounds it to 0.2 % of a core at 10 s windows. */
const windowsBetween = 3;

/** V8's gc() with `--expose-gc`; "last-resort" is the one that also gives pooled pages back to the system. */
type Collect = (options: { type: "major"; execution: "sync"; flavor: "last-resort" }) => void;

/**
 * Returns a function to be called after each window that gives memory back to the host when there is too much of it. A window leaves some megabytes of
 * garbage; V8 collects it, but keeps the emptied pages, and malloc its free lists: 92 MB instead of 77 MB after five minutes here. While it
 * compacts, V8 needs up to 25 MB more for some milliseconds. Without `--expose-gc` only malloc is trimmed.
 */
export async function createMemoryTrimmer(): Promise<() => void> {
  const trimMalloc = await findMallocTrim();
  const collect = (globalThis as { gc?: Collect }).gc;
  let windows = 0;
  return () => {
    windows++;
    if (windows < windowsBetween || process.memoryUsage.rss() < trimAboveBytes) return;
    windows = 0;
    collect?.({ type: "major", execution: "sync", flavor: "last-resort" });
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
