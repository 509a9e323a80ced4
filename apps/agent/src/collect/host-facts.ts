// SPDX-License-Identifier: Apache-2.0
import { readdirSync } from "node:fs";
import { machine, release } from "node:os";
import { join } from "node:path";
import { countCpus, parsePrettyName } from "../host/facts.ts";
import type { Collected, Collector } from "../window/collector.ts";
import { addressFacts, type Interfaces } from "./addresses.ts";
import { tryReadHostFile } from "./proc-file.ts";

/** Settings that explain differences between hosts that should be alike. */
const sysctls = [
  "kernel.perf_event_paranoid",
  "kernel.unprivileged_bpf_disabled",
  "net.core.default_qdisc",
  "net.core.netdev_max_backlog",
  "net.core.rmem_max",
  "net.core.somaxconn",
  "net.core.wmem_max",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.tcp_congestion_control",
  "net.ipv4.tcp_ecn",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_max_syn_backlog",
  "net.ipv4.tcp_mtu_probing",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_slow_start_after_idle",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.tcp_tw_reuse",
  "net.ipv4.tcp_wmem",
  "net.netfilter.nf_conntrack_max",
  "vm.dirty_background_ratio",
  "vm.dirty_ratio",
  "vm.max_map_count",
  "vm.overcommit_memory",
  "vm.swappiness",
] as const;

/** Facts of one host at most; beyond it devices are left out. */
const FACTS_MAX = 200;
const VALUE_CHARACTERS_MAX = 160;
const HOUR_MS = 3_600_000;
/** Facts change rarely, and reading them opens a hundred files. */
const READ_EVERY_MS = 60_000;

/** Rows of `host_facts`. A fact that cannot be read is left out, which says: not known. */
export class HostFactsCollector implements Collector {
  readonly signals = ["host_facts"];
  readonly #hostRoot: string;
  readonly #now: () => number;
  readonly #learned: () => ReadonlyMap<string, string>;
  readonly #interfaces: Interfaces | undefined;
  #reported = new Map<string, string>();
  #hour = -1;
  #readAtMs = Number.NEGATIVE_INFINITY;

  /**
   * @param now wall clock, Unix ms
   * @param learned facts that other parts of the agent came to know
   * @param interfaces of the agent's network namespace; left out: the real ones
   */
  constructor(hostRoot: string, now: () => number = Date.now, learned: () => ReadonlyMap<string, string> = () => new Map(), interfaces?: Interfaces) {
    this.#hostRoot = hostRoot;
    this.#now = now;
    this.#learned = learned;
    this.#interfaces = interfaces;
  }

