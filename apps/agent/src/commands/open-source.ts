// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { EnergyCollector } from "../collect/energy.ts";
import { HostFactsCollector } from "../collect/host-facts.ts";
import { HostLoadCollector } from "../collect/host-load.ts";
import { HostPressureCollector } from "../collect/host-pressure.ts";
import { NetworkDevicesCollector } from "../collect/network-devices.ts";
import type { Config } from "../config/config.ts";
import { findUnitHierarchies } from "../host/cgroup-hierarchies.ts";
import { findCgroup2Mount } from "../host/cgroup-mount.ts";
import type { HostClock } from "../host/clock.ts";
import { ContainerNames } from "../host/container-names.ts";
import { UnitResolver } from "../host/unit-resolver.ts";
import type { Logger } from "../log.ts";
import { CollectingSource } from "../window/collecting-source.ts";
import type { Collector } from "../window/collector.ts";
import type { WindowSource } from "../window/source.ts";
import { UnavailableSource } from "../window/unavailable-source.ts";

/** Where the BPF objects are: as configured, beside the bundle, or in the workspace. */
export function findObjectDirectory(config: Pick<Config, "bpfDirectory">): string {
  if (config.bpfDirectory !== undefined) return config.bpfDirectory;
  const here = dirname(fileURLToPath(import.meta.url));
  // The bundle's chunks lie one level below it.
  const candidates = [join(here, "bpf"), join(here, "../bpf"), join(here, "../../../../packages/bpf/build")];
  return candidates.find((directory) => existsSync(directory)) ?? (candidates[0] as string);
}

const OFF_BY_CONFIGURATION = "switched off by WAGGLE_AGENT_SIGNALS_OFF";

/** Opens everything windows are made of. */
export async function openSource(config: Config, clock: HostClock, log: Logger): Promise<WindowSource> {
  const containers = new ContainerNames({ hostRoot: config.hostRoot, clock });
  const source = new CollectingSource(
    await openKernelSource(config, clock, containers, log),
    openCollectors(config, containers),
    config.rowsMax,
    (error) => log.error("reading the window failed", { error }),
  );
  source.setDisabled(config.signalsOff, OFF_BY_CONFIGURATION);
  return source;
}

/** What is made out of /proc and /sys. */
export function openCollectors({ hostRoot }: Pick<Config, "hostRoot">, containers?: ContainerNames): Collector[] {
  return [
    new HostLoadCollector(hostRoot),
    new HostPressureCollector(hostRoot),
    new HostFactsCollector(hostRoot, Date.now, () => containers?.facts() ?? new Map()),
    new EnergyCollector(hostRoot),
    new NetworkDevicesCollector(hostRoot),
  ];
}

/** Opens the kernel's side; where that is impossible as a whole, a source that says why in each window. */
async function openKernelSource(config: Config, clock: HostClock, containers: ContainerNames, log: Logger): Promise<WindowSource> {
  const objectDirectory = findObjectDirectory(config);
  const hierarchies = findUnitHierarchies(config.hostRoot);
  const names = new UnitResolver({ cgroupMount: findCgroup2Mount(config.hostRoot), hierarchies, hostRoot: config.hostRoot, containers, clock });
  try {
    // Loaded here and not at the top: where the native library is missing, the agent shall live and say so.
    const { GovernedSource } = await import("../governor/governed-source.ts");
    const { KernelSource } = await import("../snapshot/window-reader.ts");
    const source = await KernelSource.open({
      objectDirectory,
      names,
      unitHierarchies: hierarchies.map(({ id }) => id),
      rowsMax: config.rowsMax,
      sampleHz: config.profileHz,
      offCpuMinUs: config.offCpuMinUs,
      hostRoot: config.hostRoot,
      mapBytesMax: config.mapBytesMax,
      disabled: new Map([[OFF_BY_CONFIGURATION, config.signalsOff]]),
    });
    for (const { program, attached, failure } of source.programs()) {
      if (attached) log.info("BPF program attached", { program });
      else log.warn("BPF program not attached", { program, reason: failure?.message ?? "" });
    }
    if (source.mapPlan.bytes > source.mapPlan.bytesMax) log.warn("BPF maps need more memory than they may take", { ...source.mapPlan });
    return new GovernedSource(source, {
      budget: config.cpuBudget,
      onChange: ({ steps, predicted, budget }) =>
        log.warn(steps.length === 0 ? "back to exact windows" : "saving to keep to the CPU budget", {
          steps: steps.map(({ name }) => name).join(" "),
          predicted,
          budget,
        }),
    });
  } catch (error) {
    const reason = (error as Error).message;
    log.error("BPF cannot be used, reporting the kernel's signals as failed", { reason, objectDirectory });
    return new UnavailableSource("failed", reason);
  }
}
