// SPDX-License-Identifier: Apache-2.0
import { decodeBlock, hostSignals, stackName, type WireRow } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { CPUS, makeFleet, type SimulatedHost } from "../fleet.ts";
import { type Incident, incidentKinds } from "../incident.ts";
import { Workload } from "../workload.ts";
import { stacksOf } from "./stacks.ts";

const fleet = makeFleet(11, 60);
const start = Date.UTC(2026, 10, 1, 14, 3, 20);
const windowMs = 10_000;
const incident = (kind: Incident["kind"]): Incident => ({ kind, startMs: start, endMs: start + windowMs, role: undefined });
/** A healthy fleet, and one that everything happens to at once. */
const scenes = [
  { name: "as it is", incidents: [] },
  { name: "in all kinds of trouble", incidents: incidentKinds.map(incident) },
];

type Rows = ReadonlyMap<string, readonly WireRow[]>;
const windowOf = (made: Workload, host: SimulatedHost, startMs = start): Rows =>
  new Map(made.window(host, startMs).map(({ signal, block }) => [signal.name, decodeBlock(signal, block)]));
const sum = (rows: Rows, signal: string, measure: string, where: Readonly<Record<string, string>> = {}): number =>
  (rows.get(signal) ?? [])
    .filter((row) => Object.entries(where).every(([name, value]) => row[name] === value))
    .reduce((total, row) => total + Number(row[measure]), 0);
/** Sums by a dimension. */
const by = (rows: Rows, signal: string, measure: string, dimension: string, where: Readonly<Record<string, string>> = {}) =>
  new Map(
    [...new Set((rows.get(signal) ?? []).map((row) => row[dimension] as string))].flatMap((value) => {
      const total = sum(rows, signal, measure, { ...where, [dimension]: value });
      return total === 0 ? [] : [[value, total] as const];
    }),
  );

