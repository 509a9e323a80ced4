// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow } from "@waggle/signals";
import type { Role, SimulatedHost } from "../fleet.ts";
import type { HostWindow } from "./host-window.ts";
import { NamedRows, type RowName } from "./named-rows.ts";
import type { HostProcess } from "./processes.ts";
import type { RowShares } from "./row-shares.ts";
import { CounterTable, HistogramTable } from "./tables.ts";

/** What families are made from. */
export interface FamilyContext {
  readonly seed: number;
  readonly shares: RowShares;
  /** By role. */
  readonly processes: (role: Role) => readonly HostProcess[];
}

/** Makes up the rows of signals that belong together. */
export interface SignalFamily {
  /** Adds the window's rows, and what other families tell of the same. */
  make(window: HostWindow): void;
}

/** What hosts that are alike have in common, made when it is first asked for. */
export class Templates<Template> {
  readonly #made = new Map<string, Template>();
  readonly #keyOf: (host: SimulatedHost) => string;
  readonly #make: (host: SimulatedHost) => Template;

  constructor(keyOf: (host: SimulatedHost) => string, make: (host: SimulatedHost) => Template) {
    this.#keyOf = keyOf;
    this.#make = make;
  }

  of(host: SimulatedHost): Template {
    const key = this.#keyOf(host);
    let template = this.#made.get(key);
    if (template === undefined) {
      template = this.#make(host);
      this.#made.set(key, template);
    }
    return template;
  }
}

export const byRole = (host: SimulatedHost): string => host.role;
export const byRoleAndVariant = (host: SimulatedHost): string => `${host.role}-${host.variant}`;

export function named(signal: string, names: readonly RowName[]): NamedRows {
  return new NamedRows(getSignalOrThrow(signal), names);
}

/** Tables with room for as many rows as a window may have of the signal, and as many again where something goes wrong. */
export function counterTable(signal: string, shares: RowShares): CounterTable {
  return new CounterTable(signal, capacityOf(signal, shares));
}

export function histogramTable(signal: string, shares: RowShares): HistogramTable {
  return new HistogramTable(signal, capacityOf(signal, shares));
}

function capacityOf(signal: string, shares: RowShares): number {
  return shares.most(signal) * 4 + 64;
}

/** Rounds up or down by chance, so that what is rare does happen. */
export function roundByChance(value: number, fraction: number): number {
  return Math.floor(value + fraction);
}
