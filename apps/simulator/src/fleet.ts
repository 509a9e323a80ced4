// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { fractionOf } from "./random.ts";

/** What is wrong with a host for as long as the simulation lasts. */
export type Sickness = "lossy" | "slow-disk" | "refused" | "slow-dns" | "busy-cpu" | "out-of-memory";

/** A made-up host. Its name starts with `sim-` wherever it is shown. */
export interface SimulatedHost {
  readonly index: number;
  readonly name: string;
  readonly role: Role;
  /** 64 hex digits, stable for seed and index: enrolling again gives the same host. */
  readonly machineKey: string;
  readonly bootId: string;
  /** Few hosts have one, so that there is something to find. */
  readonly sickness: Sickness | undefined;
  /** `env`, `region` and `role`. */
  readonly tags: Readonly<Record<"env" | "region" | "role", string>>;
  /** How much busier than the middle of the fleet, 0.2 to 8: most hosts are near 1, a few far above. */
  readonly load: number;
  /** Which of its role's sets of processes and peers it has, 0 to `VARIANTS - 1`. */
  readonly variant: number;
  /** Under which other hosts know it. */
  readonly address: string;
  /** What it is, by the name of the fact. */
  readonly facts: ReadonlyMap<string, string>;
}

export const roles = ["web", "api", "db", "cache", "batch"] as const;
export type Role = (typeof roles)[number];

/** Most hosts of a fleet are in production; those of one environment are spread over the regions. */
const environments = ["prod", "prod", "prod", "prod", "prod", "prod", "prod", "staging", "staging", "test"] as const;
const regions = ["eu-central", "us-east", "ap-south"] as const;

/** Sets of processes and peers per role. Hosts of one service talk to the same peers, so sharing a set is what a real fleet does too. */
export const VARIANTS = 32;

/**
 * Hosts of a role that talk to each other's: the n-th four of the web hosts to the n-th four of the API's, and so on, so that both ends of a connection tell of it.
 * The variant follows from it; in fleets of more than `CELL_HOSTS * VARIANTS` hosts a role some conversations have one end only.
 */
export const CELL_HOSTS = 4;

/** First two numbers of a role's addresses. */
export const networkOf: Readonly<Record<Role, string>> = { web: "10.1", api: "10.2", db: "10.3", cache: "10.4", batch: "10.5" };

const ADDRESSES_PER_NETWORK = 250;

/** Of every simulated host. */
export const CPUS = 8;
export const MEMORY_BYTES = 32 * 1024 ** 3;
/** Hosts that are machines of their own, whose processors have a meter of energy. */
const METERED_SHARE = 0.4;

/** The address of the `ordinal`-th host in a network, from 0. */
export function addressIn(network: string, ordinal: number): string {
  return `${network}.${Math.floor(ordinal / ADDRESSES_PER_NETWORK) % 256}.${1 + (ordinal % ADDRESSES_PER_NETWORK)}`;
}

/** One host in fifty is sick, and some always are, so that the smallest fleet has something to find. */
const SICK_SHARE = 0.02;
const sicknesses: readonly Sickness[] = ["lossy", "slow-disk", "refused", "slow-dns", "busy-cpu", "out-of-memory"];
/** sim-web-01, sim-db-02, sim-api-03, sim-cache-04 and sim-batch-04: of twenty hosts some have each of what shows in several signals. */
const alwaysSick: ReadonlyMap<number, Sickness> = new Map([
  [0, "lossy"],
  [7, "slow-disk"],
  [11, "slow-dns"],
  [18, "busy-cpu"],
  [19, "out-of-memory"],
]);

/** Algorithms of congestion control that hosts have. */
export const CONGESTION_CONTROL = ["cubic", "bbr"] as const;

/** The fleet of a seed: the same hosts every time. */
export function makeFleet(seed: number, hostCount: number): SimulatedHost[] {
  return Array.from({ length: hostCount }, (_, index) => {
    const role = roles[index % roles.length] as Role;
    const digest = createHash("sha256").update(`waggle simulated host ${seed} ${index}`).digest("hex");
    const isSick = fractionOf(seed, index, 1) < SICK_SHARE;
    const sickness = alwaysSick.get(index) ?? (isSick ? sicknesses[Math.floor(fractionOf(seed, index, 2) * sicknesses.length)] : undefined);
    const ordinal = Math.floor(index / roles.length);
    const address = addressIn(networkOf[role], ordinal);
    return {
      index,
      name: `sim-${role}-${String(ordinal + 1).padStart(2, "0")}`,
      role,
      machineKey: digest,
      bootId: [digest.slice(0, 8), digest.slice(8, 12), digest.slice(12, 16), digest.slice(16, 20), digest.slice(20, 32)].join("-"),
      sickness,
      tags: {
        env: environments[Math.floor(fractionOf(seed, index, 5) * environments.length)] as string,
        region: regions[Math.floor(fractionOf(seed, index, 6) * regions.length)] as string,
        role,
      },
      // Pareto with a cap: the middle is near 1.
      load: Math.min(8, 0.1 + 0.5 / (1 - fractionOf(seed, index, 3)) ** 0.7),
      variant: Math.floor(ordinal / CELL_HOSTS) % VARIANTS,
      address,
      facts: factsOf(sickness, address, fractionOf(seed, index, 4)),
    };
  });
}

/** What sets sick hosts apart, so that looking for it finds something; a few healthy ones have it too. */
function factsOf(sickness: Sickness | undefined, address: string, chance: number): ReadonlyMap<string, string> {
  return new Map([
    ["address:eth0", address],
    ["kernel_release", sickness === "lossy" || chance < 0.02 ? "6.8.0-49-generic" : "6.8.0-51-generic"],
    ["distribution", "Ubuntu 24.04.1 LTS"],
    ["cpu_model", chance < 0.4 ? "AMD EPYC 9654 96-Core Processor" : "Intel(R) Xeon(R) Platinum 8480+"],
    ["block_device:nvme0n1:scheduler", sickness === "slow-disk" || (chance > 0.5 && chance < 0.52) ? "bfq" : "none"],
    ["sysctl:net.ipv4.tcp_congestion_control", chance > 0.3 && chance < 0.6 ? CONGESTION_CONTROL[1] : CONGESTION_CONTROL[0]],
    ["cpu_online", String(CPUS)],
    ["memory_bytes", String(MEMORY_BYTES)],
    ["virtual_machine", chance < METERED_SHARE ? "no" : "yes"],
  ]);
}
