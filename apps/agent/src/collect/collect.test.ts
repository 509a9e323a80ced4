// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { encodeBlock, getSignalOrThrow } from "@waggle/signals";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Collected } from "../window/collector.ts";
import { EnergyCollector } from "./energy.ts";
import { HostFactsCollector } from "./host-facts.ts";
import { HostLoadCollector } from "./host-load.ts";
import { HostPressureCollector } from "./host-pressure.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "waggle-collect-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

/** The one answer, whose rows must fit the signal. */
function only(collected: readonly Collected[]): Collected {
  expect(collected).toHaveLength(1);
  const [answer] = collected as [Collected];
  encodeBlock(getSignalOrThrow(answer.signal), answer.rows);
  return answer;
}

const stat = (user: number, guest: number, idle: number, switches: number): string =>
  `cpu  ${user} 3 20 ${idle} 7 1 2 5 ${guest} 0\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr 1000 5 5\nctxt ${switches}\nbtime 1\nprocesses 50\nprocs_running 2\nprocs_blocked 3\n`;

describe("HostLoadCollector", () => {
  const files = (): void => {
    write("proc/loadavg", "1.50 0.25 12.00 3/456 789\n");
    write(
      "proc/meminfo",
      "MemTotal:       1000 kB\nMemAvailable:    600 kB\nBuffers:          10 kB\nCached:          200 kB\nSwapTotal:         0 kB\n",
    );
  };

  it("says how much counters rose in the window, and where gauges stand", () => {
    files();
    write("proc/stat", stat(100, 40, 1_000, 7));
    const collector = new HostLoadCollector(root);
    write("proc/stat", stat(160, 50, 1_500, 20));
    const { rows, state } = only(collector.collect());
    expect(state).toBe("exact");
    expect(rows[0]).toMatchObject({ load_1m: 1_500n, load_5m: 250n, load_15m: 12_000n, tasks: 456n, tasks_running: 3n, tasks_blocked: 3n });
    expect(rows[0]).toMatchObject({ memory_total: 1_024_000n, memory_available: 614_400n, memory_cached: 215_040n, swap_total: 0n });
    // 60 ticks of which a guest took 10.
    expect(rows[0]).toMatchObject({ cpu_user: 500_000_000n, cpu_guest: 100_000_000n, cpu_idle: 5_000_000_000n, context_switches: 13n, forks: 0n });
    expect(only(collector.collect()).rows[0]).toMatchObject({ cpu_user: 0n, context_switches: 0n });
  });

  it("claims no zeros for a window whose beginning it did not see", () => {
    const collector = new HostLoadCollector(root);
    expect(() => collector.collect()).toThrow("proc/stat");
    files();
    write("proc/stat", stat(100, 40, 1_000, 7));
    expect(only(collector.collect())).toMatchObject({ rows: [], state: "failed" });
    expect(only(collector.collect())).toMatchObject({ state: "exact" });
  });
});

describe("HostPressureCollector", () => {
  it("counts the time lost in the window", () => {
    const pressure = (some: number, full: number): void => {
      write("proc/pressure/cpu", `some avg10=0.00 avg60=0.00 avg300=0.00 total=${some}\n`);
      write("proc/pressure/io", `some avg10=0.00 avg60=0.00 avg300=0.00 total=${some}\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=${full}\n`);
    };
    pressure(100, 10);
    const collector = new HostPressureCollector(root);
    pressure(350, 13);
    const { rows } = only(collector.collect());
    expect(rows).toEqual([
      { resource: "cpu", some: 250_000n, full: 0n },
      { resource: "io", some: 250_000n, full: 3_000n },
    ]);
  });

  it("is unsupported, not zero, on a kernel without it", () => {
    const answer = only(new HostPressureCollector(root).collect());
    expect(answer).toMatchObject({ rows: [], state: "unsupported" });
    expect(answer.reason).toContain("psi=1");
  });
});

