// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import type { KernelBtf } from "./kernel-btf.ts";

/** What the running kernel calls things that it counts by number. The numbers differ between kernels; the names are its own. */
export interface KernelNames {
  /** enum skb_drop_reason, without its prefix; `unknown` where the kernel gives no reasons. */
  dropReason(value: number): string;
  /** enum sk_rst_reason, without its prefix; `unknown` where the kernel gives none. */
  resetReason(value: number): string;
  /** Softirq vectors, such as `NET_RX`. */
  softirq(vector: number): string;
}

const DROP_REASON_PREFIX = /^SKB_(DROP_REASON_)?/;
const RESET_REASON_PREFIX = /^SK_RST_REASON_/;
/** packages/bpf/src/tcp_reset/tcp_reset.h: no reason was given. */
const RESET_REASON_UNKNOWN = 0xffff;
const DROP_REASON_SUBSYS_PREFIX = "SKB_DROP_REASON_SUBSYS_";

/** Looks the names up, once; the BTF is not kept. Null: a kernel without BTF, whose programs do not load anyway. */
export function readKernelNames(kernel: Pick<KernelBtf, "enumeration"> | null, procPath = "/proc"): KernelNames {
  const reasons = kernel?.enumeration("skb_drop_reason") ?? null;
  const subsystems = kernel?.enumeration("skb_drop_reason_subsys") ?? null;
  const resets = kernel?.enumeration("sk_rst_reason") ?? null;
  const softirqs = readSoftirqs(procPath);
  return {
    dropReason: (value) => dropReasonName(value, reasons, subsystems),
    resetReason: (value) => resetReasonName(value, resets),
    softirq: (vector) => softirqs[vector] ?? `softirq_${vector}`,
  };
}

/**
 * Name of a reason. Since Linux 6.4 the upper half says whose it is; reasons of a module (openvswitch, mac80211) are in that module's BTF, and show by
 * their number.
 */
function dropReasonName(value: number, reasons: ReadonlyMap<number, string> | null, subsystems: ReadonlyMap<number, string> | null): string {
  if (reasons === null) return "unknown";
  const name = reasons.get(value);
  if (name !== undefined) return name.replace(DROP_REASON_PREFIX, "");
  const subsystem = subsystems?.get(value >>> 16);
  if (value < 0x10000 || subsystem === undefined) return `reason_${value}`;
  return `${subsystem.replace(DROP_REASON_SUBSYS_PREFIX, "")}_${value & 0xffff}`;
}

function resetReasonName(value: number, reasons: ReadonlyMap<number, string> | null): string {
  if (reasons === null || value === RESET_REASON_UNKNOWN) return "unknown";
  return reasons.get(value)?.replace(RESET_REASON_PREFIX, "") ?? `reason_${value}`;
}

/** The rows of /proc/softirqs are the kernel's list of vectors, in their order. */
function readSoftirqs(procPath: string): string[] {
  try {
    return [...readFileSync(`${procPath}/softirqs`, "utf8").matchAll(/^\s*(\w+):/gm)].map((match) => match[1] as string);
  } catch {
    return [];
  }
}
