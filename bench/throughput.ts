// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ProbeSet } from "../apps/agent/src/probes/probe-set.ts";
import { IngestServer } from "../apps/agent/test/support/ingest-server.ts";
import { giveEnrolmentToken, stageAgent, withAgentPrivileges } from "../scripts/up/agent-stage.ts";
import { bpfPackage, emptyPlans, objectDirectory } from "./empty-programs.ts";
import { cpuSeconds } from "./process.ts";
import { median, spread } from "./statistics.ts";
import { Tracers } from "./tracer.ts";
import * as scripts from "./tracer-scripts.ts";

const ROUNDS = 8;
const LOAD_SECONDS = 1.5;
/** A load that begins out of nowhere is measured until each of these; by the last one the governor has done about it what it does. */
const ONSET_SECONDS = [10, 30, 60] as const;
/** The load is run in pieces of this length, as the CPU time of a process' children is known once they have ended. */
const PIECE_SECONDS = 2;
/** Where in one of the agent's windows of 10 s the load begins: in the middle, so that neither it nor its end is near. */
const WINDOW_MS = 10_000;
/** Two windows, with the moments in which the governor looks whether the flood is over. */
const SUSTAINED_SECONDS = 20;
/** The kernel takes programs off their hooks some time after the process that held them has ended. */
const SETTLE_MS = 2_000;

export const loadKinds = [
  { kind: "calls", what: "getppid on all CPUs" },
  { kind: "file", what: "4 KiB reads and writes of a cached file on all CPUs" },
  { kind: "connect", what: "short TCP connections" },
  { kind: "bulk", what: "one TCP stream" },
] as const;
type LoadKind = (typeof loadKinds)[number]["kind"];

interface Pace {
  readonly operations: number;
  readonly perSecond: number;
  /** CPU time of the load's own processes, what tracing adds to them included. */
  readonly cpuNs: number;
}

type Paces = Readonly<Record<LoadKind, Pace>>;

/** Shares lost, 0.02 for 2 %: medians over pairs of neighbours, and half of the pairs lie within the spread. Negative: noise, or luck. */
export interface Loss {
  readonly tracer: string;
  readonly load: LoadKind;
  readonly pairs: number;
  readonly throughput: number;
  readonly throughputSpread: number;
  /** By the load's CPU time per operation: 1 - without / with. */
  readonly cpu: number;
  readonly cpuSpread: number;
  /** CPU time per operation without anything, and what the tracer added to it, in ns. */
  readonly bareCpuNs: number;
  readonly addedCpuNs: number;
}

/** Traces the host until it is stopped. */
interface Tracing extends AsyncDisposable {
  /** CPU seconds of its own processes so far. */
  cpuSeconds(): number;
}

/** Programs that do nothing, on the hooks of the agent's: what the kernel itself takes to run any program there. Nobody who counts there pays less. */
class EmptyPrograms implements Tracing {
  readonly #probes: ProbeSet;

  private constructor(probes: ProbeSet) {
    this.#probes = probes;
  }

  static async start(): Promise<EmptyPrograms> {
    const probes = ProbeSet.load({ objectDirectory, programs: emptyPlans() });
    probes.attach();
    const failed = probes.states().find(({ attached }) => !attached);
    if (failed !== undefined) throw new Error(failed.failure?.message);
    return new EmptyPrograms(probes);
  }

  cpuSeconds(): number {
    return 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#probes[Symbol.dispose]();
  }
}

/** Asks by bpftrace what is comparable with all signals that are on by default. */
const bpftraceScript = [
  scripts.callScript,
  scripts.connectionScript,
  scripts.switchScript,
  scripts.taskScript,
  scripts.dropScript,
  scripts.blockScript,
  scripts.softirqScript,
  scripts.profileScript,
].join("\n");

const toolCommands = [
  "syscount -L -P",
  "tcplife",
  "runqlat -P",
  "offcputime -m 1000 3600",
  "softirqs -d",
  "biolatency -D -F",
  "opensnoop",
  "execsnoop",
  "exitsnoop",
];

/** The agent as `./waggle up` runs it: an own user with two capabilities, all signals that are on by default. Its API only acknowledges. */
class Agent implements Tracing {
  readonly #child: ChildProcess;
  readonly #server: IngestServer;
  readonly #directory: string;

  private constructor(child: ChildProcess, server: IngestServer, directory: string) {
    this.#child = child;
    this.#server = server;
    this.#directory = directory;
  }