describe.each(scenes)("what the signals of a host tell of the same, $name", ({ incidents }) => {
  const made = new Workload({ seed: 11, rows: 400, windowMs, incidents });
  const eachHost = (check: (rows: Rows, host: SimulatedHost) => void): void => {
    for (const host of fleet) check(windowOf(made, host), host);
  };

  it("network devices carry what TCP and UDP moved, and headers", () => {
    eachHost((rows) => {
      const [received, sent] = [
        sum(rows, "network_devices", "rx_bytes", { device: "eth0" }),
        sum(rows, "network_devices", "tx_bytes", { device: "eth0" }),
      ];
      const payloadReceived = sum(rows, "tcp_connections", "bytes_received") + sum(rows, "udp_traffic", "bytes_received");
      const payloadSent = sum(rows, "tcp_connections", "bytes_sent") + sum(rows, "udp_traffic", "bytes_sent");
      expect(received).toBeGreaterThan(payloadReceived);
      expect(received).toBeLessThan(payloadReceived * 1.3);
      expect(sent).toBeGreaterThan(payloadSent);
      expect(sent).toBeLessThan(payloadSent * 1.3);
    });
  });

  it("sockets are the flows' connections, and their ends", () => {
    eachHost((rows) => {
      expect(sum(rows, "socket_buffers", "sockets", { protocol: "tcp" })).toBe(sum(rows, "tcp_connections", "active"));
      expect(by(rows, "tcp_congestion", "connections", "process")).toEqual(by(rows, "tcp_connections", "active", "process"));
      expect(by(rows, "tcp_accept_delay", "count", "port")).toEqual(by(rows, "tcp_connections", "opened", "port", { role: "server" }));
      expect(sum(rows, "tcp_resets", "count", { role: "client" })).toBe(sum(rows, "tcp_connect_failures", "count", { errno: "ECONNREFUSED" }));
    });
  });

  it("what is dropped is what others missed: resets for nobody, full receive queues, segments sent again", () => {
    eachHost((rows) => {
      const drops = by(rows, "packet_drops", "packets", "drop_reason");
      expect(drops.get("NO_SOCKET") ?? 0).toBe(sum(rows, "tcp_resets", "count", { direction: "sent" }));
      expect(drops.get("SOCKET_RCVBUFF") ?? 0).toBe(sum(rows, "socket_buffers", "full"));
      expect(drops.get("QDISC_DROP") ?? 0).toBe(sum(rows, "network_devices", "tx_dropped"));
      expect(drops.get("QDISC_DROP") ?? 0).toBeLessThanOrEqual(sum(rows, "tcp_retransmits", "segments"));
    });
  });

  it("DNS queries are datagrams, one more for each that was not answered, and programs wait for these", () => {
    eachHost((rows) => {
      const lost = by(rows, "dns_queries", "count", "process", { rcode: "timeout" });
      for (const [process, queries] of by(rows, "dns_queries", "count", "process")) {
        const missed = lost.get(process) ?? 0;
        expect(sum(rows, "udp_traffic", "datagrams_sent", { process, peer_port: "53" })).toBe(queries + missed);
        expect(sum(rows, "udp_traffic", "datagrams_received", { process, peer_port: "53" })).toBe(queries - missed);
      }
    });
  });

  it("files, calls and the disk agree: syncs, opens, reads, writes", () => {
    eachHost((rows) => {
      const calls = (syscall: string, signal = "syscalls") => by(rows, signal, "count", "process", { syscall });
      const syncs = by(rows, "fsync_latency", "count", "process");
      for (const [process, count] of calls("fsync")) if (syncs.has(process)) expect(count).toBe(syncs.get(process));
      const opens = by(rows, "file_opens", "count", "process");
      for (const [process, count] of calls("openat")) if (opens.has(process)) expect(count).toBe(opens.get(process));
      const failed = by(rows, "file_opens", "count", "process", { result: "ENOENT" });
      for (const [process, count] of calls("openat", "syscall_errors")) if (failed.has(process)) expect(count).toBe(failed.get(process));
      for (const measure of ["reads", "writes"] as const) {
        const ofFiles = by(rows, "file_io", measure, "process");
        for (const [process, count] of calls(measure.slice(0, -1))) expect(count).toBeGreaterThanOrEqual(ofFiles.get(process) ?? 0);
      }
      expect(sum(rows, "block_io", "count", { operation: "flush" })).toBe(sum(rows, "fsync_latency", "count"));
      expect(sum(rows, "block_io", "bytes", { operation: "write" })).toBeGreaterThanOrEqual(sum(rows, "file_io", "written_bytes"));
      expect(by(rows, "block_latency", "count", "operation")).toEqual(by(rows, "block_io", "count", "operation"));
    });
  });

  it("the processes' CPU time is the host's, and what it did not use it idled", () => {
    eachHost((rows) => {
      for (const kind of ["user", "system"]) expect(sum(rows, "host_load", `cpu_${kind}`)).toBe(sum(rows, "cpu_time", kind));
      const all = ["user", "system", "irq", "iowait", "idle"].reduce((total, kind) => total + sum(rows, "host_load", `cpu_${kind}`), 0);
      expect(all / (CPUS * windowMs * 1e6)).toBeCloseTo(1, 1);
      const switches = sum(rows, "cpu_time", "voluntary_switches") + sum(rows, "cpu_time", "involuntary_switches");
      expect(sum(rows, "run_queue_latency", "count")).toBe(switches);
      expect(sum(rows, "cpu_time", "user", { process: "waggle-agent" }) + sum(rows, "cpu_time", "system", { process: "waggle-agent" })).toBe(
        sum(rows, "agent_cost", "cpu_ns"),
      );
    });
  });

  it("samples are CPU time, 49 a second, and waits for disks and resolvers are those that files and DNS tell of", () => {
    let [samples, cpuNs] = [0, 0];
    const kinds = new Set<string>();
    eachHost((rows) => {
      for (const [process, used] of by(rows, "cpu_profile", "samples", "process")) {
        samples += used;
        cpuNs += sum(rows, "cpu_time", "user", { process }) + sum(rows, "cpu_time", "system", { process });
      }
      const lost = by(rows, "dns_queries", "count", "process", { rcode: "timeout" });
      for (const { process, stack, count, blocked } of rows.get("off_cpu") ?? []) {
        const kind = stacksOf((process as string).replace(/-\d+$/, "")).waiting.find(({ frames }) => stackName(frames) === stack)?.kind;
        const owner = { process: process as string };
        if (kind === "disk")
          expect([Number(count), Number(blocked)]).toEqual([sum(rows, "fsync_latency", "count", owner), sum(rows, "fsync_latency", "sum", owner)]);
        if (kind === "resolver") expect([Number(count), Number(blocked)]).toEqual([lost.get(owner.process), (lost.get(owner.process) ?? 0) * 5e9]);
        if (kind !== undefined) kinds.add(kind);
      }
    });
    expect([...kinds].sort()).toEqual(["disk", "idle", "resolver"]);
    expect(samples / ((cpuNs / 1e9) * 49)).toBeGreaterThan(0.9);
    expect(samples / ((cpuNs / 1e9) * 49)).toBeLessThan(1.05);
  });

  it("every process that ends was made, and who was killed for memory ended by it", () => {
    eachHost((rows) => {
      expect(sum(rows, "process_exits", "count")).toBe(sum(rows, "process_exec", "forked"));
      expect(sum(rows, "host_load", "forks")).toBe(sum(rows, "process_exec", "forked") + sum(rows, "process_exec", "threads"));
      expect(sum(rows, "process_exits", "count", { exit_status: "SIGKILL" })).toBe(sum(rows, "oom_kills", "count"));
    });
  });

  it("the agent accounts for what its rows say, and says how much of that has an owner", () => {
    const accounted: Readonly<Record<string, (rows: Rows) => number>> = {
      RetransSegs: (rows) => sum(rows, "tcp_retransmits", "segments"),
      ActiveOpens: (rows) => sum(rows, "tcp_connections", "opened", { role: "client" }) + sum(rows, "tcp_connect_failures", "count"),
      PassiveOpens: (rows) => sum(rows, "tcp_connections", "opened", { role: "server" }),
      AttemptFails: (rows) => sum(rows, "tcp_connect_failures", "count"),
      EstabResets: (rows) => sum(rows, "tcp_resets", "count", { direction: "received", role: "server" }),
      OutRsts: (rows) => sum(rows, "tcp_resets", "count", { direction: "sent" }),
      ListenDrops: (rows) => sum(rows, "tcp_listen_queue", "drops"),
      UdpInDatagrams: (rows) => sum(rows, "udp_traffic", "datagrams_received"),
      UdpOutDatagrams: (rows) => sum(rows, "udp_traffic", "datagrams_sent"),
      UdpRcvbufErrors: (rows) => sum(rows, "socket_buffers", "full"),
      cpu_time: (rows) => sum(rows, "cpu_time", "user") + sum(rows, "cpu_time", "system"),
      processes: (rows) => sum(rows, "process_exec", "forked") + sum(rows, "process_exec", "threads"),
      pgfault: (rows) => sum(rows, "page_faults", "minor") + sum(rows, "page_faults", "major"),
      pgmajfault: (rows) => sum(rows, "page_faults", "major"),
      oom_kill: (rows) => sum(rows, "oom_kills", "count"),
      disk_requests: (rows) => sum(rows, "block_io", "count"),
      disk_bytes: (rows) => sum(rows, "block_io", "bytes"),
    };
    eachHost((rows) => {
      for (const [quantity, count] of Object.entries(accounted))
        expect(sum(rows, "agent_accounting", "counted", { quantity }), quantity).toBe(count(rows));
      for (const row of rows.get("agent_accounting") ?? []) {
        const [counted, kernel] = [Number(row["counted"]), Number(row["kernel"])];
        expect(Math.abs(counted - kernel), row["quantity"] as string).toBeLessThanOrEqual(Math.max(5e6, kernel * 0.01));
      }
      for (const signal of hostSignals.filter(({ name, dimensions }) => rows.has(name) && dimensions.includes("process"))) {
        const measure = signal.kind === "histogram" ? "count" : signal.measures.find(({ kind }) => kind === "sum")?.name;
        if (measure === undefined) continue;
        const isKnown = (row: WireRow, dimension: string): boolean => row[dimension] !== "" && row[dimension] !== "~other";
        const owned = (dimension: string): number =>
          (rows.get(signal.name) ?? []).reduce((total, row) => (isKnown(row, dimension) ? total + Number(row[measure]) : total), 0);
        expect(rows.get("agent_attribution")).toContainEqual({
          signal: signal.name,
          counted: BigInt(sum(rows, signal.name, measure)),
          with_process: BigInt(owned("process")),
          with_unit: BigInt(owned("unit")),
        });
      }
    });
  });
});