describe("EnergyCollector", () => {
  const meter = (zone: string, name: string, energy: string): void => {
    write(`sys/class/powercap/${zone}/name`, `${name}\n`);
    write(`sys/class/powercap/${zone}/max_energy_range_uj`, "1000\n");
    write(`sys/class/powercap/${zone}/energy_uj`, energy);
  };

  it("takes the increase of each meter, over the end of its range too", () => {
    meter("intel-rapl:0", "package-0", "900\n");
    meter("intel-rapl:0:0", "core", "10\n");
    const collector = new EnergyCollector(root);
    meter("intel-rapl:0", "package-0", "50\n");
    meter("intel-rapl:0:0", "core", "17\n");
    expect(only(collector.collect()).rows).toEqual([
      { domain: "package-0", energy: 150n },
      { domain: "package-0 core", energy: 7n },
    ]);
  });

  it("tells a host without a meter from one whose meter is closed", () => {
    expect(only(new EnergyCollector(root).collect())).toMatchObject({ state: "unsupported", rows: [] });
    meter("intel-rapl:0", "package-0", "");
    const collector = new EnergyCollector(root);
    expect(only(collector.collect())).toMatchObject({ state: "failed", rows: [] });
    // Opened in the middle of a window: what it took in that window is not known, and not 0.
    meter("intel-rapl:0", "package-0", "70\n");
    expect(only(collector.collect())).toMatchObject({ state: "failed", rows: [] });
    expect(only(collector.collect())).toMatchObject({ state: "exact", rows: [{ domain: "package-0", energy: 0n }] });
  });
});

describe("HostFactsCollector", () => {
  it("reports every fact once an hour, and what changed in between", () => {
    write("proc/sys/vm/swappiness", "60\n");
    write("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n");
    let nowMs = 3_600_000 * 10;
    const collector = new HostFactsCollector(
      root,
      () => nowMs,
      undefined,
      () => ({}),
    );
    const facts = (): Map<unknown, unknown> => new Map(only(collector.collect()).rows.map((row) => [row["fact"], row["value"]]));
    const first = facts();
    expect(first.get("sysctl:vm.swappiness")).toBe("60");
    expect(first.get("sysctl:net.ipv4.tcp_rmem")).toBe("4096 131072 6291456");
    nowMs += 60_000;
    expect(facts().size).toBe(0);
    write("proc/sys/vm/swappiness", "10\n");
    nowMs += 60_000;
    expect([...facts()]).toEqual([["sysctl:vm.swappiness", "10"]]);
    nowMs += 3_600_000;
    expect(facts().size).toBe(first.size);
  });

  it("leaves out what it cannot read", () => {
    const facts = only(new HostFactsCollector(root).collect()).rows.map((row) => row["fact"]);
    expect(facts).toContain("kernel_release");
    expect(facts).not.toContain("sysctl:vm.swappiness");
    for (const fact of ["cpu_model", "cpu_mitigations_off", "memory_bytes", "cgroup_version", "virtual_machine"]) expect(facts).not.toContain(fact);
  });

  it("says under which addresses other hosts know it, whole ones, and none that every host has", () => {
    const many = Array.from({ length: 80 }, (_, index) => `2001:db8:1234:5678:9abc:def0:1234:${(0x1000 + index).toString(16)}`);
    const entry = (address: string, internal = false) => ({
      address,
      internal,
      family: address.includes(":") ? ("IPv6" as const) : ("IPv4" as const),
    });
    const interfaces = () => ({
      lo: [entry("127.0.0.1", true), entry("::1", true)],
      eth0: [entry("10.1.0.7"), entry("fe80::1"), entry("2001:db8::7"), entry("169.254.1.1")],
      veth1: [entry("fe80::2")],
      wide: many.map((address) => entry(address)),
    });
    const rows = only(new HostFactsCollector(root, Date.now, undefined, interfaces).collect()).rows;
    const facts = new Map(rows.map((row) => [row["fact"] as string, row["value"] as string]));
    expect(facts.get("address:eth0")).toBe("10.1.0.7 2001:db8::7");
    expect([...facts.keys()].filter((fact) => /^address:(lo|veth)/.test(fact))).toEqual([]);
    const wide = [...facts].filter(([fact]) => fact.startsWith("address:wide"));
    expect(wide.slice(0, 2).map(([fact]) => fact)).toEqual(["address:wide", "address:wide:2"]);
    const listed = wide.flatMap(([, value]) => value.split(" "));
    expect(listed).toEqual(many.slice(0, 62));
  });
});
