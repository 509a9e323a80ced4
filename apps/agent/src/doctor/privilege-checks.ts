// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { catalogue } from "@waggle/signals";
import { formatBytes } from "@waggle/units";
import { type CapabilityName, missingCapabilities } from "../kernel/capabilities.ts";
import type { KernelBtf } from "../kernel/kernel-btf.ts";
import { type CheckDefinition, type CheckItem, fail, pass, skip, type Verdict, warn } from "./check.ts";
import { planOf, requireObjects } from "./trial.ts";

/** Capabilities beyond the two, and what each would add. None is needed. */
const extras: readonly { readonly name: CapabilityName; readonly adds: string }[] = [
  { name: "CAP_SYS_PTRACE", adds: "names of functions of other users' processes and of containers, in cpu_profile and off_cpu" },
  {
    name: "CAP_DAC_READ_SEARCH",
    adds: "names of functions in files the agent's user may not read, in cpu_profile and off_cpu; names of containers, in unit; the meters of energy",
  },
  { name: "CAP_SYS_ADMIN", adds: "the kernel's own run-time statistics, for ./waggle bench probes; the agent times itself" },
];

/** Checks of what this process may do. */
export const privilegeChecks: readonly CheckDefinition[] = [
  {
    id: "user",
    group: "privileges",
    title: "user",
    about: "Who runs doctor. All else in this group is true of this user: run it as the agent's to see what the agent may (`./waggle agent doctor`).",
    run: () => pass(describeUser()),
  },
  {
    id: "capabilities-core",
    group: "privileges",
    title: "the two capabilities",
    about: "CAP_BPF and CAP_PERFMON, on which every signal that programs count depends. Signals out of `/proc` need neither.",
    run: ({ kernel }) => judgeCoreCapabilities(new Set(kernel.capabilities)),
  },
  {
    id: "capabilities-extra",
    group: "privileges",
    title: "further capabilities",
    about: "What CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN would add; none is needed, so this never fails.",
    run: ({ kernel }) => describeExtras(new Set(kernel.capabilities)),
  },
  {
    id: "security-modules",
    group: "privileges",
    title: "security modules",
    about:
      "The active modules, this process's label, and whether a seccomp filter is on it. What they refuse shows as EPERM or EACCES under programs-load.",
    run: checkSecurity,
  },
  {
    id: "memlock",
    group: "privileges",
    title: "locked memory",
    about:
      "RLIMIT_MEMLOCK against the planned maps. Kernels from 5.11 on count maps against the memory cgroup instead; which of the two is decided by BTF.",
    after: ["kernel-btf"],
    run: (facts) => {
      const limit = readMemlock();
      return judgeMemlock(limit, planOf(facts.config, requireObjects(facts.config)).mapPlan.bytes, facts.btf);
    },
  },
];

function describeUser(): string {
  const uid = process.geteuid?.();
  let name = "";
  try {
    name = ` (${userInfo().username})`;
  } catch {
    // A number without an account is as good.
  }
  return uid === 0 ? "root, which holds every capability; the agent itself runs as an ordinary user" : `user ${uid}${name}`;
}

export function judgeCoreCapabilities(have: ReadonlySet<CapabilityName>): Verdict {
  const missing = missingCapabilities(have);
  const signals = catalogue.filter(({ bpf }) => bpf !== null).length;
  const items = (["CAP_BPF", "CAP_PERFMON"] as const).map((name): CheckItem => {
    if (missing.includes(name)) return { name, result: "FAIL", found: `missing: needed by all ${signals} signals that programs count` };
    return { name, result: "PASS", found: have.has(name) ? "held" : "held by way of CAP_SYS_ADMIN" };
  });
  if (missing.length === 0) return pass("both held", items);
  return fail(
    `missing ${missing.join(" and ")}`,
    `no program can be loaded without, so ${signals} signals are missing; those out of /proc are not`,
    "start the agent with both (systemd: AmbientCapabilities=CAP_BPF CAP_PERFMON), and run doctor the same way",
    items,
  );
}

export function describeExtras(have: ReadonlySet<CapabilityName>): Verdict {
  const items = extras.map(
    ({ name, adds }): CheckItem => ({
      name,
      result: "PASS",
      found: have.has(name) ? `held: ${adds}` : `not held, not needed; would add ${adds}`,
    }),
  );
  const held = extras.filter(({ name }) => have.has(name)).map(({ name }) => name);
  return pass(held.length === 0 ? "none held, none needed" : `${held.join(", ")} held; none is needed`, items);
}

function checkSecurity(): Verdict {
  const read = (path: string): string | undefined => {
    try {
      return readFileSync(path, "latin1").replaceAll("\0", "").trim();
    } catch {
      return undefined;
    }
  };
  const seccomp = /^Seccomp:\s*(\d)$/m.exec(read("/proc/self/status") ?? "")?.[1];
  return judgeSecurity({
    modules: read("/sys/kernel/security/lsm"),
    label: read("/proc/self/attr/current"),
    seccomp,
  });
}

export function judgeSecurity(facts: {
  readonly modules: string | undefined;
  readonly label: string | undefined;
  readonly seccomp: string | undefined;
}): Verdict {
  const { modules, label, seccomp } = facts;
  if (modules === undefined && seccomp === undefined) return skip("neither /sys/kernel/security/lsm nor /proc/self/status tells");
  const isConfined = label !== undefined && label !== "" && label !== "unconfined" && !/unconfined_t|:kernel_t|:init_t/.test(label);
  const found = [
    modules === undefined ? "active modules are not told" : modules,
    ...(label === undefined || label === "" ? [] : [`label ${label}`]),
    seccomp === "2" ? "a seccomp filter" : "no seccomp filter",
  ].join("; ");
  if (!isConfined && seccomp !== "2") return pass(found);
  return warn(
    found,
    "a profile or filter is on this process and may refuse bpf() and perf_event_open()",
    "if programs-load says EPERM or EACCES, allow both calls in the profile (containers: --security-opt seccomp=… and apparmor=…)",
  );
}

/** Soft limit in bytes; Infinity for none. Throws if the kernel does not tell. */
function readMemlock(): number {
  const text = /^Max locked memory\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
  if (text === undefined) throw new Error("/proc/self/limits does not tell the limit of locked memory");
  return text === "unlimited" ? Number.POSITIVE_INFINITY : Number(text);
}

export function judgeMemlock(limitBytes: number, neededBytes: number, btf: Pick<KernelBtf, "hasField" | "hasStruct">): Verdict {
  const limit = Number.isFinite(limitBytes) ? formatBytes(limitBytes) : "unlimited";
  // struct bpf_map had its charge in bpf_map_memory until maps were counted as the memory cgroup's (Linux 5.11).
  if (!btf.hasStruct("bpf_map_memory")) return pass(`${limit}; this kernel does not count maps against it`);
  if (limitBytes >= neededBytes) return pass(`${limit} for maps of ${formatBytes(neededBytes)}`);
  return fail(
    `${limit} for maps of ${formatBytes(neededBytes)}`,
    "this kernel counts maps as locked memory (before Linux 5.11), so they cannot be made",
    "raise the limit for the agent (systemd: LimitMEMLOCK=infinity)",
  );
}