describe("a sick host", () => {
  const made = new Workload({ seed: 11, rows: 200, windowMs, incidents: [] });
  const median = (signal: string, rows: Rows): number => sum(rows, signal, "sum") / sum(rows, signal, "count");

  it("whose disk is slow shows it where the disk is asked, where files are synced and in the pressure", () => {
    const dbs = fleet.filter(({ role }) => role === "db");
    const sick = dbs.find(({ sickness }) => sickness === "slow-disk") as SimulatedHost;
    const healthy = dbs.find(({ sickness }) => sickness === undefined) as SimulatedHost;
    const [ill, well] = [windowOf(made, sick), windowOf(made, healthy)];
    for (const signal of ["block_latency", "fsync_latency"]) expect(median(signal, ill) / median(signal, well)).toBeGreaterThan(3);
    expect(sum(ill, "host_pressure", "some", { resource: "io" })).toBeGreaterThan(0);
  });

  it("whose resolver is sick asks in vain", () => {
    const sick = fleet.find(({ sickness }) => sickness === "slow-dns") as SimulatedHost;
    const rows = windowOf(made, sick);
    expect(sum(rows, "dns_queries", "count", { rcode: "timeout" })).toBeGreaterThan(0);
    expect(sum(rows, "dns_queries", "count", { rcode: "SERVFAIL" })).toBeGreaterThan(0);
  });
});

