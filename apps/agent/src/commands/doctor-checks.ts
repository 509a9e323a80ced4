// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync } from "node:fs";
import type { Config } from "../config/config.ts";
import { findCgroup2Mount } from "../host/cgroup-mount.ts";
import { capabilityReport } from "../kernel/capability-report.ts";
import { readStatusReport, type StatusReport, whyNotRunning } from "../status/status-report.ts";
import type { CheckResult } from "./check-result.ts";
import { checkConnection } from "./doctor-connection.ts";
import { checkState } from "./doctor-state.ts";
import { findObjectDirectory } from "./open-source.ts";

/** Runs every check, in the order in which a person would look. None throws; none changes anything that lasts. */
export async function runChecks(config: Config): Promise<CheckResult[]> {
  const running = findRunningAgent(config);
  return [
    ...checkKernel(),
    ...checkCgroups(config),
    ...(await checkPrograms(config)),
    ...checkState(config),
    ...(await checkConnection(config, running)),
    checkRunning(running),
  ];
}

function findRunningAgent(config: Config): StatusReport | undefined {
  try {
    const report = readStatusReport(config.stateDirectory);
    return whyNotRunning(report, Date.now()) === undefined ? report : undefined;
  } catch {
    return undefined;
  }
}

function checkKernel(): CheckResult[] {
  const group = "kernel";
  const report = capabilityReport();
  const lockdown = report.lockdown;
  return [
    kernelVersion(report.kernelRelease),
    report.btfBytes === null
      ? {
          group,
          name: "type information (BTF)",
          result: "FAIL",
          cause: "/sys/kernel/btf/vmlinux cannot be read: this kernel was built without CONFIG_DEBUG_INFO_BTF, or /sys is hidden",
          fix: "use a distribution kernel (all major ones since 2020 have it); in a container mount /sys",
        }
      : { group, name: "type information (BTF)", result: "PASS", cause: `${Math.round(report.btfBytes / 1024)} KiB`, fix: "" },
    report.missingCapabilities.length > 0
      ? {
          group,
          name: "capabilities",
          result: "FAIL",
          cause: `missing ${report.missingCapabilities.join(" and ")}`,
          fix: "start the agent with both (systemd: AmbientCapabilities=CAP_BPF CAP_PERFMON), and run doctor the same way",
        }
      : { group, name: "capabilities", result: "PASS", cause: report.capabilities.join(", "), fix: "" },
    lockdown === "confidentiality"
      ? {
          group,
          name: "lockdown",
          result: "FAIL",
          cause: "the kernel is locked down to confidentiality, so BPF programs may not read kernel memory",
          fix: "boot with lockdown=integrity",
        }
      : {
          group,
          name: "lockdown",
          result: "PASS",
          cause: lockdown ?? "not told by this kernel; the programs below show whether it is in the way",
          fix: "",
        },
  ];
}

/** Information only: what a kernel can do is decided by trying, as distributions move features back and forth. */
export function kernelVersion(release: string): CheckResult {
  const [major = 0, minor = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  const isOld = major < 5 || (major === 5 && minor < 8);
  return {
    group: "kernel",
    name: "version",
    result: isOld ? "WARN" : "PASS",
    cause: isOld ? `${release} is older than 5.8, the first with CAP_BPF and the tracing programs used` : release,
    fix: isOld ? "see below which programs load; a newer kernel is the cure for those that do not" : "",
  };
}

function checkCgroups(config: Config): CheckResult[] {
  const mount = findCgroup2Mount(config.hostRoot);
  return [
    mount === undefined
      ? {
          group: "kernel",
          name: "control groups",
          result: "WARN",
          cause: "cgroup v2 is not mounted; units are read per process from /proc and are missing for short-lived ones",
          fix: "boot with systemd.unified_cgroup_hierarchy=1",
        }
      : { group: "kernel", name: "control groups", result: "PASS", cause: `v2 at ${mount}`, fix: "" },
  ];
}

/** Loads and attaches each program for a moment, as the agent would. */
async function checkPrograms(config: Config): Promise<CheckResult[]> {
  const group = "BPF programs";
  const directory = findObjectDirectory(config);
  const fixObjects = "build them (pnpm --filter @waggle/bpf build) or set WAGGLE_AGENT_BPF_DIRECTORY";
  if (!existsSync(directory) || !readdirSync(directory).some((name) => name.endsWith(".bpf.o"))) {
    return [{ group, name: "objects", result: "FAIL", cause: `there are no *.bpf.o files in ${directory}`, fix: fixObjects }];
  }
  try {
    const { KernelSource } = await import("../snapshot/window-reader.ts");
    const source = await KernelSource.open({ objectDirectory: directory, names: { unitOf: () => "" } });
    try {
      return source.programs().map(({ program, hook, attached, failure }) =>
        attached
          ? { group, name: program, result: "PASS", cause: hook, fix: "" }
          : {
              group,
              name: program,
              result: "FAIL",
              cause: failure?.message ?? "not attached",
              fix: "the agent runs without it and reports its signals as absent with this reason",
            },
      );
    } finally {
      source.close();
    }
  } catch (error) {
    return [
      {
        group,
        name: "loading",
        result: "FAIL",
        cause: (error as Error).message,
        fix: "the agent runs without BPF and reports its signals as failed with this reason",
      },
    ];
  }
}

function checkRunning(report: StatusReport | undefined): CheckResult {
  const group = "agent";
  if (report === undefined) return { group, name: "running", result: "SKIP", cause: "no agent runs with this state directory", fix: "" };
  const { lostWindows, refusedFrames } = report.spool;
  return lostWindows + refusedFrames === 0
    ? { group, name: "running", result: "PASS", cause: `process ${report.pid}, nothing lost`, fix: "" }
    : {
        group,
        name: "running",
        result: "WARN",
        cause: `process ${report.pid}: ${lostWindows} windows dropped or unreadable, ${refusedFrames} frames refused`,
        fix: "see `waggle-agent status` for the last reason",
      };
}
