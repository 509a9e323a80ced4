// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { Log } from "../../common/log.ts";
import { HostSettingsRepository, type SettingsOwner } from "./host-settings.repository.ts";
import { effectiveSettings, nothingSet, type RevisedSettings } from "./settings.ts";

/** How long a change on another node takes to be noticed here: one statement per node and interval, however many hosts there are. */
const LOOK_INTERVAL_MS = 3_000;

/** All settings of all hosts in memory, as of the last look into Postgres; tells the streams what changed. */
@Injectable()
export class SettingsWatch implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly ofOrganisations = new Map<string, RevisedSettings>();
  private readonly ofHosts = new Map<string, RevisedSettings>();
  private readonly listeners = new Set<(owner: SettingsOwner) => void>();
  private revision = 0;
  private looking: Promise<void> | undefined;
  private next: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isFailing = false;

  constructor(
    @Inject(HostSettingsRepository) private readonly repository: HostSettingsRepository,
    @Inject(Log) private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.lookInTurn(), LOOK_INTERVAL_MS);
    this.timer.unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  /** Calls back when the settings of a host or, with `hostId` null, of an organisation have changed. */
  onChange(listener: (owner: SettingsOwner) => void): void {
    this.listeners.add(listener);
  }

  /** What holds for a host. */
  settingsOf({ organisationId, hostId }: { readonly organisationId: string; readonly hostId: string }): RevisedSettings {
    const host = this.ofHosts.get(hostId) ?? nothingSet;
    const organisation = this.ofOrganisations.get(organisationId) ?? nothingSet;
    return effectiveSettings(host, organisation);
  }

  /**
   * Takes in whatever was committed before the call, on any node. Callers who come while one is looking share the next look: ten thousand agents that
   * reconnect at once are a few statements. Rejects if Postgres does not answer.
   */
  refresh(): Promise<void> {
    if (this.looking === undefined) return this.look();
    this.next ??= this.looking.then(
      () => this.lookNext(),
      () => this.lookNext(),
    );
    return this.next;
  }

  private lookNext(): Promise<void> {
    this.next = undefined;
    return this.look();
  }

  private look(): Promise<void> {
    const looking = this.takeIn().finally(() => {
      if (this.looking === looking) this.looking = undefined;
    });
    this.looking = looking;
    return looking;
  }

  private async lookInTurn(): Promise<void> {
    try {
      await this.refresh();
      this.isFailing = false;
    } catch (error) {
      if (!this.isFailing) this.log.warn({ err: error }, "could not look for changed settings; those known before hold");
      this.isFailing = true;
    }
  }

  private async takeIn(): Promise<void> {
    const changed = await this.repository.listChangedSince(this.revision);
    for (const { organisationId, hostId, updatedAt: _, ...settings } of changed) {
      if (hostId === null) this.ofOrganisations.set(organisationId, settings);
      else this.ofHosts.set(hostId, settings);
      this.revision = Math.max(this.revision, settings.revision);
    }
    for (const { organisationId, hostId } of changed) for (const listener of this.listeners) listener({ organisationId, hostId });
  }
}
