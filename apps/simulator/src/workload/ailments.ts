// SPDX-License-Identifier: Apache-2.0
import type { SimulatedHost } from "../fleet.ts";
import type { Incident, IncidentKind } from "../incident.ts";

/** What goes wrong on a host in a window, whether it is ill for good or an incident passes over it. */
export interface Ailments {
  /** Segments are lost: on the way to the database, or on all ways. */
  readonly loss: "none" | "database" | "all";
  /** Round trips take long everywhere. */
  readonly slowRoundTrips: boolean;
  /** Peers refuse connects. */
  readonly refused: boolean;
  /** Calls are slow and fail. */
  readonly failingCalls: boolean;
  /** The disk takes long, and whoever waits for it waits. */
  readonly slowDisk: boolean;
  /** The first resolver loses queries or fails. */
  readonly sickResolver: boolean;
  /** The role's main process runs in a loop and takes what CPU there is. */
  readonly busyCpu: boolean;
  /** Memory runs out; the kernel kills the main process now and then. */
  readonly noMemory: boolean;
}

export function ailmentsOf({ sickness, role }: SimulatedHost, incidents: readonly Incident[], startMs: number, windowMs: number): Ailments {
  const has = (kind: IncidentKind): boolean =>
    incidents.some(
      (incident) =>
        incident.kind === kind &&
        incident.startMs < startMs + windowMs &&
        incident.endMs > startMs &&
        (incident.role === undefined || incident.role === role),
    );
  return {
    loss: has("retransmits") ? "all" : sickness === "lossy" ? "database" : "none",
    slowRoundTrips: has("rtt"),
    refused: sickness === "refused" || has("connect-failures"),
    failingCalls: has("syscalls"),
    slowDisk: sickness === "slow-disk" || has("disk"),
    sickResolver: sickness === "slow-dns" || has("dns"),
    busyCpu: sickness === "busy-cpu" || has("cpu"),
    noMemory: sickness === "out-of-memory" || has("oom"),
  };
}
