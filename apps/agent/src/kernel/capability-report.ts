// SPDX-License-Identifier: Apache-2.0
import { readFileSync, readlinkSync, statSync } from "node:fs";
import { release } from "node:os";
import { type CapabilityName, missingCapabilities, readCapabilities } from "./capabilities.ts";
import { KERNEL_BTF_PATH } from "./kernel-btf.ts";

export interface CapabilityReport {
  readonly kernelRelease: string;
  readonly architecture: string;
  readonly bootId: string;
  /** Size of the kernel's BTF; null: the kernel has none (CONFIG_DEBUG_INFO_BTF), and no program can be loaded. */
  readonly btfBytes: number | null;
  /** `none`, `integrity`, `confidentiality`, or null if the kernel does not say. Only `confidentiality` stops BPF from reading. */
  readonly lockdown: string | null;
  readonly capabilities: readonly CapabilityName[];
  readonly missingCapabilities: readonly CapabilityName[];
  /** Number of this process's network namespace. */
  readonly netnsInum: number;
  /** Each reason why programs will not load, with what to do; empty if nothing is known to be in the way. */
  readonly problems: readonly string[];
}

/** What the kernel lets this process do. Reads /proc and /sys only; never throws for a file that is absent or closed. */
export function capabilityReport(): CapabilityReport {
  const capabilities = readCapabilities();
  const missing = missingCapabilities(capabilities);
  const btfBytes = tryRead(() => statSync(KERNEL_BTF_PATH).size);
  const lockdown = tryRead(() => /\[(\w+)\]/.exec(readFileSync("/sys/kernel/security/lockdown", "utf8"))?.[1] ?? null);
  const problems: string[] = [];
  if (missing.length > 0) {
    problems.push(`missing ${missing.join(" and ")}: start the agent with both (systemd: AmbientCapabilities=CAP_BPF CAP_PERFMON) or as root`);
  }
  if (btfBytes === null)
    problems.push(`no ${KERNEL_BTF_PATH}: this kernel was built without CONFIG_DEBUG_INFO_BTF; every major distribution since 2020 has it`);
  if (lockdown === "confidentiality")
    problems.push("the kernel is locked down to confidentiality: BPF programs may not read kernel memory; boot with lockdown=integrity");
  return {
    kernelRelease: release(),
    architecture: process.arch,
    bootId: readBootId(),
    btfBytes,
    lockdown,
    capabilities: [...capabilities],
    missingCapabilities: missing,
    netnsInum: readNetnsInum(),
    problems,
  };
}

/** Random id of this boot. */
export function readBootId(): string {
  return tryRead(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()) ?? "";
}

/** Number of this process's network namespace, as in `net:[4026531840]`; 0 if it cannot be read. */
export function readNetnsInum(): number {
  return Number(/\[(\d+)\]/.exec(tryRead(() => readlinkSync("/proc/self/ns/net")) ?? "")?.[1] ?? 0);
}

/** The range outgoing connections take their port from; the kernel's default if it cannot be read. */
export function readEphemeralPorts(): { min: number; max: number } {
  const text = tryRead(() => readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8")) ?? "32768 60999";
  const [min, max] = text.trim().split(/\s+/).map(Number);
  return { min: min ?? 32768, max: max ?? 60999 };
}

function tryRead<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}
