// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";
import { Inject, Injectable } from "@nestjs/common";
import { nearestName } from "@waggle/query";
import { hostSignals } from "@waggle/signals";
import { AppError, type FieldProblem } from "../../common/app-error.ts";
import { type Caller, requireScope } from "../../common/caller.ts";
import { Log } from "../../common/log.ts";
import { AuditRepository, type AuditTarget } from "../audit/audit.repository.ts";
import type { HostRow } from "../hosts/hosts.repository.ts";
import { HostsService } from "../hosts/hosts.service.ts";
import { WatchLeases } from "../watch/watch-leases.service.ts";
import { HostSettingsRepository, type StoredSettings } from "./host-settings.repository.ts";
import type { HostSettingsReport, OrganisationSettingsReport, SettingsPatch } from "./host-settings.schemas.ts";
import { effectiveSettings, type HostSettings, nothingSet, originOf, type SettingName, settingNames } from "./settings.ts";
import { SettingsWatch } from "./settings-watch.service.ts";

/** An agent's account of itself cannot be switched off: nothing would say then that it was. */
const switchableSignals = new Set(hostSignals.filter((signal) => signal.family !== "agent").map((signal) => signal.name));

/** What a caller expects the settings to be at: a revision, or anything. */
export type ExpectedRevision = number | "any";

/** What people set for agents, read and changed. */
@Injectable()
export class HostSettingsService {
  constructor(
    @Inject(HostSettingsRepository) private readonly repository: HostSettingsRepository,
    @Inject(HostsService) private readonly hosts: HostsService,
    @Inject(AuditRepository) private readonly audit: AuditRepository,
    @Inject(SettingsWatch) private readonly watch: SettingsWatch,
    @Inject(WatchLeases) private readonly watches: WatchLeases,
    @Inject(Log) private readonly log: Log,
  ) {}

  /** What is set for the caller's organisation. */
  async getOrganisation(caller: Caller): Promise<OrganisationSettingsReport> {
    requireScope(caller, "hosts:read");
    return organisationReport(await this.repository.get({ organisationId: caller.organisationId, hostId: null }));
  }

  /** What is set for a host, what holds, and what its agent says of it. Throws HOST_NOT_FOUND. */
  async getHost(caller: Caller, idOrName: string): Promise<HostSettingsReport> {
    return this.hostReport(caller, await this.hosts.getRowOrThrow(caller, idOrName));
  }

  /** Changes the organisation's settings. Throws VALIDATION_FAILED, SIGNAL_NOT_FOUND, PRECONDITION_FAILED, FORBIDDEN. */
  async changeOrganisation(caller: Caller, patch: SettingsPatch, expected: ExpectedRevision): Promise<OrganisationSettingsReport> {
    const target = { kind: "organisation", id: caller.organisationId, name: caller.organisationName } as const;
    await this.change(caller, target, null, patch, expected);
    return this.getOrganisation(caller);
  }

  /** Changes a host's settings. Throws HOST_NOT_FOUND and as `changeOrganisation`. */
  async changeHost(caller: Caller, idOrName: string, patch: SettingsPatch, expected: ExpectedRevision): Promise<HostSettingsReport> {
    requireScope(caller, "hosts:write");
    const row = await this.hosts.getRowOrThrow(caller, idOrName);
    await this.change(caller, { kind: "host", id: row.id, name: row.name }, row.id, patch, expected);
    return this.hostReport(caller, row);
  }

  private async change(caller: Caller, target: AuditTarget, hostId: string | null, patch: SettingsPatch, expected: ExpectedRevision): Promise<void> {
    requireScope(caller, "hosts:write");
    requireKnownSignals(patch.signalsOff ?? []);
    const owner = { organisationId: caller.organisationId, hostId };
    await this.repository.change(async (within) => {
      const stored = (await this.repository.get(owner, within)) ?? nothingSet;
      const above = hostId === null ? undefined : await this.repository.get({ ...owner, hostId: null }, within);
      const revision = Math.max(stored.revision, above?.revision ?? 0);
      if (expected !== "any" && expected !== revision) {
        throw new AppError(
          "PRECONDITION_FAILED",
          `If-Match says revision ${expected}, the settings are at ${revision}. Read them again, look at what was changed, and repeat the change.`,
        );
      }
      const changed = settingNames.filter((name) => patch[name] !== undefined && !isDeepStrictEqual(patch[name], stored[name]));
      // Saying what holds already is no change: agents need not be told, and the audit has nothing to say.
      if (changed.length === 0) return;
      const settings: HostSettings = { ...stored, ...patchOf(patch, changed) };
      await this.repository.put(owner, settings, within);
      await this.audit.add({ caller, action: "settings.update", target, before: pick(stored, changed), after: pick(settings, changed) }, within);
    });
    // It is stored, whatever comes now: this node's next look or another's tells the agents.
    await this.watch.refresh().catch((error: unknown) => this.log.warn({ err: error }, "could not look at the settings that were just changed"));
  }

