// SPDX-License-Identifier: Apache-2.0
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { Readable } from "node:stream";
import { BufferPool } from "../apps/api/src/common/buffer-pool.ts";
import { type Frame, frameOf } from "../apps/api/src/features/ingest/frame.ts";
import { buildInserts } from "../apps/api/src/features/ingest/native-body.ts";
import { hasPostgres, startTestPostgres } from "../apps/api/test/test-postgres.ts";
import { makeFleet, type SimulatedHost } from "../apps/simulator/src/fleet.ts";
import { type TestClickHouse, withTestClickHouse } from "../packages/clickhouse-embedded/src/testing.ts";
import { createTableSql, encodeBlock, getSignalOrThrow, type WireRow } from "../packages/signals/src/index.ts";
import { BenchAgent, connectTo, encodeFrameBody, enrol } from "./agents.ts";
import type { FleetOrder, FleetReport } from "./fleet.ts";
import { cpuSeconds, type NodeThreads, rssBytes, sumOfThreads, threadCpuSeconds, threadsBetween } from "./process.ts";
import type { BenchOptions, BenchResult } from "./report.ts";
import { startApi } from "./server.ts";

const HOSTS = 200;
const FRAMES_PER_HOST = 50;
/** Short, so that all frames of the run are of the present: what is older waits behind it. */
const WINDOW_MS = 400;
const REAL_WINDOW_MS = 10_000;
/** Frames of one bare insert: about what the API gathers in a quarter of a second at full speed. */
const FRAMES_PER_BARE_INSERT = 200;
/**
 * Before anything is timed: an API runs for days, and V8 compiles what is called often in the first seconds. What these frames cost is reported too.
 * The bare side needs fewer: its measured part is ClickHouse.
 */
const WARM_UP_FRAMES_PER_HOST = 50;
const BARE_WARM_UP_FRAMES_PER_HOST = 5;
const RETRY_MS = 1_000;

/** Rows a busy host sends in one window: 300, as in the sizing of the design. */
const ROWS_PER_FRAME: Readonly<Record<string, number>> = {
  tcp_connections: 100,
  tcp_rtt: 60,
  tcp_retransmits: 40,
  syscalls: 60,
  syscall_latency: 40,
};
const rowsPerFrame = Object.values(ROWS_PER_FRAME).reduce((sum, rows) => sum + rows, 0) + 1;

const AGENT_WINDOWS = 7;
const AGENT_ROWS_PER_FRAME = 100;

/**
 * The whole ingest path (gRPC, checks, concatenation, ClickHouse, acknowledgement) beside bare Native inserts of the same rows into
 * the same tables: what the path costs on top of the database.
 */
