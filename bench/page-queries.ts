// SPDX-License-Identifier: Apache-2.0

/** A query object without its range. */
export type Body = Readonly<Record<string, unknown>>;

/** What a page asks; `series` as many points as a chart has, `total` one value over the range. */
export interface PageQuery {
  readonly shape: "series" | "total";
  readonly body: Body;
}

export const select = (measure: string, ...aggregates: string[]) => aggregates.map((aggregate) => ({ measure, aggregate }));

const SEGMENTS = [...select("segments_retransmitted", "sum"), ...select("segments_sent", "sum")];
const BYTES = [...select("bytes_sent", "rate"), ...select("bytes_received", "rate")];
const FAILURES = { signal: "tcp_connect_failures", select: select("count", "sum", "rate"), limit: 20 };
const BLAME = { signal: "tcp_retransmits", select: select("segments", "sum"), by: ["process", "peer", "peer_port"], limit: 50 };
const PATH = ["process", "peer", "peer_port"];
const NOT_LOOPBACK = "-peer:127.* -peer:::1";

const total = (body: Body): PageQuery => ({ shape: "total", body });
const series = (body: Body): PageQuery => ({ shape: "series", body });

/** Every query of the fleet page, by name; the host is the one that stands out on it. */
export function fleetPage(host: string): Readonly<Record<string, PageQuery>> {
  const everyHost = { by: ["host"], limit: 10_000 };
  const where = `host:${host}`;
  return {
    segmentsByHost: total({ signal: "tcp_connections", select: SEGMENTS, ...everyHost }),
    rttByHost: total({ signal: "tcp_rtt", select: select("rtt", "p99"), ...everyHost }),
    connectFailuresByHost: total({ signal: "tcp_connect_failures", select: select("count", "rate"), ...everyHost }),
    syscallErrorsByHost: total({ signal: "syscall_errors", select: select("count", "rate"), ...everyHost }),
    failures: total({ ...FAILURES, by: ["host", "process", "peer"] }),
    failureErrors: total({
      signal: "tcp_connect_failures",
      select: select("count", "sum"),
      by: ["errno", "peer_port"],
      limit: 100,
      where: `${where} process:curl`,
    }),
    blame: total(BLAME),
    blameOfWorstHost: total({ ...BLAME, where }),
    paths: total({ signal: "tcp_connections", select: SEGMENTS, by: ["host", "process", "peer"], limit: 50, where: NOT_LOOPBACK }),
    pathsOfWorstHost: series({ signal: "tcp_connections", select: SEGMENTS, by: PATH, limit: 20, where: `${where} ${NOT_LOOPBACK}` }),
    segments: series({ signal: "tcp_connections", select: SEGMENTS }),
    segmentsOfWorstHost: series({ signal: "tcp_connections", select: SEGMENTS, where }),
    rtt: series({ signal: "tcp_rtt", select: select("rtt", "p50", "p99") }),
    rttTotal: total({ signal: "tcp_rtt", select: select("rtt", "p50", "p99", "count") }),
    rttOfWorstHost: series({ signal: "tcp_rtt", select: select("rtt", "p99"), where }),
    connectLatency: series({ signal: "tcp_connect_latency", select: select("latency", "p50", "p99") }),
    connectLatencyTotal: total({ signal: "tcp_connect_latency", select: select("latency", "p50", "p99", "count") }),
    bytes: series({ signal: "tcp_connections", select: BYTES }),
    connectFailuresByErrno: series({ signal: "tcp_connect_failures", select: select("count", "rate"), by: ["errno"], limit: 6 }),
    syscallErrorsByErrno: series({ signal: "syscall_errors", select: select("count", "rate"), by: ["errno"], limit: 6 }),
  };
}

