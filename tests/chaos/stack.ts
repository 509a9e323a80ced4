// SPDX-License-Identifier: Apache-2.0
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startTestPostgres, type TestPostgres } from "../../apps/api/test/test-postgres.ts";
import { freePort, SmallDisk } from "../../packages/clickhouse-embedded/src/testing.ts";
import type { ChaosAgentOptions } from "./agent.ts";
import { ManagedProcess } from "./managed-process.ts";
import { FaultyProxy } from "./proxy.ts";
import type { Scene } from "./truth.ts";

const root = resolve(import.meta.dirname, "../..");
const CLICKHOUSE_MEMORY_BYTES = 1536 * 1024 * 1024;

/** What the run keeps doing things to: real processes on loopback, with a proxy wherever one talks to another. */
export interface Stack {
  readonly directory: string;
  readonly disk: SmallDisk;
  readonly clickhouse: ManagedProcess;
  readonly clickhouseUrl: string;
  readonly apis: ReadonlyMap<string, ManagedProcess>;
  readonly restUrls: readonly string[];
  readonly agents: ReadonlyMap<string, ManagedProcess>;
  readonly simulator: ManagedProcess;
  /** In front of the API, by sender. */
  readonly senderProxies: ReadonlyMap<string, readonly FaultyProxy[]>;
  /** Between an API node and ClickHouse, by node. */
  readonly storageProxies: ReadonlyMap<string, FaultyProxy>;
  readonly processes: readonly ManagedProcess[];
  agentDirectory(name: string): string;
  /** The engine's own process; its parent only looks after it. */
  clickhousePid(): number | undefined;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface StackOptions {
  readonly scene: Scene;
  readonly agents: number;
  /** Size of the file system that the store is on. */
  readonly diskBytes: number;
  /** Keeps directory and logs. */
  readonly keep: boolean;
}

export async function startStack({ scene, agents: agentCount, diskBytes, keep }: StackOptions): Promise<Stack> {
  const directory = mkdtempSync(join(tmpdir(), "waggle-chaos-"));
  const logFile = (name: string): string => join(directory, `${name}.log`);
  const disk = new SmallDisk(join(directory, "disk"), diskBytes);
  const clickhouseData = join(disk.directory, "clickhouse");
  const clickhousePort = await freePort();
  const clickhouseUrl = `http://127.0.0.1:${clickhousePort}`;
  const isOk = (url: string) => async (): Promise<boolean> => (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok;
  const clickhouse = new ManagedProcess({
    name: "clickhouse",
    command: [
      process.execPath,
      join(root, "packages/clickhouse-embedded/src/main.ts"),
      ...["--data", clickhouseData, "--http-port", String(clickhousePort), "--max-memory", String(CLICKHOUSE_MEMORY_BYTES), "--stop-with-parent"],
    ],
    cwd: root,
    logFile: logFile("clickhouse"),
    isReady: isOk(`${clickhouseUrl}/ping`),
  });
  const closing: (() => Promise<void> | void)[] = [];
  const dispose = async (): Promise<void> => {
    for (const close of closing.reverse()) await close();
    // What the engine says of itself lies on the disk that goes.
    const engineLogs = join(clickhouseData, "log");
    if (keep && existsSync(engineLogs)) cpSync(engineLogs, join(directory, "engine-log"), { recursive: true });
    disk.unmount();
    if (!keep) rmSync(directory, { recursive: true, force: true });
  };
  try {
    closing.push(() => clickhouse.stop());
    await clickhouse.start();
    const postgres: TestPostgres = await startTestPostgres();
    closing.push(() => postgres[Symbol.asyncDispose]());

    const apis = new Map<string, ManagedProcess>();
    const storageProxies = new Map<string, FaultyProxy>();
    const grpcPorts: number[] = [];
    const restUrls: string[] = [];
    for (const name of ["api-a", "api-b"]) {
      const proxy = await FaultyProxy.open([clickhousePort]);
      storageProxies.set(name, proxy);
      const [httpPort, grpcPort] = [await freePort(), await freePort()];
      grpcPorts.push(grpcPort);
      restUrls.push(`http://127.0.0.1:${httpPort}`);
      const api = new ManagedProcess({
        name,
        command: [process.execPath, "--enable-source-maps", join(root, "apps/api/dist/main.js")],
        cwd: join(root, "apps/api"),
        env: {
          WAGGLE_API_HTTP_PORT: String(httpPort),
          WAGGLE_API_GRPC_PORT: String(grpcPort),
          WAGGLE_API_DATA_DIRECTORY: join(directory, "api"),
          WAGGLE_API_LOG_LEVEL: "info",
          WAGGLE_CLICKHOUSE_URL: `http://127.0.0.1:${proxy.port}`,
          WAGGLE_CLICKHOUSE_USERNAME: "waggle",
          WAGGLE_CLICKHOUSE_PASSWORD_FILE: join(clickhouseData, "password"),
          WAGGLE_DATABASE_URL: postgres.url,
        },
        logFile: logFile(name),
        isReady: isOk(`http://127.0.0.1:${httpPort}/readyz`),
      });
      apis.set(name, api);
      closing.push(() => proxy.close());
      closing.push(() => api.stop());
      // One after the other: the first writes the tokens that the second reads.
      await api.start();
    }

    const tokenFile = join(directory, "api", "enrolment-token");
    const senderProxies = new Map<string, readonly FaultyProxy[]>();
    const openProxy = async (ports: readonly number[]): Promise<FaultyProxy> => {
      const proxy = await FaultyProxy.open(ports);
      closing.push(() => proxy.close());
      return proxy;
    };
    const simulatorProxies = [await openProxy(grpcPorts), await openProxy(grpcPorts.toReversed())];
    senderProxies.set("simulator", simulatorProxies);
    const beganMs = Date.now();
    const simulator = new ManagedProcess({
      name: "simulator",
      command: [
        process.execPath,
        join(root, "apps/simulator/dist/simulator.mjs"),
        ...["--hosts", String(scene.simulatedHosts), "--rows", String(scene.rows), "--window", String(scene.windowMs / 1000)],
        ...["--seed", String(scene.seed), "--speed", String(scene.speed), ...scene.incidents.flatMap((incident) => ["--incident", incident])],
        ...["--from", new Date(scene.fromMs).toISOString(), "--until", new Date(scene.untilMs).toISOString()],
        ...["--api", simulatorProxies.map((proxy) => `127.0.0.1:${proxy.port}`).join(","), "--connections", "4", "--token-file", tokenFile],
        ...["--faults", "cut,duplicate,delay,resend,skew", "--ledger", join(directory, "ledger.ndjson"), "--resume"],
      ],
      cwd: root,
      logFile: logFile("simulator"),
      mayEnd: true,
    });
    closing.push(() => simulator.stop());
    const agents = new Map<string, ManagedProcess>();
    for (let index = 0; index < agentCount; index++) {
      const name = `chaos-agent-${index + 1}`;
      const proxy = await openProxy(grpcPorts);
      senderProxies.set(name, [proxy]);
      const options: ChaosAgentOptions = { scene, index, stateDirectory: join(directory, name), apiPort: proxy.port, tokenFile, beganMs };
      const agent = new ManagedProcess({
        name,
        command: [process.execPath, join(root, "tests/chaos/agent.ts"), JSON.stringify(options)],
        cwd: root,
        logFile: logFile(name),
      });
      agents.set(name, agent);
      closing.push(() => agent.stop());
    }
    for (const sender of [simulator, ...agents.values()]) await sender.start();
    return {
      directory,
      disk,
      clickhouse,
      clickhouseUrl,
      apis,
      restUrls,
      agents,
      simulator,
      senderProxies,
      storageProxies,
      processes: [clickhouse, ...apis.values(), simulator, ...agents.values()],
      agentDirectory: (name) => join(directory, name),
      clickhousePid: () => {
        try {
          const pid = /^PID: (\d+)/m.exec(readFileSync(join(clickhouseData, "engine", "status"), "utf8"))?.[1];
          return pid === undefined ? undefined : Number(pid);
        } catch {
          return undefined;
        }
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}
