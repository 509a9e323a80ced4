// SPDX-License-Identifier: Apache-2.0
import { StreamSnapshotsRequest } from "@waggle/proto";
import { bucketIndex, checkBlock, decodeBlock, getSignalOrThrow, hostSignals, type WireRow } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { makeFleet, roles, type SimulatedHost } from "./fleet.ts";
import { FrameEncoder } from "./frame.ts";
import { type Incident, incidentKinds } from "./incident.ts";
import { sumsOfWindow } from "./ledger.ts";
import { flowsAndCalls, parseSignals, signalsOf } from "./workload/selection.ts";
import { Workload } from "./workload.ts";

const fleet = makeFleet(7, 200);
const start = Date.UTC(2026, 10, 1, 14);
const workload = (options: Partial<Workload["options"]> = {}) => new Workload({ seed: 7, rows: 200, windowMs: 10_000, incidents: [], ...options });
/** With as few rows as have been asked for ever since. */
const flowsAndCallsOf = (options: Partial<Workload["options"]> = {}) => workload({ rows: 30, signals: signalsOf(flowsAndCalls), ...options });
const rowsOf = (made: Workload, host: SimulatedHost, startMs = start) =>
  new Map<string, WireRow[]>(made.window(host, startMs).map(({ signal, block }) => [signal.name, decodeBlock(signal, block)]));

describe("Workload", () => {
  it("gives the same rows for the same seed, host and window whatever was asked before, and others for another seed, host or window", () => {
    const [host, other] = fleet as [SimulatedHost, SimulatedHost];
    const made = workload();
    const first = rowsOf(made, host);
    for (const index of [5, 6, 7]) made.window(fleet[index] as SimulatedHost, start + 10_000);
    expect(rowsOf(made, host)).toEqual(first);
    expect(rowsOf(workload(), host)).toEqual(first);
    expect(rowsOf(workload({ seed: 8 }), host)).not.toEqual(first);
    expect(rowsOf(made, host, start + 10_000)).not.toEqual(first);
    expect(rowsOf(made, other)).not.toEqual(first);
  });

  it.each([
    [8, 10_000, signalsOf(flowsAndCalls)],
    [86, 1_000, undefined],
    [200, 10_000, undefined],
    [2_000, 60_000, undefined],
  ] as const)(
    "makes blocks the API accepts at %d rows in %d ms: names once, buckets that ascend, lie within min and max and add up",
    (rows, windowMs, signals) => {
      const incidents = incidentKinds.map((kind, index) => ({ kind, startMs: start, endMs: start + 1, role: roles[index % roles.length] }));
      const made = workload({ rows, windowMs, incidents, ...(signals === undefined ? {} : { signals }) });
      for (const host of fleet.slice(0, 40)) {
        for (const { signal, block } of made.window(host, start)) {
          expect(checkBlock(signal, block)).toBeUndefined();
          expect(block.rows).toBeGreaterThan(0);
          const decoded = decodeBlock(signal, block);
          expect(new Set(decoded.map((row) => JSON.stringify(signal.dimensions.map((name) => row[name])))).size).toBe(block.rows);
          if (signal.kind !== "histogram") continue;
          for (const row of decoded) {
            const [k, c] = [row["k"] as number[], row["c"] as bigint[]];
            expect(row["count"]).toBeGreaterThan(0n);
            expect(k).toEqual([...new Set(k)].sort((a, b) => a - b));
            expect(c.reduce((sum, values) => sum + values, 0n)).toBe(row["count"]);
            expect([bucketIndex(row["min"] as bigint), bucketIndex(row["max"] as bigint)]).toEqual([k[0], k.at(-1)]);
          }
        }
      }
    },
  );

  it.each([
    [8, signalsOf(flowsAndCalls)],
    [30, signalsOf(flowsAndCalls)],
    [300, signalsOf(flowsAndCalls)],
    [100, undefined],
    [200, undefined],
    [600, undefined],
    [40, parseSignals("cpu")],
  ] as const)("makes %d rows on average over all signals made up, besides one of agent_coverage per signal", (rows, signals) => {
    const made = workload({ rows, ...(signals === undefined ? {} : { signals }) });
    let total = 0;
    for (let hour = 0; hour < 24; hour++) {
      // Frames of stacks are told once at the start of an hour: not always then.
      for (const host of fleet.slice(0, 50)) for (const { block } of made.window(host, start + hour * 3_670_000)) total += block.rows;
    }
    const average = total / (24 * 50) - hostSignals.length;
    expect(average).toBeGreaterThan(rows * 0.75);
    expect(average).toBeLessThan(rows * 1.3);
  });

  it("counts the same segments sent again in tcp_connections, tcp_retransmits and the accounting", () => {
    const made = workload({ incidents: [{ kind: "retransmits", startMs: start, endMs: start + 10_000, role: "api" }] });
    for (const host of fleet) {
      const sums = sumsOfWindow(made.window(host, start));
      expect(sums["tcp_retransmits"]?.["segments"]).toBe(sums["tcp_connections"]?.["segments_retransmitted"]);
      const accounted = rowsOf(made, host)
        .get("agent_accounting")
        ?.find((row) => row["quantity"] === "RetransSegs");
      expect(String(accounted?.["counted"])).toBe(sums["tcp_retransmits"]?.["segments"]);
    }
  });

  it.each<[Incident["kind"], string, string]>([
    ["retransmits", "tcp_retransmits", "segments"],
    ["rtt", "tcp_rtt", "bucketIndexes"],
    ["connect-failures", "tcp_connect_failures", "count"],
    ["syscalls", "syscall_errors", "count"],
    ["disk", "fsync_latency", "sum"],
    ["disk", "block_latency", "sum"],
    ["disk", "host_load", "cpu_iowait"],
    ["dns", "dns_queries", "sum"],
    ["dns", "udp_traffic", "datagrams_sent"],
    ["dns", "off_cpu", "blocked"],
    ["cpu", "cpu_time", "user"],
    ["cpu", "run_queue_latency", "bucketIndexes"],
    ["cpu", "cpu_profile", "samples"],
    ["cpu", "host_pressure", "some"],
    ["cpu", "tcp_accept_delay", "sum"],
    ["oom", "page_faults", "major"],
    ["oom", "oom_kills", "count"],
    ["oom", "process_exits", "count"],
    ["oom", "block_io", "bytes"],
  ])("shows the incident %s in %s.%s of the role it was asked for, while it lasts, and nowhere else", (kind, signal, measure) => {
    const healthy = workload();
    const ill = workload({ incidents: [{ kind, startMs: start, endMs: start + 60_000, role: "web" }] });
    const sum = (made: Workload, role: string, startMs: number) =>
      fleet
        .filter((host) => host.role === role && host.sickness === undefined)
        .reduce((total, host) => total + Number(sumsOfWindow(made.window(host, startMs))[signal]?.[measure] ?? 0), 0);
    expect(sum(ill, "web", start + 50_000)).toBeGreaterThan(1.05 * sum(healthy, "web", start + 50_000) + 4);
    expect(sum(ill, "web", start + 60_000)).toBe(sum(healthy, "web", start + 60_000));
    expect(sum(ill, "api", start)).toBe(sum(healthy, "api", start));
  });
});

