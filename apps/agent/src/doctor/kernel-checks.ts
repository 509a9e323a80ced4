// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { findUnitHierarchies } from "../host/cgroup-hierarchies.ts";
import { findCgroup2Mount } from "../host/cgroup-mount.ts";
import { KERNEL_BTF_PATH, type KernelBtf } from "../kernel/kernel-btf.ts";
import { clocksClosed, PARANOID_MAX } from "../probes/failure.ts";
import { type CheckDefinition, type CheckItem, fail, pass, skip, type Verdict, warn } from "./check.ts";
import type { DoctorFacts } from "./facts.ts";

/** What the agent needs of how a kernel was built, and functions that are in it only then. */
const options: readonly { readonly name: string; readonly functions: readonly string[] }[] = [
  { name: "CONFIG_BPF", functions: ["bpf_prog_select_runtime", "bpf_prog_alloc"] },
  { name: "CONFIG_BPF_SYSCALL", functions: ["bpf_map_new_fd", "bpf_prog_new_fd", "__sys_bpf"] },
  { name: "CONFIG_BPF_EVENTS", functions: ["perf_event_attach_bpf_prog", "bpf_probe_register"] },
  { name: "CONFIG_PERF_EVENTS", functions: ["perf_event_create_kernel_counter", "perf_event_release_kernel"] },
  { name: "CONFIG_CGROUPS", functions: ["cgroup_attach_task", "cgroup_get_from_fd"] },
];

/** Checks of the kernel this machine runs. */
export const kernelChecks: readonly CheckDefinition[] = [
  {
    id: "kernel-release",
    group: "kernel",
    title: "release",
    about:
      "`uname -r` and the processor. What a kernel can do is decided by trying, as distributions carry changes back; a release before 5.12 is only a warning.",
    run: ({ kernel }) => judgeRelease(kernel.kernelRelease, kernel.architecture),
  },
  {
    id: "kernel-btf",
    group: "kernel",
    title: "type information (BTF)",
    about: `\`${KERNEL_BTF_PATH}\` can be read and understood. Every program is fitted to the running kernel by it.`,
    run: checkBtf,
  },
  {
    id: "kernel-options",
    group: "kernel",
    title: "build options",
    about:
      "CONFIG_BPF, BPF_SYSCALL, BPF_EVENTS, PERF_EVENTS and CGROUPS: out of `/proc/config.gz`, `/boot/config-…` or the modules' folder; where none of these can be read, by functions in BTF that are there only with the option.",
    run: (facts) => judgeOptions(readBuildOptions(facts.hostRoot, facts.kernel.kernelRelease), () => facts.btf),
  },
  {
    id: "kernel-lockdown",
    group: "kernel",
    title: "lockdown",
    about:
      "`/sys/kernel/security/lockdown`. Integrity refuses kprobes and writing to user memory, of which Waggle uses neither; confidentiality refuses reading kernel memory, without which nothing works.",
    run: ({ kernel, hostRoot }) => {
      const forced = /^CONFIG_LOCK_DOWN_KERNEL_FORCE_(INTEGRITY|CONFIDENTIALITY)=y$/m.exec(
        readBuildOptions(hostRoot, kernel.kernelRelease)?.text ?? "",
      );
      // Where the file is hidden, the build may still tell.
      return judgeLockdown(kernel.lockdown ?? forced?.[1]?.toLowerCase() ?? null, existsSync("/sys/kernel/security/lsm"));
    },
  },
  {
    id: "kernel-unprivileged-bpf",
    group: "kernel",
    title: "BPF without privileges",
    about:
      "`kernel.unprivileged_bpf_disabled`. The agent has CAP_BPF and needs no more; 0 lets every user load programs, which kernels advise against since Spectre.",
    run: (facts) => judgeUnprivilegedBpf(readSysctl(facts.hostRoot, "kernel/unprivileged_bpf_disabled")),
  },
  {
    id: "kernel-perf-paranoid",
    group: "kernel",
    title: "performance events",
    about:
      "`kernel.perf_event_paranoid`. CAP_PERFMON stands above it, but not above 3 in kernels that distributions patched (Debian's, where that is the default); without that capability `cpu_profile` needs a value of 0 or less.",
    run: (facts) =>
      judgePerfParanoid(
        readSysctl(facts.hostRoot, "kernel/perf_event_paranoid"),
        facts.kernel.capabilities.includes("CAP_PERFMON"),
        facts.kernel.capabilities.includes("CAP_SYS_ADMIN"),
      ),
  },
  {
    id: "kernel-cgroups",
    group: "kernel",
    title: "control groups",
    about: "By which hierarchies of control groups programs name the unit of each process: v2, or of v1 the first controller's and systemd's own.",
    run: (facts) => checkCgroups(facts.hostRoot),
  },
  {
    id: "kernel-tracefs",
    group: "kernel",
    title: "tracefs",
    about:
      "Said because other tools need it: Waggle's programs hang on tracepoints by their BTF ids, so it works with tracefs closed or not mounted.",
    run: (facts) => pass(`${describeTracefs(facts.hostRoot)}; not needed`),
  },
];

