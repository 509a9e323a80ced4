// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setPriority } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { catalogue, type WireRow } from "@waggle/signals";
import { beforeEach, describe } from "vitest";
import { readCapabilities } from "../src/kernel/capabilities.ts";
import { KERNEL_BTF_PATH, KernelBtf } from "../src/kernel/kernel-btf.ts";
import { signalsOfProgram } from "../src/probes/hook-families.ts";
import { programPlans } from "../src/probes/programs.ts";
import { KernelSource, type KernelSourceOptions, type WindowData } from "../src/snapshot/window-reader.ts";
import { initRanNs } from "./blind-spot.ts";

export { Workload } from "./workload.ts";

/** Signals of a family that programs count. */
export const signalsOf = (family: string): string[] =>
  catalogue.filter((signal) => signal.family === family && signal.bpf !== null).map(({ name }) => name);

export const objectDirectory = fileURLToPath(new URL("../../../packages/bpf/build", import.meta.url));

function whyNot(): string | undefined {
  if (process.getuid?.() !== 0 || !readCapabilities().has("CAP_SYS_ADMIN")) return "kernel tests need root";
  if (!existsSync(KERNEL_BTF_PATH)) return `kernel tests need ${KERNEL_BTF_PATH}`;
  if (!existsSync(join(objectDirectory, "syscall.bpf.o"))) return "kernel tests need the BPF objects: make -C packages/bpf";
  return undefined;
}

/** Of a test during which programs may have been blind. None in the machines of tests/kernels, whose kernels keep programs off nothing. */
const BLIND_RETRIES = Number(process.env.WAGGLE_KERNEL_TEST_RETRIES ?? 3);

/**
 * Runs where BPF programs can be loaded; elsewhere it is skipped with the reason, but under CI=true that is a failure.
 * A test that fails is run again only if programs may have missed something meanwhile that is not theirs to see (blind-spot.ts).
 */
export function describeKernel(name: string, body: () => void): void {
  const reason = whyNot();
  if (reason !== undefined && process.env.CI === "true") throw new Error(`${name}: ${reason}`);
  if (reason !== undefined) {
    describe.skip(`${name} (${reason})`, body);
    return;
  }
  let ranBeforeNs = 0n;
  describe(name, { retry: { count: BLIND_RETRIES, condition: () => initRanNs() !== ranBeforeNs } }, () => {
    beforeEach(() => {
      ranBeforeNs = initRanNs();
    });
    body();
  });
}

/** What the running kernel tells, where that differs between kernels: tests expect what it can give, and that coverage says so. */
export const kernelTells = ((): { readonly resetReasons: boolean; readonly dropSockets: boolean; readonly mapMemory: boolean } => {
  const kernel = KernelBtf.open();
  return {
    resetReasons: kernel?.tracepointArguments("tcp_send_reset")?.[2] === "enum sk_rst_reason",
    dropSockets: kernel?.tracepointArguments("kfree_skb")?.[3] === "struct sock *",
    // Where maps do not reckon themselves (since Linux 6.4), what the kernel says is entries times the size of a key and a value.
    mapMemory: kernel?.hasField("bpf_map_ops", "map_mem_usage") === true,
  };
})();

/**
 * @param signals only programs that count or note something for one of them are loaded, as the kernel takes seconds to check all; all if left out
 */
export async function openSource({
  signals,
  ...options
}: Partial<KernelSourceOptions> & { readonly signals?: readonly string[] } = {}): Promise<KernelSource> {
  const isNeeded = (needing: readonly string[]): boolean => needing.length === 0 || needing.some((signal) => signals?.includes(signal));
  const programs = signals && programPlans.filter(({ name }) => isNeeded(signalsOfProgram(name)));
  // Not the default cap: what a test counts must not end up in ~other because the machine is busy with something else.
  return KernelSource.open({
    objectDirectory,
    names: { unitOf: () => "" },
    rowsMax: 20_000,
    rowCaps: () => 20_000,
    ...(programs && { programs }),
    ...options,
  });
}

/** Lets processes of that name go before others, so that a flood is one also where the machine is busy with something else. */
export function hurry(comm: string): void {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/comm`, "utf8").trim() === comm) setPriority(Number(pid), -19);
    } catch {
      // It has just ended.
    }
  }
}

/** Rows of a signal whose columns equal `filter`. */
export function rowsOf(data: WindowData | readonly WindowData[], signal: string, filter: Record<string, string> = {}): WireRow[] {
  const windows = Array.isArray(data) ? (data as readonly WindowData[]) : [data as WindowData];
  return windows.flatMap((window) =>
    (window.rows.get(signal) ?? []).filter((row) => Object.entries(filter).every(([name, value]) => row[name] === value)),
  );
}

/** Sum of a measure over rows. */
export function sumOf(rows: readonly WireRow[], measure: string): number {
  return Number(rows.reduce((sum, row) => sum + (row[measure] as bigint), 0n));
}
