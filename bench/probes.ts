// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { RunTimeStatistics } from "../apps/agent/src/libbpf/statistics.ts";
import { ProbeSet } from "../apps/agent/src/probes/probe-set.ts";
import { KernelSource } from "../apps/agent/src/snapshot/window-reader.ts";
import { bpfPackage, emptyName, emptyPlans, objectDirectory } from "./empty-programs.ts";
import { type InventoryResult, measureInventories } from "./probe-inventories.ts";
import { Loads } from "./probe-loads.ts";
import { type PeerPlan, type Subject, subjects, uncompared } from "./probe-subjects.ts";
import { costBetween, type ProgramCost, type ProgramRuns } from "./program-costs.ts";
import type { BenchResult, Measurement } from "./report.ts";
import { median, spread } from "./statistics.ts";
import { Tracers } from "./tracer.ts";

const ROUNDS = 3;
/** After this the kernel has let go of what ended with the load (RCU), so that the programs that hang on that have run too. */
const GRACE_MS = 300;
/** What the profiler asks for (apps/agent/src/probes/probe-set.ts). */
const SAMPLE_HZ = 49;

/** ns per event of one round. */
interface Price {
  readonly ns: number;
  readonly events: number;
  /** ns and runs per event of each program. */
  readonly programs: Readonly<Record<string, { readonly nsPerRun: number; readonly runsPerEvent: number }>>;
}

interface PeerState {
  readonly plan: PeerPlan;
  readonly prices: Price[];
  /** Why it does not run here; null: it does. */
  failure: string | null;
}

interface SubjectState {
  readonly subject: Subject;
  readonly ours: Price[];
  readonly floor: Price[];
  readonly peers: PeerState[];
}

/** What one event takes, by the runs of the program that runs once for each. Null: it never ran. */
function priceOf(costs: ReadonlyMap<string, ProgramCost>, names: readonly string[], per: string, runsPerEvent: number): Price | null {
  const events = (costs.get(per)?.runs ?? 0) / runsPerEvent;
  if (events === 0) return null;
  const parts = names.map((name) => [name, costs.get(name) ?? { totalNs: 0, runs: 0 }] as const);
  return {
    ns: parts.reduce((sum, [, { totalNs }]) => sum + totalNs, 0) / events,
    events,
    programs: Object.fromEntries(
      parts.map(([name, { totalNs, runs }]) => [name, { nsPerRun: runs === 0 ? 0 : totalNs / runs, runsPerEvent: runs / events }]),
    ),
  };
}

async function under(load: () => Promise<void>, read: () => ReadonlyMap<string, ProgramRuns>): Promise<Map<string, ProgramCost>> {
  using _statistics = new RunTimeStatistics();
  const before = read();
  await load();
  await sleep(GRACE_MS);
  return costBetween(before, read());
}

/** Ours, and programs that do nothing, on all loads. */
async function ownRound(states: readonly SubjectState[], loads: Loads): Promise<{ windowMs: number; refused: Map<string, string> }> {
  using source = await KernelSource.open({ objectDirectory, names: { unitOf: () => "" } });
  const refused = new Map(source.programs().flatMap(({ program, attached, failure }) => (attached ? [] : [[program, failure?.message ?? ""]])));
  await source.readWindow();
  let windowMs = Number.NaN;
  for (const { subject, ours } of states) {
    const costs = await under(
      () => subject.load(loads),
      () => source.statistics(),
    );
    const price = priceOf(costs, subject.programs, subject.per, subject.runsPerEvent ?? 1);
    if (price !== null) ours.push(price);
    // Between loads, so that each finds its maps as a window does.
    windowMs = (await source.readWindow()).readMs;
  }
  return { windowMs, refused };
}

async function emptyRound(states: readonly SubjectState[], loads: Loads): Promise<void> {
  const hooks = new Set(states.flatMap(({ subject }) => subject.programs));
  const programs = emptyPlans((name) => hooks.has(name));
  using probes = ProbeSet.load({ objectDirectory, programs });
  probes.attach();
  const failed = probes.states().find(({ attached }) => !attached);
  if (failed !== undefined) throw new Error(failed.failure?.message);
  for (const { subject, floor } of states) {
    const costs = await under(
      () => subject.load(loads),
      () => probes.statistics(),
    );
    const price = priceOf(costs, subject.programs.map(emptyName), emptyName(subject.per), subject.runsPerEvent ?? 1);
    if (price !== null) floor.push(price);
  }
}

async function peerRound(states: readonly SubjectState[], loads: Loads): Promise<void> {
  for (const { subject, peers } of states) {
    for (const peer of peers) {
      if (peer.failure !== null) continue;
      const started = await Tracers.start(peer.plan.commands);
      if (!(started instanceof Tracers)) {
        peer.failure = started.why;
        continue;
      }
      await using tracers = started;
      const costs = await under(
        () => subject.load(loads),
        () => tracers.programs(),
      );
      const price = priceOf(costs, [...costs.keys()], peer.plan.per, subject.runsPerEvent ?? 1);
      if (price === null) peer.failure = `none of its programs is named ${peer.plan.per}: ${[...costs.keys()].join(", ")}`;
      else peer.prices.push(price);
    }
  }
}

