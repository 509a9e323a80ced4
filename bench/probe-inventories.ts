// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawnSync } from "node:child_process";
import { RunTimeStatistics } from "../apps/agent/src/libbpf/statistics.ts";
import { ProbeSet } from "../apps/agent/src/probes/probe-set.ts";
import { programPlans } from "../apps/agent/src/probes/programs.ts";
import type { Loads } from "./probe-loads.ts";
import { median, spread } from "./statistics.ts";

const CONNECTIONS = 900;
const ROUNDS = 7;

/** What one thing takes that is read once a window, in ns of CPU, the kernel's walk included. */
export interface InventoryResult {
  readonly what: string;
  readonly program: string;
  readonly things: number;
  readonly oursNs: number;
  readonly spreadNs: number;
  /** Of it, inside the program. */
  readonly programNs: number;
  readonly peer: string;
  /** null: the peer does not run here. */
  readonly peerNs: number | null;
  readonly peerSpreadNs: number | null;
  readonly ratio: number | null;
}

interface Walk {
  readonly cpuNs: number;
  readonly programNs: number;
  readonly runs: number;
}

/** CPU time that a command took, user and system, by the shell that waited for it; null if it fails. */
function cpuNsOf(command: string): number | null {
  const { status, stdout } = spawnSync("bash", ["-c", `(${command}) >/dev/null 2>&1 && times`], { encoding: "utf8" });
  // The shell's own in the first line, its children's in the second: 0m0.012s 0m0.034s
  const parts = stdout
    .trim()
    .split("\n")[1]
    ?.matchAll(/(\d+)m([\d.]+)s/g);
  if (status !== 0 || parts === undefined) return null;
  return [...parts].reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0) * 1e9;
}

function walkWith(probes: ProbeSet, inventory: { run(): Promise<void> }, program: string): () => Promise<Walk> {
  return async () => {
    using _statistics = new RunTimeStatistics();
    const before = probes.statistics().get(program);
    const cpu = process.cpuUsage();
    await inventory.run();
    const used = process.cpuUsage(cpu);
    const after = probes.statistics().get(program);
    return {
      cpuNs: (used.user + used.system) * 1_000,
      programNs: Number((after?.runTimeNs ?? 0n) - (before?.runTimeNs ?? 0n)),
      runs: Number((after?.runCount ?? 0n) - (before?.runCount ?? 0n)),
    };
  };
}

/** `ss` may be run several times in one shell, so that the clock's steps of a millisecond do not show. */
const SS = "for i in 1 2 3 4 5; do ss -tinpO || exit 1; done";
const SS_RUNS = 5;
const PS = "for i in 1 2 3 4 5; do ps -eLo pid,lwp,comm,cgroup,time,min_flt,maj_flt || exit 1; done";
const PS_RUNS = 5;

/** What is not hooked but read once a window, against the tools that read the same. */
export async function measureInventories(loads: Loads, objectDirectory: string): Promise<InventoryResult[]> {
  const programs = programPlans.filter(({ object }) => object === "tcp_connection" || object === "task");
  using probes = ProbeSet.load({ objectDirectory, programs });
  const inventories = probes.attach();
  const results: InventoryResult[] = [];
  const sockets = inventories.get("on_tcp_inventory");
  if (sockets !== undefined) results.push(await measureSockets(loads, walkWith(probes, sockets, "on_tcp_inventory")));
  const threads = inventories.get("on_task_inventory");
  if (threads !== undefined) results.push(await measureThreads(walkWith(probes, threads, "on_task_inventory")));
  return results;
}

/** With and without the connections in turns, because others open and close sockets meanwhile. */
async function measureSockets(loads: Loads, walk: () => Promise<Walk>): Promise<InventoryResult> {
  // Both ends are of this host.
  const things = 2 * CONNECTIONS;
  const perSocket: number[] = [];
  const insideProgram: number[] = [];
  const peerPerSocket: number[] = [];
  await walk();
  for (let round = 0; round < ROUNDS; round++) {
    const [without, peerWithout] = [await walk(), cpuNsOf(SS)];
    const held = await loads.holdConnections(CONNECTIONS);
    // What is new has to be remembered first, once.
    await walk();
    const [with_, peerWith] = [await walk(), cpuNsOf(SS)];
    await held.release();
    perSocket.push((with_.cpuNs - without.cpuNs) / things);
    insideProgram.push((with_.programNs - without.programNs) / things);
    if (peerWith !== null && peerWithout !== null) peerPerSocket.push((peerWith - peerWithout) / SS_RUNS / things);
  }
  const peer = peerPerSocket.length === 0 ? null : peerPerSocket;
  return result("an open TCP connection's end, once a window", "on_tcp_inventory", things, perSocket, insideProgram, "ss -tinp", peer);
}

async function measureThreads(walk: () => Promise<Walk>): Promise<InventoryResult> {
  await walk();
  const ours: Walk[] = [];
  const peer: (number | null)[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await walk());
    peer.push(cpuNsOf(PS));
  }
  const things = median(ours.map(({ runs }) => runs));
  const counted = Number(execFileSync("sh", ["-c", "ls -d /proc/[0-9]*/task/[0-9]* | wc -l"], { encoding: "utf8" }));
  const answered = peer.filter((ns) => ns !== null);
  return result(
    "a thread, once a window",
    "on_task_inventory",
    things,
    ours.map(({ cpuNs, runs }) => cpuNs / runs),
    ours.map(({ programNs, runs }) => programNs / runs),
    "ps -eLo …,time,min_flt,maj_flt",
    answered.length === 0 ? null : answered.map((ns) => ns / PS_RUNS / counted),
  );
}

function result(
  what: string,
  program: string,
  things: number,
  ours: readonly number[],
  inside: readonly number[],
  peer: string,
  peerNs: readonly number[] | null,
): InventoryResult {
  const oursNs = median(ours);
  return {
    what,
    program,
    things,
    oursNs,
    spreadNs: spread(ours),
    programNs: median(inside),
    peer,
    peerNs: peerNs === null ? null : median(peerNs),
    peerSpreadNs: peerNs === null ? null : spread(peerNs),
    ratio: peerNs === null ? null : oursNs / median(peerNs),
  };
}
