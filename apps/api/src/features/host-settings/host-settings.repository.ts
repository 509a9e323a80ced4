// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { and, eq, gt, sql } from "drizzle-orm";
import { Database, type Drizzle } from "../../postgres/database.ts";
import { hostSettings, organisationSettings } from "../../postgres/schema.ts";
import type { HostSettings, RevisedSettings } from "./settings.ts";

/** Settings as they are stored; of the whole organisation where `hostId` is null. */
export interface StoredSettings extends RevisedSettings {
  readonly organisationId: string;
  readonly hostId: string | null;
  readonly updatedAt: Date;
}

/** Whose settings. */
export interface SettingsOwner {
  readonly organisationId: string;
  /** null: the organisation's. */
  readonly hostId: string | null;
}

/** Any number; whoever changes settings asks for the same lock. */
const CHANGE_LOCK = 7_301_000_002;

const columnsOf = (table: typeof hostSettings | typeof organisationSettings) => ({
  organisationId: table.organisationId,
  revision: table.revision,
  windowMs: table.windowMs,
  signalsOff: table.signalsOff,
  watchedProcesses: table.watchedProcesses,
  cpuBudgetCores: table.cpuBudgetCores,
  rowsMax: table.rowsMax,
  updatedAt: table.updatedAt,
});

@Injectable()
export class HostSettingsRepository {
  constructor(@Inject(Database) private readonly database: Database) {}

  /**
   * Every setting that was changed after `revision`, of all organisations, in one statement: it is how the nodes hear of each other's changes, and is
   * never shown to anybody.
   */
  async listChangedSince(revision: number): Promise<StoredSettings[]> {
    const { db } = this.database;
    // The host comes last in both: positions are what a union goes by.
    return db
      .select({ ...columnsOf(organisationSettings), hostId: sql<string | null>`NULL::uuid` })
      .from(organisationSettings)
      .where(gt(organisationSettings.revision, revision))
      .unionAll(
        db
          .select({ ...columnsOf(hostSettings), hostId: sql<string | null>`${hostSettings.hostId}` })
          .from(hostSettings)
          .where(gt(hostSettings.revision, revision)),
      );
  }

  /** What is set for a host or an organisation; undefined: nothing ever was. */
  async get({ organisationId, hostId }: SettingsOwner, within: Drizzle = this.database.db): Promise<StoredSettings | undefined> {
    if (hostId === null) {
      const [row] = await within
        .select(columnsOf(organisationSettings))
        .from(organisationSettings)
        .where(eq(organisationSettings.organisationId, organisationId));
      return row === undefined ? undefined : { ...row, hostId };
    }
    const [row] = await within
      .select(columnsOf(hostSettings))
      .from(hostSettings)
      .where(and(eq(hostSettings.organisationId, organisationId), eq(hostSettings.hostId, hostId)));
    return row === undefined ? undefined : { ...row, hostId };
  }

  /** Runs a change. One at a time, of all nodes: so revisions are committed in their order, and who has seen one has seen all before it. */
  async change<Result>(work: (within: Drizzle) => Promise<Result>): Promise<Result> {
    return this.database.db.transaction(async (tx) => {
      await tx.execute(sql`SELECT pg_advisory_xact_lock(${CHANGE_LOCK})`);
      return work(tx as unknown as Drizzle);
    });
  }

  /** Stores all fields under a new revision. To be called within `change`. */
  async put({ organisationId, hostId }: SettingsOwner, settings: HostSettings, within: Drizzle): Promise<void> {
    const values = {
      windowMs: settings.windowMs,
      signalsOff: settings.signalsOff === null ? null : [...settings.signalsOff],
      watchedProcesses: settings.watchedProcesses === null ? null : [...settings.watchedProcesses],
      cpuBudgetCores: settings.cpuBudgetCores,
      rowsMax: settings.rowsMax,
      updatedAt: sql`now()`,
    };
    const revision = sql`nextval('settings_revision')`;
    const set = { ...values, revision: sql`excluded.revision` };
    if (hostId === null) {
      await within
        .insert(organisationSettings)
        .values({ organisationId, revision, ...values })
        .onConflictDoUpdate({ target: organisationSettings.organisationId, set });
    } else {
      await within
        .insert(hostSettings)
        .values({ organisationId, hostId, revision, ...values })
        .onConflictDoUpdate({ target: hostSettings.hostId, set, setWhere: eq(hostSettings.organisationId, organisationId) });
    }
  }
}