  /** @param root of the project whose agent it is: it has to be built */
  static async start(root = fileURLToPath(new URL("..", import.meta.url))): Promise<Agent> {
    const directory = mkdtempSync(join(tmpdir(), "waggle-bench-agent-"));
    const server = await new IngestServer().start();
    const staged = stageAgent(root, directory, randomUUID());
    giveEnrolmentToken(staged, "wgl_enr_good");
    const [command, ...args] = withAgentPrivileges([staged.nodePath, staged.bundlePath, "run"]) as [string, ...string[]];
    const child = spawn(command, args, {
      cwd: staged.directory,
      stdio: ["ignore", "ignore", "pipe"],
      env: {
        PATH: process.env["PATH"],
        WAGGLE_AGENT_API_URL: `http://127.0.0.1:${server.port}`,
        WAGGLE_AGENT_STATE_DIRECTORY: staged.stateDirectory,
        WAGGLE_AGENT_ENROLMENT_TOKEN_FILE: staged.enrolmentTokenFile,
      },
    });
    let said = "";
    child.stderr?.on("data", (data: Buffer) => {
      said = (said + data.toString()).slice(-2_000);
    });
    const agent = new Agent(child, server, directory);
    // A snapshot is the end of a window: the programs are on their hooks, and the agent's start is over.
    for (let tries = 0; server.acknowledged.length === 0; tries++) {
      if (tries > 1_800 || child.exitCode !== null) {
        await agent[Symbol.asyncDispose]();
        throw new Error(`the agent delivered no window within 180 s: ${said.trim().split("\n").at(-1)}`);
      }
      await sleep(100);
    }
    return agent;
  }

