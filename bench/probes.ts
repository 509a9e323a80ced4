// SPDX-License-Identifier: Apache-2.0
import { execFile, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { RunTimeStatistics } from "../apps/agent/src/libbpf/statistics.ts";
import { ProbeSet } from "../apps/agent/src/probes/probe-set.ts";
import { KernelSource } from "../apps/agent/src/snapshot/window-reader.ts";
import { Workload } from "../apps/agent/test/workload.ts";
import type { BenchResult, Measurement } from "./report.ts";

const CALLS = 1_000_000;
const CONNECTIONS = 3_000;
const PORT = 47_931;
const ROUNDS = 3;
const bpfPackage = fileURLToPath(new URL("../packages/bpf", import.meta.url));
const objectDirectory = join(bpfPackage, "build");
const run$ = promisify(execFile);

/** The same questions as bpftrace one-liners: count and latency of calls by process; connects by process. */
const bpftraceScript = `
tracepoint:raw_syscalls:sys_enter { @entered[tid] = nsecs; }
tracepoint:raw_syscalls:sys_exit /@entered[tid]/ {
  @latency[comm, args->id] = hist(nsecs - @entered[tid]); @calls[comm, args->id] = count(); delete(@entered[tid]);
  if (args->ret < 0) { @errors[comm, args->id, args->ret] = count(); }
}
tracepoint:sock:inet_sock_set_state {
  if (args->newstate == 2) { @connecting[args->skaddr] = nsecs; @who[args->skaddr] = comm; }
  if (args->newstate == 1) { @opened[@who[args->skaddr], args->dport] = count(); @connect[@who[args->skaddr], args->dport] = hist(nsecs - @connecting[args->skaddr]); }
  if (args->newstate == 7) { @closed[@who[args->skaddr], args->dport] = count(); delete(@who[args->skaddr]); delete(@connecting[args->skaddr]); }
}`;

/** ns per run and number of runs. */
interface Cost {
  readonly ns: number;
  readonly runs: number;
}

/** Kinds of calls that on_sys_exit looks at more closely (apps/agent/test/file-workload.c), and the ordinary calls that each one brings along. */
const kinds = [
  { kind: "file", what: "a write of a file", ordinary: 0 },
  { kind: "pipe", what: "a read or write of a pipe", ordinary: 0 },
  { kind: "open", what: "an open of a file", ordinary: 1 },
  { kind: "missing", what: "an open that fails", ordinary: 0 },
] as const;
const KIND_CALLS = 200_000;

interface Round {
  readonly costs: Map<string, Cost>;
  /** Wall time of one getppid call in the loop. */
  readonly callNs: number;
}

/** Wall time per call of calls as fast as they go; with the kernel's statistics off, because those cost as much as a program. */
async function timeCalls(workload: Workload): Promise<number> {
  const started = process.hrtime.bigint();
  await workload.run("bench-calls", "getppid", [CALLS]);
  return Number(process.hrtime.bigint() - started) / CALLS;
}

/** Known work under the kernel's statistics. */
async function work(workload: Workload): Promise<void> {
  await workload.run("bench-calls", "getppid", [CALLS]);
  await workload.run("bench-tcp", "connect", ["127.0.0.1", PORT, CONNECTIONS]);
}

const difference = (
  before: Map<string, { runTimeNs: bigint; runCount: bigint }>,
  after: Map<string, { runTimeNs: bigint; runCount: bigint }>,
): Map<string, Cost> =>
  new Map(
    [...after].map(([name, now]) => {
      const runs = Number(now.runCount - (before.get(name)?.runCount ?? 0n));
      return [name, { ns: runs === 0 ? 0 : Number(now.runTimeNs - (before.get(name)?.runTimeNs ?? 0n)) / runs, runs }];
    }),
  );

async function emptyRound(workload: Workload): Promise<Round> {
  const programs = ["sys_exit", "sys_enter", "inet_sock_set_state", "tcp_retransmit_skb"].map((tracepoint) => ({
    name: `empty_${tracepoint}`,
    object: "empty",
    hook: `tp_btf/${tracepoint}`,
    tracepoint,
  }));
  using probes = ProbeSet.load({ objectDirectory, programs });
  probes.attach();
  const failed = probes.states().find(({ attached }) => !attached);
  if (failed !== undefined) throw new Error(failed.failure?.message);
  const callNs = await timeCalls(workload);
  using _statistics = new RunTimeStatistics();
  const before = probes.statistics();
  await work(workload);
  return { costs: difference(before, probes.statistics()), callNs };
}

/** What on_sys_exit takes for one call of each kind, and for an ordinary one, by kind. */
async function kindsRound(source: KernelSource, files: Workload): Promise<Map<string, number>> {
  const directory = mkdtempSync(join(tmpdir(), "waggle-bench-"));
  const timeRuns = async (kind: string): Promise<Cost> => {
    const before = source.statistics();
    await files.run("bench-files", "repeat", [kind, join(directory, "file"), KIND_CALLS]);
    return difference(before, source.statistics()).get("on_sys_exit") as Cost;
  };
  try {
    const ordinary = (await timeRuns("ordinary")).ns;
    const costs = new Map([["ordinary", ordinary]]);
    for (const { kind, ordinary: others } of kinds) costs.set(kind, (await timeRuns(kind)).ns * (1 + others) - ordinary * others);
    return costs;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function ourRound(
  workload: Workload,
  files: Workload,
): Promise<Round & { windowMs: number; selfMeasured: Map<string, number>; kinds: Map<string, number> }> {
  using source = await KernelSource.open({ objectDirectory, names: { unitOf: () => "" } });
  const failed = source.programs().find(({ attached }) => !attached);
  if (failed !== undefined) throw new Error(failed.failure?.message);
  const callNs = await timeCalls(workload);
  await source.readWindow();
  using _statistics = new RunTimeStatistics();
  const before = source.statistics();
  await work(workload);
  const window = await source.readWindow();
  const selfMeasured = new Map(
    window.programs.map(({ program, events, kernelNs }) => [program, events === 0n ? 0 : Number(kernelNs) / Number(events)]),
  );
  const costs = difference(before, source.statistics());
  return { costs, callNs, windowMs: window.readMs, selfMeasured, kinds: await kindsRound(source, files) };
}

/** bpftrace in a mount namespace of its own, because it needs tracefs, which a host need not have mounted. Null if it does not run. */
async function bpftraceRound(workload: Workload): Promise<Round | null> {
  const child = spawn(
    "unshare",
    ["-m", "sh", "-c", 'mount -t tracefs nodev /sys/kernel/tracing 2>/dev/null; exec bpftrace -B none -e "$0"', bpftraceScript],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const ended = new Promise<void>((resolve) => {
    child.on("exit", () => resolve());
    child.on("error", () => resolve());
  });
  child.stdout.resume();
  child.stderr.resume();
  try {
    const programs = async (): Promise<Map<string, { runTimeNs: bigint; runCount: bigint }>> => {
      const { stdout } = await run$("bpftool", ["-j", "prog", "show"], { maxBuffer: 1 << 24 });
      const all = JSON.parse(stdout) as { name?: string; type: string; run_time_ns?: number; run_cnt?: number }[];
      return new Map(
        all
          .filter(({ type }) => type === "tracepoint")
          .map(({ name = "", run_time_ns = 0, run_cnt = 0 }) => [name, { runTimeNs: BigInt(run_time_ns), runCount: BigInt(run_cnt) }]),
      );
    };
    for (let tries = 0; (await programs()).size < 3; tries++) {
      if (tries > 50 || child.exitCode !== null) return null;
      await sleep(100);
    }
    const callNs = await timeCalls(workload);
    using _statistics = new RunTimeStatistics();
    const before = await programs();
    await work(workload);
    return { costs: difference(before, await programs()), callNs };
  } catch {
    return null;
  } finally {
    child.kill("SIGINT");
    await ended;
  }
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;

/** The kernel keeps 15 characters of bpftrace's program names, which are the tracepoints'. */
const subjects = [
  { program: "on_sys_enter", empty: "empty_sys_enter", bpftrace: "sys_enter" },
  { program: "on_sys_exit", empty: "empty_sys_exit", bpftrace: "sys_exit" },
  { program: "on_inet_sock_set_state", empty: "empty_inet_sock_set_state", bpftrace: "inet_sock_set_s" },
];

/** Price of each program per event, against doing nothing on the same hook and against bpftrace asking the same. Needs root. */
export async function run(): Promise<BenchResult> {
  if (process.getuid?.() !== 0) throw new Error("bench probes needs root: it switches on the kernel's BPF statistics");
  execFileSync("make", ["-s", "-C", bpfPackage, "bench"]);
  using workload = new Workload();
  using files = new Workload("file-workload.c");
  await workload.start("bench-server", "serve", ["127.0.0.1", PORT]);

  const bare: number[] = [];
  const empty: Round[] = [];
  const ours: Awaited<ReturnType<typeof ourRound>>[] = [];
  const peer: Round[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    bare.push(await timeCalls(workload));
    empty.push(await emptyRound(workload));
    ours.push(await ourRound(workload, files));
    const other = await bpftraceRound(workload);
    if (other !== null) peer.push(other);
  }

  const of = (rounds: Round[], name: string): number | null =>
    rounds.length === 0 ? null : median(rounds.map(({ costs }) => costs.get(name)?.ns ?? Number.NaN));
  const programs = subjects.map(({ program, empty: emptyName, bpftrace }) => {
    const oursNs = of(ours, program) as number;
    const emptyNs = of(empty, emptyName) as number;
    const bpftraceNs = of(peer, bpftrace);
    return {
      program,
      events: ours[0]?.costs.get(program)?.runs ?? 0,
      oursNs,
      emptyNs,
      bpftraceNs,
      ratioToEmpty: oursNs / emptyNs,
      ratioToBpftrace: bpftraceNs === null ? null : oursNs / bpftraceNs,
      selfMeasuredNs: median(ours.map(({ selfMeasured }) => selfMeasured.get(program) ?? Number.NaN)),
    };
  });
  const pair = (rounds: Round[], enter: string, exit: string): number | null =>
    rounds.length === 0 ? null : (of(rounds, enter) as number) + (of(rounds, exit) as number);
  const call = {
    bareNs: median(bare),
    emptyNs: median(empty.map(({ callNs }) => callNs)),
    oursNs: median(ours.map(({ callNs }) => callNs)),
    bpftraceNs: peer.length === 0 ? null : median(peer.map(({ callNs }) => callNs)),
    oursProgramsNs: pair(ours, "on_sys_enter", "on_sys_exit"),
    bpftraceProgramsNs: pair(peer, "sys_enter", "sys_exit"),
  };
  const kindNs = (kind: string): number => median(ours.map((round) => round.kinds.get(kind) as number));
  const calls = Object.fromEntries(["ordinary", ...kinds.map(({ kind }) => kind)].map((kind) => [kind, kindNs(kind)]));
  const windowMs = median(ours.map((round) => round.windowMs));

  const measurements: Measurement[] = [];
  for (const { program, oursNs, emptyNs, bpftraceNs } of programs) {
    measurements.push({ what: `${program}`, value: oursNs, unit: "ns/event", against: { what: "an empty program", value: emptyNs } });
    if (bpftraceNs !== null)
      measurements.push({ what: `${program}`, value: oursNs, unit: "ns/event", against: { what: "bpftrace", value: bpftraceNs } });
  }
  for (const { kind, what } of kinds)
    measurements.push({
      what: `on_sys_exit, ${what}`,
      value: kindNs(kind),
      unit: "ns/event",
      against: { what: "an ordinary call", value: kindNs("ordinary") },
    });
  measurements.push({
    what: "getppid, wall time with our programs",
    value: call.oursNs,
    unit: "ns/call",
    against: { what: "without any", value: call.bareNs },
  });
  if (call.bpftraceNs !== null)
    measurements.push({
      what: "getppid, wall time with our programs",
      value: call.oursNs,
      unit: "ns/call",
      against: { what: "with bpftrace", value: call.bpftraceNs },
    });
  measurements.push({ what: "flip, grace period and read of one window", value: windowMs, unit: "ms" });
  return {
    title: "Price of the probes",
    method: `Programs: kernel run time statistics (their own two clock reads are in all numbers); calls: wall time with statistics off. Median of ${ROUNDS} rounds of ${CALLS.toLocaleString("en-US")} getppid calls and ${CONNECTIONS.toLocaleString("en-US")} connections; ${KIND_CALLS.toLocaleString("en-US")} calls of each other kind; peers in the same rounds.`,
    measurements,
    json: { programs, calls, call, windowReadMs: windowMs, rounds: ROUNDS, bpftrace: peer.length > 0 },
  };
}
