// SPDX-License-Identifier: Apache-2.0
import { getLibc } from "../libbpf/symbols.ts";
import type { ProbeSetOptions } from "./probe-set.ts";

/** Shortest wait that counts as off-CPU, where nobody says otherwise. */
export const OFF_CPU_MIN_US = 1_000;

/** Constants of programs that come from the configuration and the machine, not from the kernel's BTF. */
export function configuredConstants({ offCpuMinUs }: { readonly offCpuMinUs?: number | undefined }): NonNullable<ProbeSetOptions["constants"]> {
  return {
    on_task_vma: { page_bits: Math.log2(getLibc().getpagesize()) },
    on_sched_switch: { off_cpu_min_ns: (offCpuMinUs ?? OFF_CPU_MIN_US) * 1_000 },
  };
}
