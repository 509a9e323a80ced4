// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";

/** Bits of include/uapi/linux/capability.h that matter to BPF. */
const bits = { CAP_DAC_READ_SEARCH: 2, CAP_SYS_PTRACE: 19, CAP_SYS_ADMIN: 21, CAP_PERFMON: 38, CAP_BPF: 39 } as const;
export type CapabilityName = keyof typeof bits;

/** Effective capabilities out of the text of /proc/PID/status. Throws a TypeError if it holds no CapEff line. */
export function parseCapabilities(status: string): ReadonlySet<CapabilityName> {
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (hex === undefined) throw new TypeError("no CapEff line in the process status");
  const mask = BigInt(`0x${hex}`);
  const names = Object.keys(bits) as CapabilityName[];
  return new Set(names.filter((name) => (mask >> BigInt(bits[name])) & 1n));
}

/** What this process may do. CAP_SYS_ADMIN stands for the other two. */
export function readCapabilities(procPath = "/proc"): ReadonlySet<CapabilityName> {
  return parseCapabilities(readFileSync(`${procPath}/self/status`, "utf8"));
}

/** Of the two capabilities that the agent lives on, those that are absent. */
export function missingCapabilities(have: ReadonlySet<CapabilityName>): CapabilityName[] {
  if (have.has("CAP_SYS_ADMIN")) return [];
  return (["CAP_BPF", "CAP_PERFMON"] as const).filter((name) => !have.has(name));
}