  collect(): Collected[] {
    const nowMs = this.#now();
    const hour = Math.floor(nowMs / HOUR_MS);
    if (hour === this.#hour && Math.abs(nowMs - this.#readAtMs) < READ_EVERY_MS)
      return [{ signal: "host_facts", rows: [], state: "exact", reason: "" }];
    const facts = new Map([...readFacts(this.#hostRoot, this.#interfaces), ...this.#learned()]);
    const news = [...facts].filter(([fact, value]) => hour !== this.#hour || this.#reported.get(fact) !== value);
    this.#hour = hour;
    this.#readAtMs = nowMs;
    this.#reported = facts;
    return [{ signal: "host_facts", rows: news.map(([fact, value]) => ({ fact, value, windows: 1n })), state: "exact", reason: "" }];
  }
}

/** What is known of the host, by the name of the fact. */
export function readFacts(hostRoot: string, interfaces?: Interfaces): Map<string, string> {
  const facts = new Map<string, string>();
  const read = (path: string): string => tryReadHostFile(hostRoot, path)?.trim().replace(/\s+/g, " ") ?? "";
  const add = (fact: string, value: string): void => {
    if (value !== "" && facts.size < FACTS_MAX) facts.set(fact, value.slice(0, VALUE_CHARACTERS_MAX));
  };
  const cpuinfo = tryReadHostFile(hostRoot, "proc/cpuinfo") ?? "";
  const cpuFact = (key: string): string => new RegExp(`^${key}\\s*: (.*)$`, "m").exec(cpuinfo)?.[1]?.trim() ?? "";
  add("kernel_release", release());
  add("kernel_version", read("proc/sys/kernel/version"));
  add("architecture", machine());
  add("distribution", parsePrettyName(tryReadHostFile(hostRoot, "etc/os-release") ?? tryReadHostFile(hostRoot, "usr/lib/os-release") ?? ""));
  add("cpu_model", cpuFact("model name") || cpuFact("CPU part"));
  add("cpu_microcode", cpuFact("microcode"));
  add("cpu_online", countOf(read("sys/devices/system/cpu/online")));
  add("cpu_possible", countOf(read("sys/devices/system/cpu/possible")));
  add("cpu_mitigations_off", yesOrNo(read("proc/cmdline"), /(^| )mitigations=off( |$)/));
  add("cpu_governor", read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
  add("numa_nodes", countOf(read("sys/devices/system/node/online")));
  add("memory_bytes", times(/^MemTotal: +(\d+) kB$/m.exec(tryReadHostFile(hostRoot, "proc/meminfo") ?? "")?.[1], 1_024n));
  add("transparent_hugepage", /\[(\w+)\]/.exec(read("sys/kernel/mm/transparent_hugepage/enabled"))?.[1] ?? "");
  add("clock_source", read("sys/devices/system/clocksource/clocksource0/current_clocksource"));
  add("virtual_machine", yesOrNo(cpuFact("flags"), / hypervisor( |$)/));
  add("machine_model", [read("sys/class/dmi/id/sys_vendor"), read("sys/class/dmi/id/product_name")].filter((part) => part !== "").join(" "));
  add("lockdown", /\[(\w+)\]/.exec(read("sys/kernel/security/lockdown"))?.[1] ?? "");
  add("security_modules", read("sys/kernel/security/lsm"));
  const mounts = tryReadHostFile(hostRoot, "proc/mounts");
  if (mounts !== undefined) add("cgroup_version", /^\S+ \/sys\/fs\/cgroup cgroup2 /m.test(mounts) ? "2" : "1");
  for (const name of sysctls) add(`sysctl:${name}`, read(`proc/sys/${name.replaceAll(".", "/")}`));
  for (const [fact, value] of addressFacts(VALUE_CHARACTERS_MAX, interfaces)) add(fact, value);
  for (const device of list(hostRoot, "sys/block").filter((name) => !/^(loop|ram|zram)\d/.test(name))) {
    const base = `sys/block/${device}`;
    add(`block_device:${device}:model`, read(`${base}/device/model`));
    // In sectors of 512 bytes, whatever the device's own are (Documentation/ABI/stable/sysfs-block).
    add(`block_device:${device}:size_bytes`, times(read(`${base}/size`), 512n));
    add(`block_device:${device}:rotational`, yesOrNo(read(`${base}/queue/rotational`), /^1$/));
    add(`block_device:${device}:scheduler`, /\[([\w-]+)\]/.exec(read(`${base}/queue/scheduler`))?.[1] ?? "");
  }
  for (const device of list(hostRoot, "sys/class/net").filter((name) => name !== "lo" && !/^(veth|cali|lxc)/.test(name))) {
    const base = `sys/class/net/${device}`;
    add(`network_device:${device}:mtu`, read(`${base}/mtu`));
    add(`network_device:${device}:speed_mbit`, read(`${base}/speed`).replace(/^-1$/, ""));
    add(`network_device:${device}:driver`, /^DRIVER=(.*)$/m.exec(tryReadHostFile(hostRoot, `${base}/device/uevent`) ?? "")?.[1] ?? "");
  }
  return facts;
}

/** Whether the text says so; empty if there is none to say it. */
function yesOrNo(text: string, pattern: RegExp): string {
  return text === "" ? "" : pattern.test(text) ? "yes" : "no";
}

/** A whole number times a factor, as text; empty if it is none. */
function times(number: string | undefined, factor: bigint): string {
  return number !== undefined && /^\d+$/.test(number) ? String(BigInt(number) * factor) : "";
}

/** Length of a kernel list such as `0-3,8`, as text; empty if it is none. */
function countOf(text: string): string {
  const count = countCpus(text);
  return count === 0 ? "" : String(count);
}

function list(hostRoot: string, path: string): string[] {
  try {
    return readdirSync(join(hostRoot, path)).sort();
  } catch {
    return [];
  }
}