  cpuSeconds(): number {
    return cpuSeconds(this.#child.pid as number);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = new Promise((resolve) => this.#child.once("exit", resolve));
      this.#child.kill("SIGTERM");
      await ended;
    }
    await this.#server.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

async function startTracers(commands: readonly (readonly [string, ...string[]])[]): Promise<Tracing> {
  const tracers = await Tracers.start(commands);
  if (!(tracers instanceof Tracers)) throw new Error(tracers.why);
  return Object.assign(tracers, { cpuSeconds: () => tracers.pids().reduce((sum, pid) => sum + cpuSeconds(pid), 0) });
}

const tracerKinds: readonly { readonly name: string; start(): Promise<Tracing> }[] = [
  { name: "waggle-agent", start: () => Agent.start() },
  { name: "empty programs", start: () => EmptyPrograms.start() },
  { name: "bpftrace", start: () => startTracers([["bpftrace", "-B", "none", "-e", bpftraceScript]]) },
  {
    name: "libbpf-tools",
    start: () =>
      startTracers(
        toolCommands.map((line) => {
          const [name, ...args] = line.split(" ") as [string, ...string[]];
          return [`/usr/sbin/${name}`, ...args];
        }),
      ),
  },
];

/** Programs that do the loads; built for this run. */
class LoadProgram implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "waggle-bench-load-"));
  readonly #binary = join(this.#directory, "throughput-load");

  constructor() {
    execFileSync("cc", ["-O1", "-Wall", "-o", this.#binary, fileURLToPath(new URL("throughput-load.c", import.meta.url))]);
  }

  async pace(kind: LoadKind, seconds = LOAD_SECONDS): Promise<Pace> {
    const child = spawn(this.#binary, [kind, String(seconds)], { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout.on("data", (data: Buffer) => {
      text += data.toString();
    });
    const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
    const [operations, wallNs, cpuNs] = text.trim().split(" ").map(Number) as [number, number, number];
    if (code !== 0 || !(operations > 0)) throw new Error(`throughput-load ${kind} ended with ${code}`);
    return { operations, perSecond: (operations / wallNs) * 1e9, cpuNs: cpuNs / operations };
  }

  /** Goes on for as long as the last of `seconds` says. Returns the pace from the start until each of them. */
  async pacesUntil(kind: LoadKind, seconds: readonly number[]): Promise<Pace[]> {
    const paces: Pace[] = [];
    let [operations, cpuNs] = [0, 0];
    const beganMs = performance.now();
    for (const until of seconds) {
      while (performance.now() - beganMs < until * 1_000 - PIECE_SECONDS * 500) {
        const piece = await this.pace(kind, PIECE_SECONDS);
        operations += piece.operations;
        cpuNs += piece.cpuNs * piece.operations;
      }
      paces.push({ operations, perSecond: operations / ((performance.now() - beganMs) / 1_000), cpuNs: cpuNs / operations });
    }
    return paces;
  }

  async paces(): Promise<Paces> {
    const paces: Partial<Record<LoadKind, Pace>> = {};
    for (const { kind } of loadKinds) paces[kind] = await this.pace(kind);
    return paces as Paces;
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

export interface ThroughputResult {
  readonly losses: readonly Loss[];
  /** Share of a core that the tracer's own processes took while the loads ran, by tracer. */
  readonly ownCpu: Readonly<Record<string, number>>;
  /** Tracers that did not run here, and why. */
  readonly failures: Readonly<Record<string, string>>;
  readonly rounds: number;
}

/**
 * What tracing takes from loads: each tracer between two runs without any, so that a machine that gets slower or faster meanwhile takes the same from
 * both sides. Needs root. `onRound` gets what is known after each round, as all of them take a quarter of an hour on a busy machine.
 */
export async function measureThroughput(onRound: (soFar: ThroughputResult) => void = () => undefined): Promise<ThroughputResult> {
  execFileSync("make", ["-s", "-C", bpfPackage, "bench"]);
  using program = new LoadProgram();
  const pairs = new Map(tracerKinds.map(({ name }) => [name, [] as { with: Paces; without: readonly [Paces, Paces] }[]]));
  const ownCpu = new Map(tracerKinds.map(({ name }) => [name, [] as number[]]));
  const failures: Record<string, string> = {};
  const summary = (rounds: number): ThroughputResult => ({
    losses: [...pairs].flatMap(([tracer, all]) => (all.length === 0 ? [] : loadKinds.map(({ kind }) => lossOf(tracer, kind, all)))),
    ownCpu: Object.fromEntries([...ownCpu].flatMap(([name, values]) => (values.length === 0 ? [] : [[name, median(values)] as const]))),
    failures,
    rounds,
  });
  let before = await program.paces();
  for (let round = 0; round < ROUNDS; round++) {
    for (const { name, start } of tracerKinds) {
      // What ran once may be late another time; what never did will not.
      if (failures[name] !== undefined && pairs.get(name)?.length === 0) continue;
      try {
        let traced: Paces;
        {
          await using tracing = await start();
          const [began, cpu] = [performance.now(), tracing.cpuSeconds()];
          traced = await program.paces();
          ownCpu.get(name)?.push(((tracing.cpuSeconds() - cpu) / (performance.now() - began)) * 1_000);
        }
        await sleep(SETTLE_MS);
        const after = await program.paces();
        pairs.get(name)?.push({ with: traced, without: [before, after] });
        before = after;
      } catch (error) {
        failures[name] = error instanceof Error ? error.message : String(error);
      }
    }
    onRound(summary(round + 1));
  }
  return summary(ROUNDS);
}

/** What a load loses that goes on. */
export interface SustainedLoss {
  readonly load: LoadKind;
  /** How long the load had run before the time that counts, and how long that was. */
  readonly afterSeconds: number;
  readonly seconds: number;
  readonly throughput: number;
  /** By the load's CPU time per operation. */
  readonly cpu: number;
}

/**
 * Loads that begin out of nowhere and go on, each between two runs without the agent: what they lose in their first 10, 30 and 60 s, and after them. A budget on the host
 * bounds what the agent takes, but for the moment until it is seen what a load costs: what `measureThroughput` sees is a load that has just begun.
 */
export async function measureSustained(
  kinds: readonly LoadKind[] = loadKinds.map(({ kind }) => kind),
  root?: string,
): Promise<readonly SustainedLoss[]> {
  using program = new LoadProgram();
  const losses: SustainedLoss[] = [];
  const bare = async (kind: LoadKind): Promise<Pace> => (await program.pacesUntil(kind, [SUSTAINED_SECONDS]))[0] as Pace;
  for (const kind of kinds) {
    const before = await bare(kind);
    let onset: Pace[];
    let governed: Pace;
    {
      await using _agent = await Agent.start(root);
      // The agent's first window is over; from here on it sees a host that does little.
      await sleep(1.5 * WINDOW_MS - (Date.now() % WINDOW_MS));
      onset = await program.pacesUntil(kind, ONSET_SECONDS);
      governed = await program.pace(kind, SUSTAINED_SECONDS);
    }
    await sleep(SETTLE_MS);
    const after = await bare(kind);
    const loss = (afterSeconds: number, seconds: number, traced: Pace): SustainedLoss => ({
      load: kind,
      afterSeconds,
      seconds,
      throughput: 1 - traced.perSecond / ((before.perSecond + after.perSecond) / 2),
      cpu: 1 - (before.cpuNs + after.cpuNs) / 2 / traced.cpuNs,
    });
    losses.push(
      ...ONSET_SECONDS.map((seconds, index) => loss(0, seconds, onset[index] as Pace)),
      loss(ONSET_SECONDS.at(-1) as number, SUSTAINED_SECONDS, governed),
    );
  }
  return losses;
}

function lossOf(tracer: string, load: LoadKind, all: readonly { with: Paces; without: readonly [Paces, Paces] }[]): Loss {
  const neighbours = all.map((pair) => ({
    with: pair.with[load],
    perSecond: (pair.without[0][load].perSecond + pair.without[1][load].perSecond) / 2,
    cpuNs: (pair.without[0][load].cpuNs + pair.without[1][load].cpuNs) / 2,
  }));
  const throughput = neighbours.map((pair) => 1 - pair.with.perSecond / pair.perSecond);
  const cpu = neighbours.map((pair) => 1 - pair.cpuNs / pair.with.cpuNs);
  return {
    tracer,
    load,
    pairs: neighbours.length,
    throughput: median(throughput),
    throughputSpread: spread(throughput),
    cpu: median(cpu),
    cpuSpread: spread(cpu),
    bareCpuNs: median(neighbours.map((pair) => pair.cpuNs)),
    addedCpuNs: median(neighbours.map((pair) => pair.with.cpuNs - pair.cpuNs)),
  };
}
