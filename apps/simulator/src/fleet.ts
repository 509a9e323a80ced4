// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";

/** A made-up host. Its name starts with `sim-` wherever it is shown. */
export interface SimulatedHost {
  readonly index: number;
  readonly name: string;
  readonly role: Role;
  /** 64 hex digits, stable for seed and index: enrolling again gives the same host. */
  readonly machineKey: string;
  readonly bootId: string;
  /** True for the few hosts that lose packets to their database, so that there is something to find. */
  readonly isLossy: boolean;
}

export const roles = ["web", "api", "db", "cache", "batch"] as const;
export type Role = (typeof roles)[number];

/** The fleet of a seed: the same hosts every time. */
export function makeFleet(seed: number, hostCount: number): SimulatedHost[] {
  return Array.from({ length: hostCount }, (_, index) => {
    const role = roles[index % roles.length] as Role;
    const digest = createHash("sha256").update(`waggle simulated host ${seed} ${index}`).digest("hex");
    return {
      index,
      name: `sim-${role}-${String(Math.floor(index / roles.length) + 1).padStart(2, "0")}`,
      role,
      machineKey: digest,
      bootId: [digest.slice(0, 8), digest.slice(8, 12), digest.slice(12, 16), digest.slice(16, 20), digest.slice(20, 32)].join("-"),
      isLossy: role === "web" && index % 3 === 0,
    };
  });
}