/** Every query of a host's page, by name. */
export function hostPage(host: string): Readonly<Record<string, PageQuery>> {
  const where = `host:${host}`;
  const client = { by: PATH, limit: 100, where: `${where} role:client` };
  const server = { by: ["process", "port"], limit: 100, where: `${where} role:server` };
  const volume = { signal: "tcp_connections", select: [...select("segments_sent", "sum"), ...select("segments_retransmitted", "sum"), ...BYTES] };
  const rtt = { signal: "tcp_rtt", select: select("rtt", "p50", "p99") };
  const syscalls = { by: ["process", "syscall"], limit: 100, where };
  return {
    shares: series({ signal: "tcp_connections", select: SEGMENTS, where }),
    blame: total({ ...BLAME, where }),
    failures: total({ ...FAILURES, by: ["process", "peer", "errno"], where }),
    paths: series({ signal: "tcp_connections", select: SEGMENTS, by: PATH, limit: 20, where: `${where} ${NOT_LOOPBACK}` }),
    states: series({ signal: "agent_coverage", select: select("windows", "sum"), by: ["signal", "state", "reason"], limit: 100, where }),
    accounting: total({
      signal: "agent_accounting",
      select: [...select("counted", "sum"), ...select("kernel", "sum")],
      by: ["quantity"],
      limit: 50,
      where,
    }),
    rttHeatMap: series({ signal: "tcp_rtt", select: select("rtt", "heatmap", "p50", "p99", "max"), where }),
    rttTotal: total({ signal: "tcp_rtt", select: select("rtt", "p50", "p99", "count"), where }),
    connectHeatMap: series({ signal: "tcp_connect_latency", select: select("latency", "heatmap", "p50", "p99", "max"), where }),
    connectTotal: total({ signal: "tcp_connect_latency", select: select("latency", "p50", "p99", "count"), where }),
    retransmitsByProcess: series({ signal: "tcp_retransmits", select: select("segments", "rate"), by: ["process"], limit: 5, where }),
    retransmitsByClass: total({ signal: "tcp_retransmits", select: select("segments", "sum"), by: ["class"], limit: 10, where }),
    retransmitsByPeer: total({ signal: "tcp_retransmits", select: select("segments", "sum"), by: ["process", "peer", "class"], limit: 30, where }),
    clients: total({ ...volume, ...client }),
    clientsRtt: total({ ...rtt, ...client }),
    clientsPaths: total({ signal: "tcp_connections", select: SEGMENTS, ...client, where: `${client.where} ${NOT_LOOPBACK}` }),
    clientsConnect: total({ signal: "tcp_connect_latency", select: select("latency", "p99"), by: PATH, limit: 100, where }),
    servers: total({ ...volume, ...server }),
    serversRtt: total({ ...rtt, ...server }),
    serversPaths: total({ signal: "tcp_connections", select: SEGMENTS, ...server, where: `${server.where} ${NOT_LOOPBACK}` }),
    units: total({ signal: "tcp_connections", select: select("segments_sent", "sum"), by: ["process", "unit"], limit: 100, where }),
    syscalls: total({ signal: "syscalls", select: select("count", "rate"), ...syscalls }),
    syscallLatency: total({ signal: "syscall_latency", select: [...select("sum", "rate"), ...select("latency", "p99")], ...syscalls }),
    syscallErrors: total({ signal: "syscall_errors", select: select("count", "rate"), by: ["process", "syscall", "errno"], limit: 100, where }),
    connectFailures: series({ signal: "tcp_connect_failures", select: select("count", "rate"), by: ["errno"], limit: 6, where }),
    agentCost: total({
      signal: "agent_cost",
      select: [...select("events", "rate"), ...select("kernel_ns", "rate"), ...select("cpu_ns", "rate")],
      by: ["program"],
      limit: 50,
      where,
    }),
  };
}

/** The body of a page's query for a range. */
export function bodyOf({ shape, body }: PageQuery, range: { readonly fromMs: number; readonly toMs: number; readonly points: number }): Body {
  return { ...body, from: range.fromMs, to: range.toMs, points: shape === "total" ? 1 : range.points };
}
