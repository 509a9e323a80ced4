// SPDX-License-Identifier: Apache-2.0

/** Windows between two collections: each takes about 8 ms, which is 0.03 % of a core at 10 s windows. */
const windowsBetween = 3;

/**
 * Returns a function to be called after each window that gives memory back to the host now and then. A window leaves some hundred kilobytes of
 * garbage, which V8 would let pile up to its limit and malloc would keep in its free lists. Without `--expose-gc` it only trims.
 */
export async function createMemoryTrimmer(): Promise<() => void> {
  const trimMalloc = await findMallocTrim();
  const collect = (globalThis as { gc?: () => void }).gc;
  let windows = 0;
  return () => {
    if (++windows % windowsBetween !== 0) return;
    collect?.();
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