describe("stacks", () => {
  const made = new Workload({ seed: 11, rows: 400, windowMs, incidents: [] });
  const named = (host: SimulatedHost, fromMs: number, windows: number): Set<string> => {
    const found = new Set<string>();
    for (let index = 0; index < windows; index++) {
      for (const { stack, frames } of windowOf(made, host, fromMs + index * windowMs).get("stack_frames") ?? []) {
        expect(stackName(frames as string)).toBe(stack);
        found.add(stack as string);
      }
    }
    return found;
  };

  it("have their frames in the first window of each hour, and within any five minutes", () => {
    for (const host of fleet.slice(0, 10)) {
      const hour = start - (start % 3_600_000);
      const [first, later] = [named(host, hour, 1), named(host, start, 30)];
      for (const signal of ["cpu_profile", "off_cpu"])
        for (let index = 0; index < 6; index++)
          for (const { stack } of windowOf(made, host, start + index * windowMs).get(signal) ?? []) {
            expect(first).toContain(stack);
            expect(later).toContain(stack);
          }
    }
  });

  it("of the kernel are marked, and stand behind those of the program", () => {
    for (const host of fleet.slice(0, 5))
      for (const { frames } of windowOf(made, host, start - (start % 3_600_000)).get("stack_frames") ?? [])
        expect(frames).toMatch(/^(?:[^;]+(?<!_\[k\]);)*(?:[^;]+(?:_\[k\]|\]))(?:;[^;]+_\[k\])*$/);
  });
});
