// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { and, count, eq, isNull } from "drizzle-orm";
import { Database } from "../../postgres/database.ts";
import { hosts, organisationLimits } from "../../postgres/schema.ts";

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

  /** Hosts that are enrolled and not retired. */
  async countHosts(organisationId: string): Promise<number> {
    const [row] = await this.database.db
      .select({ hosts: count() })
      .from(hosts)
      .where(and(eq(hosts.organisationId, organisationId), isNull(hosts.retiredAt)));
    return row?.hosts ?? 0;
  }
}