export async function run(options: BenchOptions): Promise<BenchResult> {
  await using clickhouse = await withTestClickHouse({ maxMemoryBytes: 4 * 1_024 ** 3 });
  const totalRows = HOSTS * FRAMES_PER_HOST * rowsPerFrame;
  const agents = options.agents === 0 ? null : await measureAgents(options);
  // As an installation of that size is meant to run, and as it starts out: with the control plane's database in the API's own process.
  await using postgres = hasPostgres ? await startTestPostgres() : null;
  const embedded = await measureEmbedded();
  const endToEnd = postgres === null ? embedded : await measureEndToEnd(clickhouse, postgres.url);
  const bareSeconds = await measureBareInsert(clickhouse);
  const endToEndRowsPerSecond = totalRows / endToEnd.measured.seconds;
  const bareInsertRowsPerSecond = totalRows / bareSeconds;
  const { apiCpuMicrosecondsPerRow } = costsOf(endToEnd.measured);
  const hostsPerMachine = endToEndRowsPerSecond / (rowsPerFrame / (REAL_WINDOW_MS / 1_000));
  return {
    title: "Ingest",
    method:
      `${HOSTS} streams × ${FRAMES_PER_HOST} frames × ${rowsPerFrame} rows behind ${WARM_UP_FRAMES_PER_HOST} that warm the API up; control plane on ` +
      `${postgres === null ? "the embedded Postgres" : "a Postgres server"}; senders, API and ClickHouse share this machine's cores.`,
    measurements: [
      {
        what: "end to end, acknowledged",
        value: endToEndRowsPerSecond,
        unit: "rows/s",
        against: { what: "bare Native insert of the same rows", value: bareInsertRowsPerSecond },
      },
      { what: "CPU of the API itself", value: apiCpuMicrosecondsPerRow, unit: "µs/row", against: { what: "limit", value: 0.5 } },
      { what: "… with the embedded Postgres", value: costsOf(embedded.measured).apiCpuMicrosecondsPerRow, unit: "µs/row" },
      { what: "… of it, in the process's first seconds", value: costsOf(embedded.warmUp).apiCpuMicrosecondsPerRow, unit: "µs/row" },
      { what: "hosts at 10 s windows that is", value: hostsPerMachine, unit: "hosts" },
      ...(agents === null
        ? []
        : [
            {
              what: `CPU of the API with ${agents.connected.toLocaleString("en-US")} agents`,
              value: agents.apiCpuCores,
              unit: "cores",
              against: { what: "limit", value: 1 },
            },
            { what: "its resident memory, largest", value: agents.apiRssMb, unit: "MB", against: { what: "limit", value: 700 } },
            { what: "from sending to acknowledgement, worst", value: agents.ackMs.max, unit: "ms", against: { what: "limit", value: 3_000 } },
          ]),
    ],
    json: {
      endToEndRowsPerSecond,
      bareInsertRowsPerSecond,
      ratio: endToEndRowsPerSecond / bareInsertRowsPerSecond,
      controlPlane: postgres === null ? "embedded Postgres" : "Postgres server",
      ...costsOf(endToEnd.measured),
      warmUp: costsOf(endToEnd.warmUp),
      embeddedPostgres: { ...costsOf(embedded.measured), warmUp: costsOf(embedded.warmUp) },
      rows: totalRows,
      rowsPerFrame,
      hosts: HOSTS,
      agents,
    },
  };
}

