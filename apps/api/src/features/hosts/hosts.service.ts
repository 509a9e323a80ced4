// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { nearestName } from "@waggle/query";
import { type CoverageState, coverageStates, hostSignals } from "@waggle/signals";
import { AppError } from "../../common/app-error.ts";
import { type Caller, requireScope } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { Cursors } from "../lists/cursors.ts";
import { hostState } from "./host-state.ts";
import { type AgentCostRow, type HostRow, HostsRepository, type RunRow, type SignalStateRow } from "./hosts.repository.ts";
import type { Host, HostList, HostListParameters } from "./hosts.schemas.ts";

/** States and costs older than this are history, not the host's present. */
export const PRESENT_MS = 15 * 60_000;
const RUN_LOOK_BACK_MS = 3_600_000;

@Injectable()
export class HostsService {
  constructor(
    @Inject(HostsRepository) private readonly repository: HostsRepository,
    @Inject(Cursors) private readonly cursors: Cursors,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** A page of the hosts of the caller's organisation. Throws VALIDATION_FAILED, STORAGE_UNAVAILABLE. */
  async list(caller: Caller, { q, sort, limit, cursor }: HostListParameters): Promise<HostList> {
    requireScope(caller, "hosts:read");
    const { organisationId } = caller;
    const purpose = { organisationId, list: "hosts", of: { q, sort } };
    const after = cursor === undefined ? null : this.cursors.open(purpose, cursor);
    const [rows, total] = await Promise.all([
      // One more than the page tells whether there is another.
      this.repository.listPage(organisationId, {
        q,
        sort,
        limit: limit + 1,
        after: after === null ? null : { key: String(after[0]), id: String(after[1]) },
      }),
      this.repository.count(organisationId, q),
    ]);
    const shown = rows.slice(0, limit);
    const last = shown.at(-1);
    const hasMore = rows.length > limit;
    const next = hasMore && last !== undefined ? this.cursors.seal(purpose, [last.key, last.host.id]) : null;
    // Of all hosts their ids need not be told.
    const isAll = after === null && !hasMore && q === "";
    const hosts = shown.map(({ host }) => host);
    const data = await this.describe(caller, hosts, isAll ? null : hosts.map(({ id }) => id));
    return { data, page: { next, hasMore, total } };
  }

  /** One host by id or name. Throws HOST_NOT_FOUND, also for another organisation's. */
  async getOrThrow(caller: Caller, idOrName: string): Promise<Host> {
    const row = await this.getRowOrThrow(caller, idOrName);
    return (await this.describe(caller, [row], [row.id]))[0] as Host;
  }

  /** What Postgres has of one host by id or name. Throws HOST_NOT_FOUND, also for another organisation's. */
  async getRowOrThrow(caller: Caller, idOrName: string): Promise<HostRow> {
    requireScope(caller, "hosts:read");
    const row = await this.repository.find(caller.organisationId, idOrName);
    if (row === undefined) {
      const suggestion = nearestName(
        idOrName,
        (await this.repository.list(caller.organisationId)).map((candidate) => candidate.name),
      );
      throw new AppError(
        "HOST_NOT_FOUND",
        `There is no host \`${idOrName}\` in ${caller.organisationName}${suggestion === undefined ? "." : `; did you mean ${suggestion}?`} GET /api/v1/hosts lists them.`,
      );
    }
    return row;
  }

  private async describe(caller: Caller, rows: readonly HostRow[], hostIds: readonly string[] | null): Promise<Host[]> {
    if (rows.length === 0) return [];
    const nowMs = this.clock.now();
    const tenant = caller.organisationId;
    const [states, costs, runs] = await Promise.all([
      this.repository.listSignalStates(tenant, hostIds, nowMs - PRESENT_MS),
      this.repository.listAgentCosts(tenant, hostIds, nowMs - PRESENT_MS),
      this.repository.listRuns(tenant, hostIds, nowMs - RUN_LOOK_BACK_MS),
    ]);
    const statesByHost = Map.groupBy(states, (state) => state.host_id);
    const costByHost = new Map(costs.map((cost) => [cost.host_id, cost]));
    const runByHost = new Map(runs.map((run) => [run.host_id, run]));
    return rows.map((row) => rowToHost(row, statesByHost.get(row.id) ?? [], costByHost.get(row.id), runByHost.get(row.id), nowMs));
  }
}

function rowToHost(row: HostRow, states: readonly SignalStateRow[], cost: AgentCostRow | undefined, run: RunRow | undefined, nowMs: number): Host {
  const lastMs = row.lastWindowEndAt?.getTime() ?? null;
  const state = hostState(lastMs, row.windowMs, nowMs);
  const perCore = (ns: number | undefined): number | null =>
    cost === undefined || ns === undefined || cost.length_ms === 0 ? null : ns / (cost.length_ms * 1e6);
  return {
    id: row.id,
    name: row.name,
    simulated: row.simulated,
    state,
    lastSeenAt: toTime(lastMs),
    stateSince: toTime(state === "waiting" ? row.enrolledAt.getTime() : state === "reporting" ? runStart(run, row.windowMs, nowMs) : lastMs),
    enrolledAt: row.enrolledAt.toISOString(),
    bootId: row.bootId,
    kernel: row.kernel,
    distro: row.distribution,
    arch: row.architecture,
    cpus: row.cpus,
    memoryBytes: row.memoryBytes,
    agentVersion: row.agentVersion,
    tags: row.tags,
    ownTags: row.ownTags,
    windowSeconds: row.windowMs / 1_000,
    clockOffsetMs: row.clockOffsetMs,
    signals: signalsOf(states),
    agent: {
      rssBytes: cost?.rss_bytes ?? null,
      cpuRatio: perCore(cost?.cpu_ns),
      kernelRatio: perCore(cost?.kernel_ns),
      mapBytes: cost?.map_bytes ?? null,
      spoolFrames: row.spoolFrames,
      refusedFrames: row.refusedFrames,
    },
  };
}

/** Every signal that agents report; of those the agent did not mention we know nothing, and say that. */
function signalsOf(states: readonly SignalStateRow[]): Host["signals"] {
  const byName = new Map(states.map((state) => [state.signal_name, state]));
  return hostSignals
    .filter((signal) => signal.name !== "agent_coverage")
    .map((signal) => {
      const row = byName.get(signal.name);
      if (row === undefined)
        return { name: signal.name, state: "unknown" as const, reason: "the agent said nothing about this signal in the last 15 min" };
      return { name: signal.name, state: toCoverageState(row.newest_state), reason: row.newest_reason };
    });
}

/** An agent of a later version may know states that this API does not. */
export function toCoverageState(state: string): CoverageState | "unknown" {
  return (coverageStates as readonly string[]).includes(state) ? (state as CoverageState) : "unknown";
}

/** Start of the run without a gap; null if it began before the look-back. */
function runStart(run: RunRow | undefined, windowMs: number, nowMs: number): number | null {
  if (run === undefined) return null;
  if (run.run_ms > 0) return run.run_ms;
  return run.first_ms > nowMs - RUN_LOOK_BACK_MS + 3 * windowMs ? run.first_ms : null;
}

function toTime(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
