// SPDX-License-Identifier: Apache-2.0

/**
 * Returns a function to be called after each window that gives memory back to the host. A window leaves megabytes of garbage, which V8
 * would let pile up and malloc would keep in its free lists. Costs about 8 ms, which is 0.1 % of a core at 10 s windows. Without `--expose-gc` it only trims.
 */
export async function createMemoryTrimmer(): Promise<() => void> {
  const trimMalloc = await findMallocTrim();
  const collect = (globalThis as { gc?: () => void }).gc;
  return () => {
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
