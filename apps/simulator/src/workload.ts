// SPDX-License-Identifier: Apache-2.0
import { bucketIndex, catalogue, type WireRow } from "@waggle/signals";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { Role, SimulatedHost } from "./fleet.ts";

/** Who talks to whom in a made-up service: process, unit, role of the socket, peer address and ports. */
interface Flow {
  readonly process: string;
  readonly unit: string;
  readonly role: "client" | "server";
  readonly peer: string;
  readonly peer_port: string;
  readonly port: string;
  /** Typical round trip in ns. */
  readonly rttNs: number;
}

const client = (process: string, peer: string, peerPort: string, rttNs: number): Flow => ({
  process,
  unit: `${process}.service`,
  role: "client",
  peer,
  peer_port: peerPort,
  port: "ephemeral",
  rttNs,
});
const server = (process: string, peer: string, port: string, rttNs: number): Flow => ({
  process,
  unit: `${process}.service`,
  role: "server",
  peer,
  peer_port: "ephemeral",
  port,
  rttNs,
});

const flows: Readonly<Record<Role, readonly Flow[]>> = {
  web: [server("nginx", "198.51.100.20", "443", 31e6), client("nginx", "192.0.2.30", "8080", 4e5), client("pgbouncer", "192.0.2.7", "5432", 9e5)],
  api: [server("node", "192.0.2.10", "8080", 4e5), client("node", "192.0.2.7", "5432", 8e5), client("node", "192.0.2.40", "6379", 2e5)],
  db: [server("postgres", "192.0.2.30", "5432", 8e5), client("postgres", "192.0.2.8", "5432", 1.2e6)],
  cache: [server("redis-server", "192.0.2.30", "6379", 2e5)],
  batch: [client("python3", "192.0.2.7", "5432", 1e6), client("python3", "203.0.113.9", "443", 2.4e7)],
};

const calls = [
  { syscall: "epoll_wait", perWindow: 9_000, ns: 2e6, errno: "EINTR", errorShare: 0.001 },
  { syscall: "recvfrom", perWindow: 12_000, ns: 4e3, errno: "EAGAIN", errorShare: 0.2 },
  { syscall: "sendto", perWindow: 8_000, ns: 9e3, errno: "EPIPE", errorShare: 0.0005 },
  { syscall: "openat", perWindow: 700, ns: 2e4, errno: "ENOENT", errorShare: 0.1 },
  { syscall: "fsync", perWindow: 20, ns: 6e6, errno: "EIO", errorShare: 0 },
] as const;

const HEALTHY_RETRANSMIT_SHARE = 0.001;
const LOSSY_RETRANSMIT_SHARE = 0.06;

/**
 * The rows of one host and window: a pure function of seed, host and window start, so that a fleet can be replayed and its truth
 * recomputed. Amounts follow a slow wave over the day with noise; lossy hosts resend 6 % of what they send to their database.
 */