/** What the API costs with that many agents connected, each sending a window now and then. */
export async function measureAgents({ agents: hosts, connections, spreadMs }: BenchOptions) {
  await using clickhouse = await withTestClickHouse({ maxMemoryBytes: 4 * 1_024 ** 3 });
  // The embedded Postgres is for laptops; whoever has this many hosts has a server for them.
  await using postgres = hasPostgres ? await startTestPostgres() : null;
  await using api = await startApi(clickhouse, { databaseUrl: postgres?.url });
  const fleet = fork(join(import.meta.dirname, "fleet.ts"), { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  try {
    const reports = nextReports(fleet);
    const order: FleetOrder = {
      address: api.ingestAddress,
      enrolmentToken: api.enrolmentToken,
      hosts,
      connections,
      rowsPerFrame: AGENT_ROWS_PER_FRAME,
      windowMs: REAL_WINDOW_MS,
      windows: AGENT_WINDOWS,
      spreadMs,
    };
    fleet.send(order);
    const connected = await reports("connected");
    const cpuBefore = cpuSeconds(api.pid);
    const began = performance.now();
    let rssMax = 0;
    const watch = setInterval(() => {
      rssMax = Math.max(rssMax, rssBytes(api.pid));
    }, 250);
    const done = await reports("done").finally(() => clearInterval(watch));
    const seconds = (performance.now() - began) / 1_000;
    return {
      connected: hosts,
      connections,
      rowsPerFrame: AGENT_ROWS_PER_FRAME,
      frames: hosts * AGENT_WINDOWS,
      acknowledged: done.acknowledged,
      deferred: done.deferred,
      refused: done.refused,
      unanswered: done.unanswered,
      streamsEnded: done.streamsEnded,
      apiCpuCores: (cpuSeconds(api.pid) - cpuBefore) / seconds,
      apiRssMb: rssMax / 1e6,
      ackMs: done.ackMs,
      spreadMs,
      enrolmentsPerSecond: hosts / connected.enrolSeconds,
      connectsPerSecond: hosts / connected.connectSeconds,
      sendersCpuCores: done.cpuSeconds / seconds,
      controlPlane: postgres === null ? "embedded Postgres" : "Postgres server",
    };
  } finally {
    fleet.kill();
  }
}

/** The reports of a fleet, one after another. */
function nextReports(fleet: ReturnType<typeof fork>) {
  return async <Phase extends FleetReport["phase"]>(phase: Phase): Promise<Extract<FleetReport, { phase: Phase }>> => {
    const report = await new Promise<FleetReport>((resolve, reject) => {
      fleet.once("message", (message) => resolve(message as FleetReport));
      fleet.once("exit", (code) => reject(new Error(`the agents' process ended with ${code}`)));
    });
    if (report.phase !== phase) throw new Error(`expected ${phase}, the agents' process said ${report.phase}`);
    return report as Extract<FleetReport, { phase: Phase }>;
  };
}

function rowsOf(host: SimulatedHost): Map<string, WireRow[]> {
  const rows = new Map<string, WireRow[]>([["agent_coverage", [{ signal: "tcp_rtt", state: "exact", reason: "", windows: 1 }]]]);
  for (const [name, count] of Object.entries(ROWS_PER_FRAME)) {
    const signal = getSignalOrThrow(name);
    rows.set(
      name,
      Array.from({ length: count }, (_, index) => {
        const row: Record<string, WireRow[string]> = {};
        for (const dimension of signal.dimensions) row[dimension] = `${dimension}-${(host.index + index * 7) % 50}`;
        row["process"] = `process-${index}`;
        for (const measure of signal.measures) row[measure.name] = index * 1_000;
        if (signal.distribution !== null) Object.assign(row, { count: 12, sum: 12e6, min: 9e5, max: 2e6, k: [150, 155, 160, 165], c: [3, 4, 4, 1] });
        return row;
      }),
    );
  }
  return rows;
}

/** What the API used for some rows. */
interface Stretch {
  readonly rows: number;
  readonly seconds: number;
  readonly cpuSeconds: NodeThreads;
  /** At the end of it. */
  readonly apiRssBytes: number;
  /** Frames that had to be sent again. */
  readonly deferred: number;
}

interface EndToEnd {
  /** From the process's first frame on. */
  readonly warmUp: Stretch;
  readonly measured: Stretch;
}

function costsOf({ rows, seconds, cpuSeconds: threads, apiRssBytes, deferred }: Stretch) {
  const perRow = (cpu: number): number => (cpu / rows) * 1e6;
  return {
    apiCpuMicrosecondsPerRow: perRow(sumOfThreads(threads)),
    apiMainThreadMicrosecondsPerRow: perRow(threads.main),
    apiV8ThreadsMicrosecondsPerRow: perRow(threads.v8),
    apiLibuvThreadsMicrosecondsPerRow: perRow(threads.libuv),
    apiRssMb: apiRssBytes / 1e6,
    rowsPerSecond: rows / seconds,
    deferred,
  };
}

async function measureEmbedded(): Promise<EndToEnd> {
  await using clickhouse = await withTestClickHouse({ maxMemoryBytes: 4 * 1_024 ** 3 });
  return await measureEndToEnd(clickhouse, undefined);
}

async function measureEndToEnd(clickhouse: TestClickHouse, databaseUrl: string | undefined): Promise<EndToEnd> {
  await using api = await startApi(clickhouse, { databaseUrl });
  const session = await connectTo(api.ingestAddress);
  let deferred = 0;
  const senders: { agent: BenchAgent; sendAll: (frames: number, firstMs: number) => Promise<void> }[] = [];
  for (const host of makeFleet(1, HOSTS)) {
    const agent = new BenchAgent(session, await enrol(session, api.enrolmentToken, host), host, WINDOW_MS);
    const { framesInFlightMax } = await agent.ready;
    const body = encodeFrameBody(rowsOf(host), WINDOW_MS);
    const sendAll = (frames: number, firstMs: number): Promise<void> =>
      new Promise((resolve, reject) => {
        const waiting = Array.from({ length: frames }, (_, index) => frames - 1 - index);
        const indexes = new Map<number, number>();
        let acknowledged = 0;
        const fill = (): void => {
          while (agent.inFlight < framesInFlightMax) {
            const index = waiting.pop();
            if (index === undefined) return;
            indexes.set(agent.send(body, firstMs + index * WINDOW_MS), index);
          }
        };
        agent.onEnd = (why) => reject(new Error(`the stream of ${host.name} ended: ${why}`));
        agent.onAnswer = (answer, _, sequence) => {
          if (answer === "refused") return reject(new Error(`a frame of ${host.name} was refused`));
          if (answer === "retry") {
            // As an agent does. On a machine of its own the API has no reason to ask for it.
            deferred++;
            waiting.push(indexes.get(sequence) as number);
            setTimeout(fill, RETRY_MS);
          } else if (++acknowledged === frames) resolve();
          else fill();
        };
        fill();
      });
    senders.push({ agent, sendAll });
  }
  const measure = async (frames: number, firstMs: number): Promise<Stretch> => {
    deferred = 0;
    const cpuBefore = threadCpuSeconds(api.pid);
    const began = performance.now();
    await Promise.all(senders.map(({ sendAll }) => sendAll(frames, firstMs)));
    return {
      rows: HOSTS * frames * rowsPerFrame,
      seconds: (performance.now() - began) / 1_000,
      cpuSeconds: threadsBetween(cpuBefore, threadCpuSeconds(api.pid)),
      apiRssBytes: rssBytes(api.pid),
      deferred,
    };
  };
  const newestMs = Math.floor(Date.now() / WINDOW_MS) * WINDOW_MS;
  const warmUp = await measure(WARM_UP_FRAMES_PER_HOST, newestMs - (FRAMES_PER_HOST + WARM_UP_FRAMES_PER_HOST) * WINDOW_MS);
  const measured = await measure(FRAMES_PER_HOST, newestMs - FRAMES_PER_HOST * WINDOW_MS);
  for (const { agent } of senders) agent.close();
  session.close();
  return { warmUp, measured };
}

async function measureBareInsert(clickhouse: TestClickHouse): Promise<number> {
  const { database, client } = await clickhouse.freshDatabase();
  const signals = [...Object.keys(ROWS_PER_FRAME), "agent_coverage"].map(getSignalOrThrow);
  for (const signal of signals) await client.command({ query: createTableSql(signal, database) });
  const newestMs = Math.floor(Date.now() / WINDOW_MS) * WINDOW_MS;
  const framesPerHost = FRAMES_PER_HOST + BARE_WARM_UP_FRAMES_PER_HOST;
  const firstFrames = makeFleet(1, HOSTS).map((host) => {
    const rows = rowsOf(host);
    const head = { tenant: "bench", host: host.name, sequence: 0n, tsMs: 0, windowMs: WINDOW_MS, bootId: host.bootId, clockOffsetMs: 0n, windows: 1 };
    return frameOf(
      head,
      signals.map((signal) => ({ signal, ...encodeBlock(signal, rows.get(signal.name) ?? []) })),
    );
  });
  // In the order in which they arrive over the wire: every host's first, every host's second, …
  const frames: Frame[] = Array.from({ length: framesPerHost }, (_, index) =>
    firstFrames.map((frame) => ({ ...frame, sequence: BigInt(index + 1), tsMs: newestMs - (framesPerHost - index) * WINDOW_MS })),
  ).flat();
  const bodies = new BufferPool(32 * 1_024 * 1_024);
  const warmUpFrames = BARE_WARM_UP_FRAMES_PER_HOST * HOSTS;
  let milliseconds = 0;
  for (let at = 0; at < frames.length; at += FRAMES_PER_BARE_INSERT) {
    const inserts = buildInserts(frames.slice(at, at + FRAMES_PER_BARE_INSERT), bodies);
    const began = performance.now();
    for (const insert of inserts) {
      const columns = insert.columns.map((column) => `\`${column}\``).join(", ");
      const { stream } = await client.exec({
        query: `INSERT INTO ${insert.table} (${columns}) FORMAT Native`,
        values: Readable.from([insert.body], { objectMode: false }),
      });
      stream.resume();
      await once(stream, "close");
      bodies.give(insert.body);
    }
    if (at >= warmUpFrames) milliseconds += performance.now() - began;
  }
  return milliseconds / 1_000;
}