describe("peers", () => {
  /** Who talks to whom through which port, as the clients and as the servers tell it. */
  const conversations = (side: "client" | "server") => {
    const made = flowsAndCallsOf();
    const byAddress = new Map(fleet.map((host) => [host.address, host.name]));
    return new Set(
      fleet.flatMap((host) =>
        (rowsOf(made, host).get("tcp_connections") ?? []).flatMap((row) => {
          const peer = byAddress.get(row["peer"] as string);
          if (row["role"] !== side || peer === undefined) return [];
          return side === "client" ? `${host.name} > ${peer}:${row["peer_port"]}` : `${peer} > ${host.name}:${row["port"]}`;
        }),
      ),
    );
  };

  it("are hosts of the fleet and machines without an agent, and many conversations are told of by both ends", () => {
    expect(new Set(fleet.map((host) => host.address)).size).toBe(fleet.length);
    const [ofClients, ofServers] = [conversations("client"), conversations("server")];
    const both = [...ofClients].filter((conversation) => ofServers.has(conversation));
    expect(both.length).toBeGreaterThan(fleet.length / 4);
  });
});

describe("facts", () => {
  it("are told by every host once a minute, also in windows of a minute", () => {
    const made = workload();
    for (const host of fleet.slice(0, 12)) {
      const told = Array.from({ length: 12 }, (_, index) => rowsOf(made, host, start + index * 10_000).get("host_facts") ?? []);
      expect(told.filter((rows) => rows.length > 0)).toHaveLength(2);
      expect(told.find((rows) => rows.length > 0)).toContainEqual({ fact: "address:eth0", value: host.address, windows: 1n });
    }
    const longer = workload({ windowMs: 60_000 });
    expect(rowsOf(longer, fleet[3] as SimulatedHost, start).get("host_facts")).toHaveLength(9);
  });
});

