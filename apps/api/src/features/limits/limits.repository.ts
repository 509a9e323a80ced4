// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { and, count, eq, isNull } from "drizzle-orm";
import { Database, type Drizzle } from "../../postgres/database.ts";
import { hosts, organisationLimits, organisations } from "../../postgres/schema.ts";

/** What an organisation may use at most. */
export interface Limits {
  readonly rowsPerSecondMax: number;
  readonly hostsMax: number;
  readonly seriesMax: number;
  readonly queryRowsPerMinuteMax: number;
  readonly queriesAtOnceMax: number;
}

/** null: the installation's default. */
export type LimitOverrides = { readonly [Name in keyof Limits]: number | null };

@Injectable()
export class LimitsRepository {
  constructor(@Inject(Database) private readonly database: Database) {}

  async getOverrides(organisationId: string): Promise<LimitOverrides | undefined> {
    const [row] = await this.database.db
      .select({
        rowsPerSecondMax: organisationLimits.rowsPerSecondMax,
        hostsMax: organisationLimits.hostsMax,
        seriesMax: organisationLimits.seriesMax,
        queryRowsPerMinuteMax: organisationLimits.queryRowsPerMinuteMax,
        queriesAtOnceMax: organisationLimits.queriesAtOnceMax,
      })
      .from(organisationLimits)
      .where(eq(organisationLimits.organisationId, organisationId));
    return row;
  }

  /**
   * Hosts that are enrolled and not retired.
   * @param within a transaction that is to count what it sees
   */
  async countHosts(organisationId: string, within: Drizzle = this.database.db): Promise<number> {
    const [row] = await within
      .select({ hosts: count() })
      .from(hosts)
      .where(and(eq(hosts.organisationId, organisationId), isNull(hosts.retiredAt)));
    return row?.hosts ?? 0;
  }

  /** From now to the end of the transaction no other that asks for the same adds a host. */
  async lockHosts(organisationId: string, within: Drizzle): Promise<void> {
    // Weaker than FOR UPDATE, which would hold up whoever refers to the organisation.
    await within.select({ id: organisations.id }).from(organisations).where(eq(organisations.id, organisationId)).for("no key update");
  }
}