export function judgeRelease(release: string, architecture: string): Verdict {
  const [major = 0, minor = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  const found = `${release}, ${architecture}`;
  if (major > 5 || (major === 5 && minor >= 12)) return pass(found);
  return warn(
    found,
    "before 5.12 programs have no storage per task or cannot exchange values atomically, unless the distribution carried both back",
    "see signal-coverage for what is left; boot a newer kernel for the rest",
  );
}

function checkBtf(facts: DoctorFacts): Verdict {
  try {
    const { typeCount } = facts.btf;
    return typeCount > 0 ? pass(`${typeCount} types in ${Math.round((facts.kernel.btfBytes ?? 0) / 1024)} KiB`) : noBtf("it holds no type");
  } catch (error) {
    return noBtf((error as Error).message);
  }
}

function noBtf(why: string): Verdict {
  return fail(
    `${KERNEL_BTF_PATH}: ${why}`,
    "this kernel was built without CONFIG_DEBUG_INFO_BTF, or /sys is hidden",
    "boot a distribution's kernel (all major ones since 2020 have it); in a container mount the host's /sys",
  );
}

/** Text of the running kernel's build configuration, and where it was found; null if no such file can be read. */
function readBuildOptions(hostRoot: string, release: string): { text: string; path: string } | null {
  for (const path of ["proc/config.gz", `boot/config-${release}`, `usr/lib/modules/${release}/config`, `lib/modules/${release}/config`]) {
    try {
      const bytes = readFileSync(join(hostRoot, path));
      return { text: (path.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("latin1"), path: `/${path}` };
    } catch {
      // The next one.
    }
  }
  return null;
}

export function judgeOptions(config: { readonly text: string; readonly path: string } | null, btf: () => Pick<KernelBtf, "hasFunction">): Verdict {
  const isSet = (name: string): boolean | null => {
    if (config !== null) return new RegExp(`^${name}=[ym]$`, "m").test(config.text);
    // That none of the functions is described proves nothing.
    return options.find((option) => option.name === name)?.functions.some((name) => btf().hasFunction(name)) === true ? true : null;
  };
  const source = config === null ? "its function is in the kernel's BTF" : config.path;
  const items = options.map(({ name }): CheckItem => {
    const value = isSet(name);
    if (value === null) return { name, result: "SKIP", found: "no configuration file can be read, and BTF does not tell" };
    return value ? { name, result: "PASS", found: source } : { name, result: "FAIL", found: `not set in ${config?.path}` };
  });
  const absent = items.filter(({ result }) => result === "FAIL").map(({ name }) => name);
  if (absent.length > 0) return fail(`without ${absent.join(", ")}`, `says ${config?.path}`, "boot a kernel that was built with them", items);
  const unknown = items.filter(({ result }) => result === "SKIP").map(({ name }) => name);
  if (unknown.length > 0) return skip(`nothing tells whether there is ${unknown.join(", ")}`, items);
  return pass(`all ${items.length} are set (${source})`, items);
}

/** @param mode null: no file says it. `hasSecurityfs`: whether it would, if the kernel had it. */
export function judgeLockdown(mode: string | null, hasSecurityfs: boolean): Verdict {
  switch (mode) {
    case "none":
      return pass("none");
    case "integrity":
      return pass("integrity: kprobes and writing to user memory are refused; Waggle uses neither");
    case "confidentiality":
      return fail(
        "confidentiality",
        "programs may not read kernel memory, so no signal of the kernel can be measured",
        "boot with lockdown=integrity, or without Secure Boot's lockdown",
      );
    default:
      return hasSecurityfs
        ? pass("this kernel has none")
        : skip("/sys/kernel/security is not mounted or closed; programs-load shows whether lockdown is in the way");
  }
}

export function judgeUnprivilegedBpf(value: string | undefined): Verdict {
  if (value === undefined) return skip("kernel.unprivileged_bpf_disabled cannot be read");
  if (value !== "0") return pass(`${value}: only with CAP_BPF, which the agent has`);
  return warn(
    "0: every user may load programs",
    "Waggle does not need that, and kernels advise against it since Spectre",
    "sysctl -w kernel.unprivileged_bpf_disabled=2",
  );
}

export function judgePerfParanoid(value: string | undefined, hasPerfmon: boolean, isAdmin = false): Verdict {
  if (value === undefined) return skip("kernel.perf_event_paranoid cannot be read");
  if (isAdmin) return pass(`${value}; CAP_SYS_ADMIN stands above it`);
  if (hasPerfmon && Number(value) > PARANOID_MAX)
    return warn(value, `cpu_profile may be missing: ${clocksClosed(Number(value))}`, `sysctl -w kernel.perf_event_paranoid=${PARANOID_MAX}`);
  if (hasPerfmon) return pass(`${value}; CAP_PERFMON stands above it`);
  if (Number(value) <= 0) return pass(`${value}: every user may sample`);
  return warn(
    value,
    "without CAP_PERFMON nothing may sample a whole CPU, so there is no cpu_profile",
    "give the agent CAP_PERFMON (AmbientCapabilities=CAP_BPF CAP_PERFMON)",
  );
}

function checkCgroups(hostRoot: string): Verdict {
  const mount = findCgroup2Mount(hostRoot);
  const v1 = readMounts(hostRoot).some((type) => type === "cgroup");
  const hierarchies = findUnitHierarchies(hostRoot).map(({ mount: at }) => at ?? "a place that this process cannot see");
  if (hierarchies.length > 0) return pass(`${mount === undefined ? "" : `v2 at ${mount}, `}v1 at ${hierarchies.join(" and ")}`);
  if (mount !== undefined) return pass(v1 ? `v2 at ${mount}, v1 beside it` : `v2 at ${mount}`);
  return warn(
    v1 ? "v1, with no hierarchy that names units" : "none is mounted",
    "units come from /proc/PID/cgroup, and processes that end within a window may lack theirs",
    "mount the v2 hierarchy (systemd.unified_cgroup_hierarchy=1)",
  );
}

/** Types of the mounted file systems. Throws if /proc does not tell. */
function readMounts(hostRoot: string): string[] {
  const lines = readFileSync(join(hostRoot, "proc/self/mountinfo"), "utf8").split("\n");
  return lines.flatMap((line) => line.split(" - ")[1]?.split(" ")[0] ?? []);
}

function describeTracefs(hostRoot: string): string {
  for (const path of ["sys/kernel/tracing", "sys/kernel/debug/tracing"]) {
    try {
      if (readdirSync(join(hostRoot, path)).length > 0) return `mounted at /${path} and open`;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EACCES") return "closed to this user";
    }
  }
  return "not mounted";
}

/** Undefined if it cannot be read. */
export function readSysctl(hostRoot: string, path: string): string | undefined {
  try {
    return readFileSync(join(hostRoot, "proc/sys", path), "utf8").trim();
  } catch {
    return undefined;
  }
}
