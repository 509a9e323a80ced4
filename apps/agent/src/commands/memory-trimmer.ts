// SPDX-License-Identifier: Apache-2.0

/** Resident bytes above which garbage is collected; the budget is 90 MB (`RSS_BYTES_MAX` in status/status-report.ts). */
const trimAboveBytes = 87_000_000;

/** After the start, whose code is not used again, and two windows. */
const FIRST_FILE_PAGES_MS = 25_000;
/** What is used in every window is back at once and stays; this is for what is used now and then. */
const FILE_PAGES_MS = 60_000;
/** The same above the bound, where it is tried before garbage is collected: it costs a tenth of that. */
const FILE_PAGES_ABOVE_MS = 20_000;

/** Between two collections that are asked for: one in each window takes a fifth of all that the process takes, and its memory is not less for it. */
const COLLECT_MS = 60_000;

/** V8's gc() with `--expose-gc`. A compacting one ("last-resort") would free more and need up to 25 MB more while it works. */
type Collect = (options: { type: "major"; execution: "sync"; flavor: "regular" }) => void;

interface Memory {
  trimMalloc(): void;
  giveBackFilePages(): void;
}

/**
 * Returns a function to be called after each window that gives memory back to the host. Pages of files that were not used lately (most of the Node.js binary) go
 * every minute, so that what is resident is what is in use: 3 ms, and a few hundred minor faults as they come back. Above a bound also garbage and malloc's free
 * lists, once in a minute at most: a window leaves some megabytes that V8 would collect later, and that takes some 50 ms. Without `--expose-gc` only malloc is trimmed.
 */
export async function createMemoryTrimmer(nowMs: () => number = () => performance.now()): Promise<() => void> {
  const memory = await findMemory();
  const collect = (globalThis as { gc?: Collect }).gc;
  const isAbove = (): boolean => process.memoryUsage.rss() >= trimAboveBytes;
  let givenBackAtMs = nowMs() + FIRST_FILE_PAGES_MS - FILE_PAGES_MS;
  let collectedAtMs = Number.NEGATIVE_INFINITY;
  return () => {
    if (nowMs() - givenBackAtMs >= (isAbove() ? FILE_PAGES_ABOVE_MS : FILE_PAGES_MS)) {
      givenBackAtMs = nowMs();
      memory.trimMalloc();
      memory.giveBackFilePages();
    }
    if (nowMs() - collectedAtMs < COLLECT_MS || !isAbove()) return;
    collectedAtMs = nowMs();
    collect?.({ type: "major", execution: "sync", flavor: "regular" });
    memory.trimMalloc();
  };
}

async function findMemory(): Promise<Memory> {
  try {
    const { getLibc } = await import("../libbpf/symbols.ts");
    const { giveBackFilePages } = await import("../libbpf/file-pages.ts");
    const libc = getLibc();
    return { trimMalloc: () => libc.malloc_trim(0), giveBackFilePages: () => giveBackFilePages() };
  } catch {
    return { trimMalloc: () => {}, giveBackFilePages: () => {} };
  }
}