const nsOf = (prices: readonly Price[]): number => median(prices.map(({ ns }) => ns));
/** Above what programs take that do nothing; a peer's as many runs per event at the price of ours. */
function net(ns: number, prices: readonly Price[], floorPerRun: number): number {
  const runs = median(prices.map(({ programs }) => Object.values(programs).reduce((sum, { runsPerEvent }) => sum + runsPerEvent, 0)));
  return Math.max(0, ns - runs * floorPerRun);
}

function report({ subject, ours, floor, peers }: SubjectState): Record<string, unknown> {
  if (ours.length === 0) return { subject: subject.name, programs: subject.programs, ours: null, why: "it did not run under its load", peer: null };
  const oursNs = nsOf(ours);
  const floorRuns = floor.flatMap(({ programs }) => Object.values(programs).map(({ nsPerRun }) => nsPerRun)).filter((ns) => ns > 0);
  const floorPerRun = floorRuns.length === 0 ? 0 : median(floorRuns);
  const oursNetNs = net(oursNs, ours, floorPerRun);
  const answers = peers.map(({ plan, prices, failure }) => {
    if (prices.length === 0) return { peer: plan.name, nsPerEvent: null, why: failure ?? "it saw no event" };
    const ns = nsOf(prices);
    const netNs = net(ns, prices, floorPerRun);
    return {
      peer: plan.name,
      nsPerEvent: ns,
      spreadNs: spread(prices.map((price) => price.ns)),
      netNsPerEvent: netNs,
      ratio: oursNs / ns,
      netRatio: netNs === 0 ? null : oursNetNs / netNs,
      lacks: plan.lacks,
      programs: prices.at(-1)?.programs,
    };
  });
  return {
    subject: subject.name,
    signals: subject.signals,
    programs: subject.programs,
    nsPerEvent: oursNs,
    spreadNs: spread(ours.map(({ ns }) => ns)),
    netNsPerEvent: oursNetNs,
    floorNsPerRun: floorPerRun,
    events: median(ours.map(({ events }) => events)),
    perProgram: Object.fromEntries(
      subject.programs.map((name) => [name, median(ours.map(({ programs }) => programs[name]?.nsPerRun ?? Number.NaN))]),
    ),
    peers: answers,
    ...(answers.length === 0 ? { peer: null, why: subject.why ?? "" } : {}),
  };
}

function lines(states: readonly SubjectState[]): Measurement[] {
  return states.flatMap(({ subject, ours, peers }): Measurement[] => {
    if (ours.length === 0) return [];
    const mine = { what: subject.name, value: nsOf(ours), unit: "ns" };
    const answered = peers.filter(({ prices }) => prices.length > 0);
    if (answered.length === 0) return [mine];
    return answered.map(({ plan, prices }) => ({ ...mine, against: { what: plan.name, value: nsOf(prices) } }));
  });
}

/** Price of each program per event, against doing nothing on the same hook and against other tracers asking the same. Needs root. */
export async function run(): Promise<BenchResult> {
  if (process.getuid?.() !== 0) throw new Error("bench probes needs root: it switches on the kernel's BPF statistics");
  execFileSync("make", ["-s", "-C", bpfPackage, "bench"]);
  using loads = await Loads.open();
  // Parts of names, for whoever works on one program.
  const only = process.env["WAGGLE_BENCH_SUBJECTS"]?.split(",");
  const chosen = subjects.filter(({ name }) => only === undefined || only.some((part) => name.includes(part)));
  const states = chosen.map(
    (subject): SubjectState => ({ subject, ours: [], floor: [], peers: subject.peers.map((plan) => ({ plan, prices: [], failure: null })) }),
  );
  let windowMs: number[] = [];
  let refused = new Map<string, string>();
  for (let round = 0; round < ROUNDS; round++) {
    await emptyRound(states, loads);
    const own = await ownRound(states, loads);
    windowMs = [...windowMs, own.windowMs];
    refused = own.refused;
    await peerRound(states, loads);
  }
  const inventories: InventoryResult[] = only === undefined ? await measureInventories(loads, objectDirectory) : [];
  const profile = states.find(({ subject }) => subject.programs.includes("on_cpu_clock"));
  const profileShare = profile === undefined || profile.ours.length === 0 ? null : (nsOf(profile.ours) * SAMPLE_HZ) / 1e9;

  const measurements = lines(states);
  for (const { what, oursNs, peer, peerNs } of inventories)
    measurements.push({ what, value: oursNs, unit: "ns", ...(peerNs === null ? {} : { against: { what: peer, value: peerNs } }) });
  if (profileShare !== null)
    measurements.push({
      what: `profiler at ${SAMPLE_HZ} Hz`,
      value: profileShare * 100,
      unit: "% of a core",
      against: { what: "limit", value: 0.1 },
    });
  measurements.push({ what: "flip, grace period and read of one window", value: median(windowMs), unit: "ms" });
  return {
    title: "Price of the probes, ns per event",
    method: `The kernel's own statistics of run time, its two clock reads included, on the same load; medians of ${ROUNDS} rounds in turns. A ratio is ours over the peer's.`,
    measurements,
    json: {
      programs: states.map(report),
      inventories,
      uncompared: uncompared.map((entry) => ({ ...entry, peer: null })),
      refused: Object.fromEntries(refused),
      profilerShareOfCore: profileShare,
      windowReadMs: median(windowMs),
      rounds: ROUNDS,
    },
  };
}
