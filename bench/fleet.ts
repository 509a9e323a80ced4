// SPDX-License-Identifier: Apache-2.0
import { randomBytes, randomUUID } from "node:crypto";
import type { ClientHttp2Session } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { getSignalOrThrow, type WireRow } from "../packages/signals/src/index.ts";
import { BenchAgent, type BenchHost, connectTo, encodeFrameBody, enrol, type FrameBody } from "./agents.ts";
import { quantile } from "./statistics.ts";

/** What the parent process asks for. */
export interface FleetOrder {
  readonly address: string;
  readonly enrolmentToken: string;
  readonly hosts: number;
  /** TCP connections that the hosts' streams share; as many as hosts: one each, as real agents have. */
  readonly connections: number;
  readonly rowsPerFrame: number;
  readonly windowMs: number;
  readonly windows: number;
  /** Over how much of a window the hosts' frames are spread; 0: all at the moment it ends. */
  readonly spreadMs: number;
}

export type FleetReport =
  | { readonly phase: "connected"; readonly enrolSeconds: number; readonly connectSeconds: number }
  | {
      readonly phase: "done";
      readonly acknowledged: number;
      readonly deferred: number;
      readonly refused: number;
      readonly unanswered: number;
      readonly streamsEnded: number;
      readonly ackMs: { readonly p50: number; readonly p99: number; readonly max: number };
      readonly cpuSeconds: number;
    };

/** Hosts that do something at the same time while the fleet comes up. */
const AT_ONCE = 64;
const ANSWERS_WITHIN_MS = 30_000;

async function forEachAtOnce<T>(items: readonly T[], work: (item: T, index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) await work(items[index] as T, index);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** A window of a host that is neither idle nor busy: sockets and system calls of a handful of programs. */
function windowRows(host: number, rows: number): Map<string, WireRow[]> {
  const shares: Readonly<Record<string, number>> = {
    tcp_connections: 0.3,
    tcp_rtt: 0.2,
    tcp_retransmits: 0.1,
    syscalls: 0.25,
    syscall_latency: 0.15,
  };
  const all = new Map<string, WireRow[]>([["agent_coverage", [{ signal: "tcp_rtt", state: "exact", reason: "", windows: 1 }]]]);
  for (const [name, share] of Object.entries(shares)) {
    const signal = getSignalOrThrow(name);
    const made = Array.from({ length: Math.round((rows - 1) * share) }, (_, index) => {
      const row: Record<string, WireRow[string]> = {};
      for (const dimension of signal.dimensions) row[dimension] = `${dimension}-${(host + index * 7) % 50}`;
      row["process"] = `process-${index}`;
      for (const measure of signal.measures) row[measure.name] = index * 1_000;
      if (signal.distribution !== null) Object.assign(row, { count: 12, sum: 12e6, min: 9e5, max: 2e6, k: [150, 155, 160, 165], c: [3, 4, 4, 1] });
      return row;
    });
    all.set(name, made);
  }
  return all;
}

async function run(order: FleetOrder, say: (report: FleetReport) => void): Promise<void> {
  const sessions: ClientHttp2Session[] = [];
  const hosts: BenchHost[] = Array.from({ length: order.hosts }, (_, index) => ({
    name: `bench-${index}`,
    machineKey: randomBytes(32).toString("hex"),
    bootId: randomUUID(),
  }));
  const credentials: string[] = [];
  let began = performance.now();
  const enrolling = await connectTo(order.address);
  await forEachAtOnce(hosts, async (host, index) => {
    credentials[index] = await enrol(enrolling, order.enrolmentToken, host);
  });
  enrolling.close();
  const enrolSeconds = (performance.now() - began) / 1_000;

  began = performance.now();
  const agents: BenchAgent[] = [];
  const bodies: FrameBody[] = Array.from({ length: 100 }, (_, index) => encodeFrameBody(windowRows(index, order.rowsPerFrame), order.windowMs));
  await forEachAtOnce(hosts, async (host, index) => {
    const slot = index % order.connections;
    sessions[slot] ??= await connectTo(order.address);
    const agent = new BenchAgent(sessions[slot], credentials[index] as string, host, order.windowMs);
    agents[index] = agent;
    await agent.ready;
  });
  say({ phase: "connected", enrolSeconds, connectSeconds: (performance.now() - began) / 1_000 });

  const milliseconds: number[] = [];
  const counts = { ack: 0, retry: 0, refused: 0 };
  let streamsEnded = 0;
  for (const agent of agents) {
    agent.onAnswer = (answer, took) => {
      counts[answer]++;
      if (answer !== "ack") return;
      milliseconds.push(took);
      // When an agent does: what it says of itself is that nothing waits any more.
      agent.sendStatus();
    };
    agent.onEnd = (why) => {
      if (streamsEnded++ === 0) console.error(`a stream ended: ${why}`);
    };
  }
  const cpuBefore = process.cpuUsage();
  let windowEndMs = Math.ceil(Date.now() / order.windowMs) * order.windowMs;
  for (let window = 0; window < order.windows; window++, windowEndMs += order.windowMs) {
    // Steps of 10 ms: a timer per host and window would measure this process.
    for (let sent = 0; sent < agents.length; ) {
      const elapsedMs = Date.now() - windowEndMs;
      const due =
        elapsedMs < 0 ? 0 : order.spreadMs === 0 ? agents.length : Math.min(agents.length, Math.ceil((elapsedMs / order.spreadMs) * agents.length));
      for (; sent < due; sent++) {
        const agent = agents[sent] as BenchAgent;
        agent.send(bodies[sent % bodies.length] as FrameBody, windowEndMs - order.windowMs);
      }
      if (sent < agents.length) await sleep(elapsedMs < 0 ? -elapsedMs : 10);
    }
  }
  const unanswered = (): number => agents.reduce((sum, agent) => sum + agent.inFlight, 0);
  for (const deadline = performance.now() + ANSWERS_WITHIN_MS; unanswered() > 0 && performance.now() < deadline; ) await sleep(100);
  const cpu = process.cpuUsage(cpuBefore);
  milliseconds.sort((a, b) => a - b);
  const at = (share: number): number => quantile(milliseconds, share);
  say({
    phase: "done",
    acknowledged: counts.ack,
    deferred: counts.retry,
    refused: counts.refused,
    unanswered: unanswered(),
    streamsEnded,
    ackMs: { p50: at(0.5), p99: at(0.99), max: at(1) },
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
  });
  for (const agent of agents) agent.close();
  for (const session of sessions) session.close();
}

process.once("message", (order: FleetOrder) => {
  run(order, (report) => process.send?.(report)).then(
    () => process.disconnect(),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
});