describe("signals", () => {
  it("of agents are all made up by some host, each in the state that its coverage says", () => {
    const made = workload();
    const windows = fleet.flatMap((host) => [rowsOf(made, host), rowsOf(made, host, start + 10_000)]);
    // It takes a host that has no memory left, and some time.
    const exhausted = fleet[19] as SimulatedHost;
    for (let index = 2; index < 20; index++) windows.push(rowsOf(made, exhausted, start + index * 10_000));
    const silent = hostSignals.map(({ name }) => name).filter((name) => windows.every((rows) => !rows.has(name)));
    expect(silent).toEqual([]);
    for (const rows of windows) {
      const states = new Map((rows.get("agent_coverage") ?? []).map((row) => [row["signal"], row]));
      expect([...states.keys()]).toEqual(hostSignals.map(({ name }) => name));
      for (const [name, { state, reason }] of states) {
        if (name === "energy" && state === "unsupported") {
          expect(reason).toMatch(/no RAPL meter/);
          expect(rows.has("energy")).toBe(false);
        } else expect([state, reason]).toEqual(["exact", ""]);
      }
    }
  });

  it("that were not asked for, or are switched off, have no rows, and coverage says why; the others are the same", () => {
    const host = fleet[6] as SimulatedHost;
    const all = rowsOf(workload(), host);
    const some = rowsOf(workload({ signals: parseSignals("disk,tcp_rtt") }), host);
    expect([...some.keys()].sort()).toEqual(
      [
        "agent_accounting",
        "agent_cost",
        "agent_coverage",
        "block_io",
        "block_latency",
        ...(some.has("host_facts") ? ["host_facts"] : []),
        "tcp_rtt",
      ].sort(),
    );
    expect(some.get("agent_coverage")).toContainEqual({
      signal: "file_io",
      state: "unsupported",
      reason: "the simulator was not asked to make this signal up",
      windows: 1n,
    });

    const off = new Set(["cpu_time", "file_io"]);
    const without = new Map<string, WireRow[]>(
      workload()
        .window(host, start, off)
        .map(({ signal, block }) => [signal.name, decodeBlock(signal, block)]),
    );
    expect([...all.keys()].filter((name) => !without.has(name)).sort()).toEqual(["cpu_time", "file_io"]);
    expect(without.get("agent_coverage")).toContainEqual({ signal: "file_io", state: "disabled", reason: "switched off by the server", windows: 1n });
    for (const [name, rows] of without) if (!name.startsWith("agent_")) expect(rows, name).toEqual(all.get(name));
    const quantities = (rows: Map<string, WireRow[]>) => rows.get("agent_accounting")?.map((row) => row["quantity"]);
    expect(quantities(all)).toContain("cpu_time");
    expect(quantities(without)).not.toContain("cpu_time");
  });
});

describe("makeFleet", () => {
  it("names a host once, marks it as simulated, and makes few of them sick, the first one lossy", () => {
    expect(new Set(fleet.map((host) => host.name)).size).toBe(fleet.length);
    expect(fleet.every((host) => host.name.startsWith("sim-"))).toBe(true);
    expect([0, 7, 11, 18, 19].map((index) => fleet[index]?.sickness)).toEqual(["lossy", "slow-disk", "slow-dns", "busy-cpu", "out-of-memory"]);
    const sick = makeFleet(1, 5_000).filter((host) => host.sickness !== undefined).length;
    expect(sick).toBeGreaterThan(50);
    expect(sick).toBeLessThan(200);
  });
});

it("FrameEncoder writes what the codec reads", () => {
  const host = fleet[3] as SimulatedHost;
  const blocks = workload({ rows: 300 }).window(host, start);
  const header = { sequence: 42, windowStartMs: start, windowMs: 10_000, windows: 1, clockOffsetMs: -5_000, bootId: host.bootId };
  const { message } = StreamSnapshotsRequest.decode(new FrameEncoder().encode(header, blocks));
  if (message?.$case !== "snapshot") throw new Error("no snapshot");
  expect(message.value).toMatchObject({ sequence: 42n, windowStartMs: BigInt(start), windowMs: 10_000, clockOffsetMs: -5_000n, bootId: host.bootId });
  expect(message.value.blocks.map((block) => block.signal)).toEqual(blocks.map(({ signal }) => signal.name));
  for (const [index, block] of message.value.blocks.entries()) {
    const { signal, block: made } = blocks[index] as (typeof blocks)[number];
    expect(decodeBlock(getSignalOrThrow(block.signal), block)).toEqual(decodeBlock(signal, made));
  }
});
