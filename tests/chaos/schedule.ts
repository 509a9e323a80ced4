// SPDX-License-Identifier: Apache-2.0
import { Random } from "../../apps/simulator/src/random.ts";

/** What can go wrong. A `cut` closes connections, a `stall` leaves them open and moves nothing, a `duplicate` lets another node hear the same bytes. */
export const faultKinds = [
  "cut",
  "delay",
  "stall",
  "duplicate",
  "kill-agent",
  "torn-temporary",
  "torn-progress",
  "torn-frame",
  "kill-api",
  "kill-clickhouse",
  "kill-simulator",
  "cut-clickhouse",
  "stall-clickhouse",
  "disk-full",
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  /** Milliseconds after the start. */
  readonly atMs: number;
  readonly kind: FaultKind;
  /** Who is hit; see `Targets`. */
  readonly target: string;
  /** How long: until a killed process starts again, a stalled connection moves, a full disk is freed. */
  readonly lengthMs: number;
}

/** Names of what can be hit. */
export interface Targets {
  readonly agents: readonly string[];
  readonly apis: readonly string[];
}

interface Plan {
  /** How often, compared with the others. */
  readonly weight: number;
  readonly lengthMs: readonly [min: number, max: number];
  readonly targets: (targets: Targets) => readonly string[];
}

const senders = ({ agents }: Targets): readonly string[] => [...agents, "simulator"];
const agents = (targets: Targets): readonly string[] => targets.agents;

const plans: Readonly<Record<FaultKind, Plan>> = {
  cut: { weight: 40, lengthMs: [0, 0], targets: senders },
  delay: { weight: 22, lengthMs: [1_000, 5_000], targets: senders },
  stall: { weight: 18, lengthMs: [1_000, 5_000], targets: senders },
  duplicate: { weight: 14, lengthMs: [2_000, 6_000], targets: senders },
  "kill-agent": { weight: 26, lengthMs: [300, 3_000], targets: agents },
  "torn-temporary": { weight: 8, lengthMs: [300, 2_000], targets: agents },
  "torn-progress": { weight: 8, lengthMs: [300, 2_000], targets: agents },
  "torn-frame": { weight: 5, lengthMs: [300, 2_000], targets: agents },
  "kill-api": { weight: 16, lengthMs: [300, 4_000], targets: ({ apis }) => apis },
  "kill-clickhouse": { weight: 10, lengthMs: [300, 4_000], targets: () => ["clickhouse"] },
  "kill-simulator": { weight: 6, lengthMs: [300, 3_000], targets: () => ["simulator"] },
  "cut-clickhouse": { weight: 16, lengthMs: [0, 0], targets: ({ apis }) => apis },
  "stall-clickhouse": { weight: 8, lengthMs: [500, 4_000], targets: ({ apis }) => apis },
  "disk-full": { weight: 4, lengthMs: [2_000, 7_000], targets: () => ["clickhouse"] },
};

/** A process that was started again gets so long before it is hit again. */
const RECOVERY_MS = 1_500;

/**
 * The faults of a seed, in order, `count` of them spread over `lengthMs`: the same seed gives the same schedule. Nothing is hit while it is
 * still down from the fault before, so every fault finds something to hit.
 * @param without kinds this machine cannot do
 */
export function makeSchedule(seed: number, count: number, lengthMs: number, targets: Targets, without: readonly FaultKind[] = []): Fault[] {
  const random = new Random();
  random.seed(seed);
  const kinds = faultKinds.filter((kind) => !without.includes(kind));
  const busyUntilMs = new Map<string, number>();
  const faults: Fault[] = [];
  for (let index = 0; index < count; index++) {
    const atMs = Math.floor(((index + random.next()) / count) * lengthMs);
    // The first of each kind come in turn, so that a short run has them all.
    for (let attempt = 0; ; attempt++) {
      const kind = index < kinds.length && attempt === 0 ? (kinds[index] as FaultKind) : pick(random, kinds);
      const plan = plans[kind];
      const free = plan.targets(targets).filter((target) => (busyUntilMs.get(busyKey(kind, target)) ?? 0) <= atMs);
      const target = free[Math.floor(random.next() * free.length)];
      // A cut is always possible; with everything down it hits what comes back up.
      if (target === undefined && attempt < 50) continue;
      const [min, max] = plan.lengthMs;
      const lastsMs = Math.round(min + (max - min) * random.next());
      const hit = target ?? (plan.targets(targets)[0] as string);
      busyUntilMs.set(busyKey(kind, hit), atMs + lastsMs + (lastsMs > 0 ? RECOVERY_MS : 0));
      faults.push({ atMs, kind, target: hit, lengthMs: lastsMs });
      break;
    }
  }
  return faults;
}

/** Faults of a process exclude each other; those of its connections exclude only those of the same connections. */
function busyKey(kind: FaultKind, target: string): string {
  const isProcess = kind.startsWith("kill") || kind.startsWith("torn") || kind === "disk-full";
  return `${isProcess ? "process" : kind.endsWith("clickhouse") ? "storage" : "connections"} ${target}`;
}

function pick(random: Random, kinds: readonly FaultKind[]): FaultKind {
  const total = kinds.reduce((sum, kind) => sum + plans[kind].weight, 0);
  let at = random.next() * total;
  for (const kind of kinds) {
    at -= plans[kind].weight;
    if (at < 0) return kind;
  }
  return kinds[0] as FaultKind;
}