export function simulateWindow(seed: number, host: SimulatedHost, windowStartMs: number, windowMs: number): Map<string, WireRow[]> {
  const random = xoroshiro128plus((seed * 2_654_435_761) ^ (host.index * 40_503) ^ Math.floor(windowStartMs / 1000));
  const between = (low: number, high: number): number => uniformInt(random, low, high);
  const scale = (windowMs / 10_000) * (0.7 + 0.3 * Math.sin((windowStartMs / 86_400_000) * 2 * Math.PI + host.index));
  const noisy = (amount: number): number => Math.max(0, Math.round((amount * scale * between(70, 130)) / 100));
  const rows = new Map<string, WireRow[]>(catalogue.map((signal) => [signal.name, []]));
  const push = (signal: string, row: WireRow): void => {
    rows.get(signal)?.push(row);
  };

  for (const flow of flows[host.role]) {
    const { rttNs, ...dimensions } = flow;
    const sent = noisy(20_000);
    const isBad = host.isLossy && flow.peer_port === "5432";
    const retransmitted = Math.round(sent * (isBad ? LOSSY_RETRANSMIT_SHARE : HEALTHY_RETRANSMIT_SHARE));
    const opened = noisy(40);
    push("tcp_connections", {
      ...dimensions,
      bytes_sent: sent * 900,
      bytes_received: noisy(9e6),
      segments_sent: sent,
      segments_received: noisy(18_000),
      segments_retransmitted: retransmitted,
      opened,
      closed: opened,
      active: 24 + between(0, 8),
      zero_window: 0,
    });
    if (retransmitted > 0) {
      const timeouts = isBad ? Math.round(retransmitted * 0.9) : 0;
      if (timeouts > 0) push("tcp_retransmits", { ...dimensions, class: "timeout", segments: timeouts });
      if (retransmitted > timeouts) push("tcp_retransmits", { ...dimensions, class: "fast", segments: retransmitted - timeouts });
    }
    push("tcp_rtt", { ...dimensions, ...histogram(24, () => (rttNs * (isBad ? between(100, 20_000) : between(80, 160))) / 100) });
    if (flow.role === "client" && opened > 0) {
      const { role: _role, port: _port, ...connect } = dimensions;
      push("tcp_connect_latency", {
        ...connect,
        ...histogram(opened, () => (rttNs * (isBad && between(0, 9) === 0 ? 110_000 : between(90, 180))) / 100),
      });
      if (isBad) push("tcp_connect_failures", { ...connect, errno: "ETIMEDOUT", count: between(0, 3) + 1 });
    }
  }

  const main = flows[host.role][0] as Flow;
  for (const call of calls) {
    const count = noisy(call.perWindow);
    if (count === 0) continue;
    const who = { process: main.process, unit: main.unit, syscall: call.syscall };
    push("syscalls", { ...who, count });
    // Ten values stand for all calls: count and sum stay exact, the distribution is coarse.
    const sample = histogram(10, () => (call.ns * between(30, 400)) / 100);
    const each = BigInt(count) / 10n;
    const rest = BigInt(count) - each * 10n;
    const c = (sample["c"] as bigint[]).map((value, index) => value * each + (index === 0 ? rest : 0n)).filter((value) => value > 0n);
    const k = (sample["k"] as number[]).slice(0, c.length);
    push("syscall_latency", {
      ...who,
      count,
      sum: (sample["sum"] as bigint) * (each === 0n ? 1n : each),
      min: sample["min"] as bigint,
      max: sample["max"] as bigint,
      k,
      c,
    });
    const errors = Math.round(count * call.errorShare);
    if (errors > 0) push("syscall_errors", { ...who, errno: call.errno, count: errors });
  }

  push("agent_cost", { program: "waggle-agent", events: 0, kernel_ns: 0, cpu_ns: noisy(3e7), rss_bytes: 62e6, map_bytes: 14e6 });
  push("agent_cost", { program: "on_sys_exit", events: noisy(60_000), kernel_ns: noisy(8e6), cpu_ns: 0, rss_bytes: 0, map_bytes: 0 });
  for (const signal of catalogue) push("agent_coverage", { signal: signal.name, state: "exact", reason: "", windows: 1 });
  const counted = rows.get("tcp_retransmits")?.reduce((sum, row) => sum + Number(row["segments"]), 0) ?? 0;
  push("agent_accounting", { quantity: "RetransSegs", counted, kernel: counted });
  return rows;
}

/** A histogram row over `count` values drawn by `draw` (ns). */
function histogram(count: number, draw: () => number): WireRow {
  const buckets = new Map<number, bigint>();
  let sum = 0n;
  let min = (1n << 64n) - 1n;
  let max = 0n;
  for (let i = 0; i < count; i++) {
    const value = BigInt(Math.max(1, Math.round(draw())));
    sum += value;
    if (value < min) min = value;
    if (value > max) max = value;
    const bucket = bucketIndex(value);
    buckets.set(bucket, (buckets.get(bucket) ?? 0n) + 1n);
  }
  const k = [...buckets.keys()].sort((a, b) => a - b);
  return { count, sum, min, max, k, c: k.map((index) => buckets.get(index) as bigint) };
}