  private async hostReport(caller: Caller, row: HostRow): Promise<HostSettingsReport> {
    const { organisationId } = caller;
    const own = await this.repository.get({ organisationId, hostId: row.id });
    const above = (await this.repository.get({ organisationId, hostId: null })) ?? nothingSet;
    const host = own ?? nothingSet;
    const effective = effectiveSettings(host, above);
    const field = <Name extends SettingName>(name: Name) => ({ value: effective[name], from: originOf(name, host, above) });
    const list = (name: "signalsOff" | "watchedProcesses") => ({ value: copyOf(effective[name]), from: originOf(name, host, above) });
    const applied =
      row.settingsRevision === null || row.settingsAppliedAt === null
        ? null
        : { revision: row.settingsRevision, at: row.settingsAppliedAt.toISOString(), problems: row.settingsProblems ?? [] };
    return {
      hostId: row.id,
      host: row.name,
      revision: effective.revision,
      updatedAt: own?.updatedAt.toISOString() ?? null,
      settings: plain(host),
      effective: {
        windowMs: field("windowMs"),
        signalsOff: list("signalsOff"),
        watchedProcesses: list("watchedProcesses"),
        cpuBudgetCores: field("cpuBudgetCores"),
        rowsMax: field("rowsMax"),
      },
      watched: await this.watches.watchOf(organisationId, row.id),
      state: stateOf(effective.revision, applied),
      applied,
    };
  }
}

function stateOf(revision: number, applied: HostSettingsReport["applied"]): HostSettingsReport["state"] {
  // Where nothing was ever set there is nothing to acknowledge.
  if ((applied?.revision ?? 0) !== revision) return "pending";
  return applied === null || applied.problems.length === 0 ? "in_force" : "with_problems";
}

/** Throws SIGNAL_NOT_FOUND or VALIDATION_FAILED that names each signal that cannot be switched off, and what was probably meant. */
function requireKnownSignals(names: readonly string[]): void {
  const errors: FieldProblem[] = [];
  let isUnknown = false;
  for (const [index, name] of names.entries()) {
    if (switchableSignals.has(name)) continue;
    const isOwn = hostSignals.some((signal) => signal.name === name);
    isUnknown ||= !isOwn;
    const suggestion = isOwn ? undefined : nearestName(name, switchableSignals);
    const detail = isOwn
      ? `${name} is what the agent says of itself and cannot be switched off.`
      : `There is no signal ${name}${suggestion === undefined ? "." : `; did you mean ${suggestion}?`}`;
    errors.push({ pointer: `/signalsOff/${index}`, detail, suggestion });
  }
  if (errors.length > 0)
    throw new AppError(isUnknown ? "SIGNAL_NOT_FOUND" : "VALIDATION_FAILED", errors.map(({ detail }) => detail).join(" "), { errors });
}

function patchOf(patch: SettingsPatch, names: readonly SettingName[]): Partial<HostSettings> {
  return Object.fromEntries(names.map((name) => [name, patch[name]]));
}

function pick(settings: HostSettings, names: readonly SettingName[]): Record<string, unknown> {
  return Object.fromEntries(names.map((name) => [name, settings[name]]));
}

function organisationReport(stored: StoredSettings | undefined): OrganisationSettingsReport {
  return { revision: stored?.revision ?? 0, updatedAt: stored?.updatedAt.toISOString() ?? null, settings: plain(stored ?? nothingSet) };
}

function plain({ windowMs, signalsOff, watchedProcesses, cpuBudgetCores, rowsMax }: HostSettings): OrganisationSettingsReport["settings"] {
  return { windowMs, signalsOff: copyOf(signalsOff), watchedProcesses: copyOf(watchedProcesses), cpuBudgetCores, rowsMax };
}

function copyOf(names: readonly string[] | null): string[] | null {
  return names === null ? null : [...names];
}
