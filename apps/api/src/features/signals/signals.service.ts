// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { type CoverageState, catalogue, dimensions, reportingStates, SERVER_HOST } from "@waggle/signals";
import { type Caller, requireScope } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { HostsRepository } from "../hosts/hosts.repository.ts";
import { toCoverageState } from "../hosts/hosts.service.ts";
import { OFFLINE_AFTER_MS } from "../query/coverage.ts";
import { mainUnit, measuresOf } from "../query/measures.ts";
import type { SignalEntry } from "./signals.schemas.ts";

/** The catalogue, and how well each signal is covered at present. */
@Injectable()
export class SignalsService {
  constructor(
    @Inject(HostsRepository) private readonly hosts: HostsRepository,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** Throws STORAGE_UNAVAILABLE: without coverage the list would pretend. */
  async list(caller: Caller): Promise<SignalEntry[]> {
    requireScope(caller, "metrics:read");
    const [hosts, rows] = await Promise.all([
      this.hosts.list(caller.organisationId),
      this.hosts.listSignalStates(caller.organisationId, null, this.clock.now() - OFFLINE_AFTER_MS),
    ]);
    const hostIds = new Set(hosts.map((host) => host.id));
    const statesBySignal = Map.groupBy(
      rows.filter((row) => hostIds.has(row.host_id)),
      (row) => row.signal_name,
    );
    // Every stored window carries coverage rows, so whoever sent any speaks for agent_coverage itself.
    const speaking = new Set(rows.filter((row) => hostIds.has(row.host_id)).map((row) => row.host_id)).size;
    return catalogue.map((signal) => {
      const states: Partial<Record<CoverageState | "unknown", number>> = {};
      const count = (state: CoverageState | "unknown", by = 1): void => {
        if (by > 0) states[state] = (states[state] ?? 0) + by;
      };
      const isServers = signal.source === "server";
      const expected = isServers ? 1 : hosts.length;
      const known = isServers
        ? rows.filter((row) => row.host_id === SERVER_HOST && row.signal_name === signal.name)
        : (statesBySignal.get(signal.name) ?? []);
      if (signal.name === "agent_coverage") count("exact", speaking);
      else for (const row of known) count(toCoverageState(row.newest_state));
      count("unknown", expected - (signal.name === "agent_coverage" ? speaking : known.length));
      return {
        name: signal.name,
        kind: signal.kind,
        family: signal.family,
        unit: mainUnit(signal),
        question: signal.question,
        help: signal.help,
        dimensions: signal.dimensions.map((name) => ({
          name,
          label: dimensions[name].label,
          help: dimensions[name].help,
          values: dimensions[name].values === undefined ? null : [...dimensions[name].values],
        })),
        measures: measuresOf(signal).map((measure) => ({ ...measure, aggregates: [...measure.aggregates] })),
        hooks: [...signal.hooks],
        caveats: [...signal.caveats],
        coverage: { hosts: expected, reporting: reportingStates.reduce((sum, state) => sum + (states[state] ?? 0), 0), states },
      };
    });
  }
}
