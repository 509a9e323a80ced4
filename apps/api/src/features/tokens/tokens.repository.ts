// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { Inject, Injectable } from "@nestjs/common";
import { and, asc, eq, gt, isNull, lt, or, sql } from "drizzle-orm";
import type { Scope } from "../../common/caller.ts";
import { Database } from "../../postgres/database.ts";
import { apiTokens, enrolmentTokens, hostCredentials, hosts, organisations, sessions } from "../../postgres/schema.ts";

export interface Organisation {
  readonly id: string;
  readonly name: string;
}

export interface ApiTokenRow {
  readonly id: string;
  readonly name: string;
  readonly organisationId: string;
  readonly organisationName: string;
  readonly scopes: readonly Scope[];
}

/** Organisations and every kind of token, as they are stored. Look-ups are by hash; only what is neither revoked nor expired is found. */
@Injectable()
export class TokensRepository {
  constructor(@Inject(Database) private readonly database: Database) {}

  private get db() {
    return this.database.db;
  }

  async createOrganisation(name: string): Promise<Organisation> {
    const id = randomUUID();
    await this.db.insert(organisations).values({ id, name });
    return { id, name };
  }

  /**
   * The oldest organisation, created with this name if there is none.
   * The lock makes two nodes that start at once on one database agree on one.
   */
  async getOrCreateFirstOrganisation(name: string): Promise<Organisation> {
    return this.db.transaction(async (tx) => {
      await tx.execute(sql`LOCK TABLE ${organisations} IN EXCLUSIVE MODE`);
      const [first] = await tx
        .select({ id: organisations.id, name: organisations.name })
        .from(organisations)
        .orderBy(asc(organisations.createdAt))
        .limit(1);
      if (first !== undefined) return first;
      const id = randomUUID();
      await tx.insert(organisations).values({ id, name });
      return { id, name };
    });
  }

  async createApiToken(organisationId: string, name: string, tokenHash: string, tokenScopes: readonly Scope[]): Promise<void> {
    await this.db.insert(apiTokens).values({ id: randomUUID(), organisationId, name, tokenHash, scopes: [...tokenScopes] });
  }

  async setScopes(id: string, tokenScopes: readonly Scope[]): Promise<void> {
    await this.db
      .update(apiTokens)
      .set({ scopes: [...tokenScopes] })
      .where(eq(apiTokens.id, id));
  }

  /** Revokes the API tokens of that name. */
  async revokeApiTokens(organisationId: string, name: string): Promise<void> {
    await this.db
      .update(apiTokens)
      .set({ revokedAt: sql`now()` })
      .where(and(eq(apiTokens.organisationId, organisationId), eq(apiTokens.name, name), isNull(apiTokens.revokedAt)));
  }

  async getApiToken(tokenHash: string): Promise<ApiTokenRow | undefined> {
    const [row] = await this.db
      .select({
        id: apiTokens.id,
        name: apiTokens.name,
        organisationId: apiTokens.organisationId,
        organisationName: organisations.name,
        scopes: apiTokens.scopes,
      })
      .from(apiTokens)
      .innerJoin(organisations, eq(organisations.id, apiTokens.organisationId))
      .where(
        and(eq(apiTokens.tokenHash, tokenHash), isNull(apiTokens.revokedAt), or(isNull(apiTokens.expiresAt), gt(apiTokens.expiresAt, sql`now()`))),
      );
    return row;
  }

  /** Notes the use, at most once a minute. */
  async touchApiToken(id: string): Promise<void> {
    await this.db
      .update(apiTokens)
      .set({ lastUsedAt: sql`now()` })
      .where(and(eq(apiTokens.id, id), or(isNull(apiTokens.lastUsedAt), lt(apiTokens.lastUsedAt, sql`now() - interval '1 minute'`))));
  }

  async createSession(organisationId: string, apiTokenId: string, tokenHash: string, expiresAt: Date): Promise<void> {
    await this.db.insert(sessions).values({ id: randomUUID(), organisationId, apiTokenId, tokenHash, expiresAt });
    await this.db.delete(sessions).where(lt(sessions.expiresAt, sql`now()`));
  }

  async getSession(tokenHash: string): Promise<ApiTokenRow | undefined> {
    const [row] = await this.db
      .select({
        id: apiTokens.id,
        name: apiTokens.name,
        organisationId: sessions.organisationId,
        organisationName: organisations.name,
        scopes: apiTokens.scopes,
      })
      .from(sessions)
      .innerJoin(apiTokens, eq(apiTokens.id, sessions.apiTokenId))
      .innerJoin(organisations, eq(organisations.id, sessions.organisationId))
      .where(
        and(
          eq(sessions.tokenHash, tokenHash),
          gt(sessions.expiresAt, sql`now()`),
          isNull(apiTokens.revokedAt),
          or(isNull(apiTokens.expiresAt), gt(apiTokens.expiresAt, sql`now()`)),
        ),
      );
    return row;
  }

  async deleteSession(tokenHash: string): Promise<void> {
    await this.db.delete(sessions).where(eq(sessions.tokenHash, tokenHash));
  }

  async createEnrolmentToken(organisationId: string, name: string, tokenHash: string): Promise<void> {
    await this.db.insert(enrolmentTokens).values({ id: randomUUID(), organisationId, name, tokenHash });
  }

  async revokeEnrolmentTokens(organisationId: string, name: string): Promise<void> {
    await this.db
      .update(enrolmentTokens)
      .set({ revokedAt: sql`now()` })
      .where(and(eq(enrolmentTokens.organisationId, organisationId), eq(enrolmentTokens.name, name), isNull(enrolmentTokens.revokedAt)));
  }

  /** The organisation an enrolment token belongs to. */
  async getEnrolmentToken(tokenHash: string): Promise<{ id: string; organisationId: string } | undefined> {
    const [row] = await this.db
      .select({ id: enrolmentTokens.id, organisationId: enrolmentTokens.organisationId })
      .from(enrolmentTokens)
      .where(
        and(
          eq(enrolmentTokens.tokenHash, tokenHash),
          isNull(enrolmentTokens.revokedAt),
          or(isNull(enrolmentTokens.expiresAt), gt(enrolmentTokens.expiresAt, sql`now()`)),
        ),
      );
    return row;
  }

  /** The host a credential belongs to; undefined also for a retired host. */
  async getHostCredential(tokenHash: string): Promise<{ organisationId: string; hostId: string; hostName: string } | undefined> {
    const [row] = await this.db
      .select({ organisationId: hosts.organisationId, hostId: hosts.id, hostName: hosts.name })
      .from(hostCredentials)
      .innerJoin(hosts, eq(hosts.id, hostCredentials.hostId))
      .where(and(eq(hostCredentials.tokenHash, tokenHash), isNull(hostCredentials.revokedAt), isNull(hosts.retiredAt)));
    return row;
  }
}
